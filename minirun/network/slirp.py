"""slirp4netns(1): the container is 10.0.2.100 in a network that only it sees, behind a TCP/IP stack in a process.

It stays our child, ends when the pipe of ``--exit-fd`` is closed, and takes published ports over its API socket
(slirp4netns(1), API socket), one JSON object a connection.
"""

from __future__ import annotations

import posix

from minirun.engine.hooks import spawn
from minirun.errors import MinirunError
from minirun.network.carrier import actions, environment, failed, said
from minirun.spec.decode import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirun.network.ports import Port

MTU = "65520"
NAMESERVER = "10.0.2.3"  # its own, which asks the host's
SECONDS = 20
READY, EXIT = 3, 4  # descriptors that it gets


def start(path: str, base: str, ports: Sequence[Port]) -> tuple[int, list[str], list[int]]:
    """Its pid, the nameservers that the container must use, and the descriptor that keeps it alive."""
    words = [
        "slirp4netns", "--configure", f"--mtu={MTU}", "--disable-host-loopback", "--enable-sandbox",
        "--enable-seccomp", "--enable-ipv6", f"--ready-fd={READY}", f"--exit-fd={EXIT}", "--netns-type=path",
        *([f"--api-socket={base}.sock"] if ports else []), f"{base}.netns", "eth0",
    ]  # fmt: skip
    pid, alive = launch(path, words, f"{base}.log")
    try:
        for port in ports:
            publish(f"{base}.sock", port)
    except BaseException:
        posix.close(alive)
        posix.kill(pid, 9)
        posix.waitpid(pid, 0)
        raise
    return pid, [NAMESERVER], [alive]


def launch(path: str, words: list[str], log: str) -> tuple[int, int]:
    """Returns when the interface is up: the pid, and the end of a pipe that ends it when it is closed."""
    from _signal import SIG_SETMASK, pthread_sigmask

    ready, ready_end = posix.pipe2(posix.O_CLOEXEC)
    exit_end, alive = posix.pipe2(posix.O_CLOEXEC)
    high = [from_far(fd) for fd in (ready_end, exit_end)]
    given = [(posix.POSIX_SPAWN_DUP2, high[0], READY), (posix.POSIX_SPAWN_DUP2, high[1], EXIT)]
    try:
        pid, kept = spawn(path, words, environment(), [*actions(log), *given])
        pthread_sigmask(SIG_SETMASK, kept)
    except OSError as error:
        posix.close(ready)
        posix.close(alive)
        raise failed(words[0], error.strerror or "") from error
    finally:
        for fd in (ready_end, exit_end, *high):
            posix.close(fd)
    try:
        if answered(ready):
            return pid, alive
    finally:
        posix.close(ready)
    posix.close(alive)
    posix.kill(pid, 9)
    posix.waitpid(pid, 0)
    raise failed(words[0], said(log) or f"no answer after {SECONDS} s")


def from_far(fd: int) -> int:
    """A copy with a number that is none of its targets'."""
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    return fcntl(fd, F_DUPFD_CLOEXEC, EXIT + 1)


def answered(fd: int) -> bool:
    from select import select

    return bool(select([fd], [], [], SECONDS)[0]) and posix.read(fd, 1) == b"1"


def publish(path: str, port: Port) -> None:
    from _socket import SHUT_WR, SOCK_STREAM, socket

    asked = {
        "proto": port.protocol, "host_addr": port.hostIp or "0.0.0.0", "host_port": port.hostPort,
        "guest_port": port.port,
    }  # fmt: skip
    client = socket(1, SOCK_STREAM)
    try:
        client.settimeout(SECONDS)
        client.connect(path)
        client.sendall(encode({"execute": "add_hostfwd", "arguments": asked}).encode())
        client.shutdown(SHUT_WR)
        answer = b""
        while part := client.recv(4096):
            answer += part
    finally:
        client.close()
    found = decode(answer, path)
    if "error" in found:
        reason = found["error"].get("desc", "") if isinstance(found["error"], dict) else str(found["error"])
        raise MinirunError(f"cannot publish port {port.hostPort}/{port.protocol} of the host", reason=reason)
