"""Verbs in parallel on one storage, each killed now and then, monitors, too: ``storm.py SECONDS SEED TAR MINIRUN...``.

Prints how many verbs there were and, for each that met a case nobody had thought of, what it said.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import IO

PR_SET_CHILD_SUBREAPER = 36
DEFECTS = ("does not know", "Traceback")
STARTING = ("init_sys_streams", "race condition")  # the interpreter's own words, where it had not begun, or at the end
TOGETHER = 6
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)


def verb(tar: str) -> list[str]:
    pick = random.choice
    name, image, volume, net = pick("abcdef"), pick(["one", "two"]), pick(["v1", "v2"]), pick(["none", "bridge", "n1"])
    run = ["container", "run", "--net", net]
    return pick([
        [*run, "--rm", "busybox", "true"],
        [*run, "-d", "--name", name, "busybox", "sh", "-c", "echo hi > /f; sleep 1"],
        [*run, "-d", "--rm", "-v", f"{volume}:/x", "busybox", "sh", "-c", "echo hi > /x/f; sleep 0.2"],
        ["container", "create", "-v", "/anonymous", "--name", name, "busybox", "true"],
        ["container", "start", "-a", name], ["container", "rm", "-f", "-v", name], ["container", "commit", name, image],
        ["container", "export", name], ["container", "diff", name], ["container", "stop", "-t", "0", name],
        ["container", "restart", "-t", "0", name], ["container", "prune", "-f"], ["container", "ps", "-a"],
        ["image", "load", "-q", "-i", tar], ["image", "tag", "busybox", image], ["image", "rm", "-f", image],
        ["image", "rm", "-f", "busybox"], ["image", "prune", "-f"], ["system", "prune", "-f"],
        ["network", "create", "n1"], ["network", "rm", "n1"], ["volume", "rm", volume],
    ])  # fmt: skip


def below(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            own = [int(word) for word in file.read().split()]
    except OSError:
        return []
    return own + [one for child in own for one in below(child)]


def strike() -> None:
    prey = below(os.getpid())
    if prey and random.random() < 0.5:
        try:
            os.kill(random.choice(prey), random.choice(SIGNALS))
        except OSError:
            return


def collect(live: dict[int, tuple[list[str], IO[bytes]]]) -> None:
    """Whoever has ended; a defect is printed."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in live:
            words, errors = live.pop(pid)
            errors.seek(0)
            said = errors.read().decode(errors="replace")
            errors.close()
            if any(word in said for word in DEFECTS) and not any(word in said for word in STARTING):
                print(" ".join(words), "|", said.replace("\n", " / "))


def main() -> None:
    seconds, seed, tar, base = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    random.seed(seed)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # monitors come to us, to be found and collected
    live: dict[int, tuple[list[str], IO[bytes]]] = {}
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        while len(live) < TOGETHER:
            words, errors = verb(tar), tempfile.TemporaryFile()  # noqa: SIM115 (collect closes it)
            child = subprocess.Popen(
                [*base, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
            live[child.pid] = (words, errors)
            child.returncode = 0  # it is ``collect`` that waits
            count += 1
        time.sleep(random.random() * 0.05)
        strike()
        collect(live)
    patience = time.monotonic() + 15
    while below(os.getpid()) and time.monotonic() < patience:
        collect(live)
        time.sleep(0.02)
    for words, _ in live.values():
        print(" ".join(words), "| does not end")
    print(count)


if __name__ == "__main__":
    main()
