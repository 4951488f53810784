"""minirun-init by hand: the sanitized program as an ordinary user in namespaces of its own, and a host to talk to.

Whatever a damaged plan says, it is said by nobody in nobody's namespaces: the machine cannot be harmed by it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from minirun.engine import protocol

BASE = 900  # sync, plan: the first of init's own descriptors; far from what pytest has open
UNSHARE = ["unshare", "-Urmpfinu", "--kill-child"]  # user, mount, pid, ipc, net, uts
NOBODY = 65534
ENVIRONMENT = {
    "PATH": "/bin:/usr/bin",
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=0",
    "UBSAN_OPTIONS": "exitcode=99:print_stacktrace=1",
}
SECONDS = 10


class Said(NamedTuple):
    """One message of init's."""

    kind: int
    step: int
    errno: int
    call: str
    detail: str


class Ended(NamedTuple):
    """How it ended: its code, what it said, standard output and error."""

    code: int
    said: list[Said]
    output: str
    error: str

    def failure(self) -> Said | None:
        return next((said for said in self.said if said.kind == protocol.FAILED), None)


def memfd(data: bytes) -> int:
    fd = os.memfd_create("by-hand")
    os.write(fd, data)
    os.lseek(fd, 0, 0)
    return fd


def let_go(page: int) -> None:
    """Init's filter is loaded, or is refused; then it may go on.  The listener stays with it."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        state, number = protocol.PAGE.unpack(os.pread(page, protocol.PAGE.size, 0))
        if state == protocol.LOADED:
            os.pwrite(page, protocol.PAGE.pack(protocol.GO_ON, number), 0)
            return


def listen(host: socket.socket) -> list[Said]:
    """Be the host: GO for a SYNC or a fork, START when it is ready, until end of file."""
    said: list[Said] = []
    state = memfd(b"{}")
    host.settimeout(SECONDS)
    try:
        while True:
            data, control, _, _ = host.recvmsg(protocol.MESSAGE.size, 64)
            passed = [int.from_bytes(raw[:4], "little") for _, _, raw in control]
            if passed and protocol.MESSAGE.unpack(data)[0] == protocol.LISTENER:
                let_go(passed[0])
            for fd in passed:
                os.close(fd)
            if not data:
                return said
            kind, step, errno, _, _, call, detail = protocol.MESSAGE.unpack(data)
            texts = [field.partition(b"\0")[0].decode("utf-8", "replace") for field in (call, detail)]
            said.append(Said(kind, step, errno, *texts))
            if kind in (protocol.SYNC, protocol.FORKED):
                socket.send_fds(host, [protocol.GO], [state])
            elif kind == protocol.READY:
                host.send(protocol.START)
    except (BrokenPipeError, ConnectionResetError):
        return said
    finally:
        os.close(state)


def carry_out(program: Path, plan: bytes, *, silent: bool = False, argv: tuple[str, ...] = (str(BASE),)) -> Ended:
    """Give init a plan; ``silent``: hang up at once instead of answering."""
    host, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bytes_fd = memfd(plan)
    os.dup2(theirs.fileno(), BASE)
    os.dup2(bytes_fd, BASE + 1)
    root = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(
        [*UNSHARE, program, *argv], pass_fds=(BASE, BASE + 1), env=ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", **root,
    )  # type: ignore[call-overload]  # fmt: skip
    for fd in (BASE, BASE + 1, bytes_fd):
        os.close(fd)
    theirs.close()
    try:
        if silent:
            host.close()
        said = [] if silent else listen(host)
        output, error = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.wait()
        host.close()
    return Ended(process.returncode, said, output, error)
