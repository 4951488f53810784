"""From a listening socket of the host's to the container, for the few connections that no rule of nf_tables redirects.

Connections to ``::1`` (the kernel lets no packet from there leave by another interface), and over IPv6 to a container
that has none.  A thread for each listener and each direction: they sleep in the kernel.
"""

from __future__ import annotations

import _thread
from _signal import SIG_SETMASK, pthread_sigmask, valid_signals
from _socket import AF_INET, AF_INET6, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM, dup, socket
from errno import EBADF, EINVAL
from time import sleep

CHUNK = 1 << 16
AT_ONCE = 128  # connections of one listener; further ones wait in its queue
PAUSE = 0.05  # seconds
serving: dict[str, list[socket]] = {}  # by container: this process's


def serve(container: str, listener: int, address: str, port: int) -> None:
    """Relay in the background until ``stop``; ``listener`` stays the caller's.

    Signals are the main thread's: every thread made here has them blocked from its first instruction.
    """
    own = socket(AF_INET6, SOCK_STREAM, 0, dup(listener))
    serving.setdefault(container, []).append(own)
    before = pthread_sigmask(SIG_SETMASK, valid_signals())
    try:
        _thread.start_new_thread(accept, (own, address, port))
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def stop(container: str) -> None:
    """The ports are free when this returns, whoever still holds a descriptor; connections that are there go on."""
    for each in serving.pop(container, ()):
        try:
            each.shutdown(SHUT_RDWR)
        except OSError:
            pass


def accept(listener: socket, address: str, port: int) -> None:
    """Strangers decide how many come: that must take neither all our descriptors nor the listener's life."""
    open_now: set[object] = set()
    while True:
        while len(open_now) >= AT_ONCE:
            sleep(PAUSE)
        try:
            fd, _ = listener._accept()  # type: ignore[attr-defined]  # the C half of socket.accept
        except OSError as error:
            if error.errno in (EINVAL, EBADF):  # ``stop``
                return
            sleep(PAUSE)  # no descriptor is free, or it has gone again
            continue
        one = object()
        open_now.add(one)
        try:
            _thread.start_new_thread(connect, (fd, address, port, open_now, one))
        except RuntimeError:  # no thread
            open_now.discard(one)
            socket(AF_INET6, SOCK_STREAM, 0, fd).close()


def connect(fd: int, address: str, port: int, open_now: set[object], one: object) -> None:
    try:
        both_ways(fd, address, port)
    finally:
        open_now.discard(one)


def both_ways(fd: int, address: str, port: int) -> None:
    near = socket(AF_INET6, SOCK_STREAM, 0, fd)
    far = socket(AF_INET6 if ":" in address else AF_INET, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        far.connect((address, port))
    except OSError:
        near.close()
        far.close()
        return
    try:
        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(back, (far, near, done))
    except RuntimeError:
        near.close()
        far.close()
        return
    copy(near, far)
    done.acquire()
    near.close()
    far.close()


def back(far: socket, near: socket, done: _thread.LockType) -> None:
    copy(far, near)
    done.release()


def copy(source: socket, target: socket) -> None:
    """Until the end of file; the other direction may go on."""
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(SHUT_WR)
    except OSError:  # one side is gone: so is the connection
        for each in (source, target):
            try:
                each.shutdown(SHUT_RDWR)
            except OSError:
                pass
