"""A stage for the programs that call a runtime: containerd, podman, docker, buildah.

Namespaces of its own (mount, network, pid, ipc, uts, cgroup) with a pure cgroup v2 on /sys/fs/cgroup, an empty /run,
and layers over /etc, /opt and /var/lib: such a caller finds what it expects on a host; what it writes, its bridges and
its firewall rules stay inside.  When the first process ends, as it does with the test run, the kernel takes all of it.
What is left *before* that, ``left`` tells: a runtime must not need it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minirun.cgroups.tree import subtree
from minirun.facts import find_cgroup_root
from tests.conftest import run

# Where the callers have a runtime keep its containers, below /run.
STATES = ("minirun/*", "containerd/runc/*/*", "docker/runtime-runc/*/*")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# $1: a cgroup of our own, which becomes the root of the new cgroup namespace.
OPEN = """
set -e
mkdir "$1"
echo $$ > "$1/cgroup.procs"
exec unshare --mount --net --pid --ipc --uts --cgroup --fork --kill-child --mount-proc /bin/sh -ec '
umount -R -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/first
echo 0 > /sys/fs/cgroup/first/cgroup.procs
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock /run/user /run/layer
for folder in /etc /opt /var/lib; do
	layer=/run/layer/${folder##*/}
	mkdir $layer $layer/upper $layer/work
	mount -t overlay -o lowerdir=$folder,upperdir=$layer/upper,workdir=$layer/work overlay $folder
done
ip link set lo up
exec /usr/bin/python3 -ISc "$0"' "$2"
"""
# The first process of a pid namespace has everybody's orphans: it must wait for them.
FIRST = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
print("open", flush=True)
while True:
    signal.sigwait([signal.SIGCHLD])
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
"""
# A cgroup may not be changed across the border of a cgroup namespace: first into it, then into the namespace.
ENTER = 'echo 0 > "$1/first/cgroup.procs"; shift; exec "$@"'


class Stage:
    """``stage("podman", ...)`` runs a command on it; ``daemon`` one that stays."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.group = Path(find_cgroup_root()) / f"minirun-stage-{uuid.uuid4().hex[:8]}"
        self.opener: subprocess.Popen[str] = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "/bin/sh", "-c", OPEN, "sh", str(self.group), FIRST],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"PATH": PATH},
        )  # fmt: skip
        assert self.opener.stdout is not None
        assert self.opener.stdout.readline() == "open\n", "no stage could be made"
        self.first = child_of(self.opener.pid)
        # unshare(1) waits outside; the root of a cgroup namespace must be empty for its controllers to be given on
        (self.group / "first" / "cgroup.procs").write_text(str(self.opener.pid))
        self.env = {"PATH": PATH, "HOME": str(place), "TMPDIR": str(place), "TERM": "xterm"}
        self.before = self.picture()
        self.daemons: list[subprocess.Popen[bytes]] = []

    def enter(self, *argv: str | Path) -> list[str]:
        """The command line that runs ``argv`` on the stage, from outside of it."""
        before = ["/bin/sh", "-c", ENTER, "sh", str(self.group)]
        return [
            *before,
            "nsenter",
            "-t",
            str(self.first),
            "-m",
            "-n",
            "-p",
            "-i",
            "-u",
            "-C",
            f"--wdns={self.place}",
            *map(str, argv),
        ]

    def __call__(self, *argv: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        return run(*self.enter(*argv), **{"env": self.env, **more})

    def ok(self, *argv: str | Path, **more: Any) -> str:
        """What it prints; it must end well."""
        done = self(*argv, **more)
        assert done.returncode == 0, f"{argv}: exit {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout

    def daemon(self, *argv: str | Path, log: Path) -> subprocess.Popen[bytes]:
        with open(log, "ab") as out:
            started = subprocess.Popen(
                self.enter(*argv), env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.daemons.append(started)
        return started

    def end(self, daemon: subprocess.Popen[bytes]) -> int:
        """TERM to the daemon itself, which nsenter waits for."""
        self.daemons.remove(daemon)
        os.kill(child_of(daemon.pid), signal.SIGTERM)
        return daemon.wait(30)

    # -- what there is --------------------------------------------------------------------------------------------

    def mounts(self) -> set[str]:
        rows = Path(f"/proc/{self.first}/mountinfo").read_text().splitlines()
        return {row.split()[4] for row in rows}

    def processes(self) -> dict[int, str]:
        """Everybody but the first, by the pid that the host knows, with its command line."""
        ours = os.readlink(f"/proc/{self.first}/ns/pid")
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if int(entry.name) != self.first and os.readlink(entry / "ns/pid") == ours:
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
        return found

    def groups(self) -> set[str]:
        found = {path.removeprefix(str(self.group)) for path in subtree(str(self.group))}
        return found - {"", "/first"}

    def picture(self) -> dict[str, set[str]]:
        """Processes, mounts, cgroups, and the containers that a runtime still knows."""
        runs = Path(f"/proc/{self.first}/root/run")
        return {
            "processes": {f"{pid} {line}" for pid, line in self.processes().items()},
            "mounts": self.mounts(),
            "cgroups": self.groups(),
            "states": {str(path) for pattern in STATES for path in runs.glob(pattern) if path.name[0] != "."},
        }

    def settle(self) -> None:
        """What is there now may stay: the daemon, which is ready."""
        self.before = self.picture()

    def left(self, *kept: str) -> dict[str, set[str]]:
        """What has come since, by kind, but ``kept``; a shim or a conmon that is about to go has its time."""
        end = time.monotonic() + 5
        while True:
            now = self.picture()
            come = {kind: now[kind] - self.before[kind] - {*kept} for kind in now}
            found = {kind: rows for kind, rows in come.items() if rows}
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.02)

    def close(self) -> None:
        """End the first process: the kernel ends the others, and the namespaces go with them."""
        os.kill(self.first, signal.SIGKILL)
        self.opener.wait(30)
        for daemon in self.daemons:
            daemon.wait(30)
        assert self.opener.stdout is not None
        self.opener.stdout.close()
        for path in sorted(subtree(str(self.group)), reverse=True):
            end = time.monotonic() + 5
            while True:
                try:
                    os.rmdir(path)
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.02)


def child_of(pid: int) -> int:
    """The one child of a process (proc(5), /proc/PID/task/TID/children)."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Its place is a directory that mapped users can cross, as they cannot pytest's."""
    place = Path(tempfile.mkdtemp(prefix="minirun-stage-"))
    os.chmod(place, 0o755)
    try:
        opened = Stage(place)
        try:
            yield opened
        finally:
            opened.close()
    finally:
        shutil.rmtree(place)


def wait_until_ready(stage: Stage, daemon: subprocess.Popen[bytes], *asks: str | Path) -> bool:
    """Until a client's question is answered; False if the daemon ended or a quarter of a minute is over."""
    end = time.monotonic() + 15
    while daemon.poll() is None and time.monotonic() < end:
        if stage(*asks).returncode == 0:
            return True
        time.sleep(0.05)
    return False
