"""sd_notify(3) for a container: $NOTIFY_SOCKET of the caller, passed on (``plan.sd_notify`` says how it gets inside).

    ID/notify/notify    a datagram socket in the container's directory, which the container has at $NOTIFY_SOCKET
    run                 passes messages on while it waits for the program
    run -d, start       return once the program has said READY=1, or has ended, and tell its pid (MAINPID)

So do runc and crun.  Only what a program may say about itself is passed on: no MAINPID, no descriptors, which would
put the service manager's idea of the service into the container's hands.
"""

from __future__ import annotations

import posix
import select

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.runtime.store import Entry, State

VARIABLE = "NOTIFY_SOCKET"
FOLDER, SOCKET = "notify", "notify"
PASSED_ON = (b"READY=", b"RELOADING=", b"STOPPING=", b"STATUS=", b"ERRNO=", b"WATCHDOG=1", b"MONOTONIC_USEC=")
LONGEST = 4096  # bytes of one message: sd_notify(3) sets no limit, systemd reads as much


class Proxy(Record):
    """The container's socket, bound, and the address of the caller's."""

    socket: Any
    address: str | bytes

    def fileno(self) -> int:
        found: int = self.socket.fileno()
        return found

    def pass_on(self) -> bool:
        """One message; was it READY=1?"""
        try:
            data = self.socket.recv(LONGEST)
        except OSError:
            return False
        lines = [line for line in data.split(b"\n") if line.startswith(PASSED_ON)]
        if lines:
            self.say(b"\n".join(lines))
        return b"READY=1" in lines

    def say(self, message: bytes) -> None:
        """To the caller's socket; a manager that is gone is no reason to stop a container."""
        try:
            self.socket.sendto(message, self.address)
        except OSError:
            return

    def close(self) -> None:
        self.socket.close()


def prepare(entry: Entry) -> None:
    """create: the directory that is mounted.  start puts the socket into it, which is seen inside."""
    posix.mkdir(FOLDER, 0o755, dir_fd=entry.fd)
    fd = posix.open(FOLDER, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC, dir_fd=entry.fd)
    posix.fchmod(fd, 0o755)  # whatever the umask
    posix.close(fd)


def remove(parent: int, name: str = FOLDER) -> None:
    """delete: a directory with nothing but files in it; ``parent`` is the container's."""
    fd = posix.open(name, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)
    try:
        for inner in posix.listdir(fd):
            posix.unlink(inner, dir_fd=fd)
    finally:
        posix.close(fd)
    posix.rmdir(name, dir_fd=parent)


def listen(entry: Entry, env: dict[str, str]) -> Proxy | None:
    """start and run: None where nobody asked at create, or nobody asks now."""
    given = env.get(VARIABLE, "")
    if not given or not posix.access(FOLDER, posix.F_OK, dir_fd=entry.fd):
        return None
    import _socket

    path = f"{FOLDER}/{SOCKET}"
    try:
        posix.unlink(path, dir_fd=entry.fd)  # of a start that was killed
    except FileNotFoundError:
        pass
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    sock.bind(f"/proc/self/fd/{entry.fd}/{path}")  # the whole path may be longer than sun_path
    posix.chmod(path, 0o666, dir_fd=entry.fd)
    return Proxy(socket=sock, address="\0" + given[1:] if given.startswith("@") else given)


def until_ready(proxy: Proxy, state: State, open_pidfd: Callable[[State], int]) -> None:
    """run -d and start: READY=1 or the end of the program, whichever comes first."""
    pidfd = open_pidfd(state)
    try:
        poller = select.poll()
        poller.register(proxy.fileno(), select.POLLIN)
        if pidfd >= 0:
            poller.register(pidfd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poller.poll(-1 if pidfd >= 0 else 0)]
            if proxy.fileno() in ready and proxy.pass_on():
                proxy.say(f"MAINPID={state.pid}".encode())
                return
            if pidfd in ready or not ready:
                return
    finally:
        if pidfd >= 0:
            posix.close(pidfd)
        proxy.close()
