"""execve(2), execveat(2): another program in this process; its other threads end first."""

from __future__ import annotations

import posix
from _struct import unpack

from minirun.linux.kvm import lib
from minirun.vm.sandbox.calls import int32, served
from minirun.vm.sandbox.calls.paths import O_NOFOLLOW, by_number, open_host
from minirun.vm.sandbox.calls.plain import AT_FDCWD, directory, path as copied
from minirun.vm.sandbox.load import Image
from minirun.vm.sandbox.numbers import NUMBER
from minirun.vm.sandbox.thread import KICK, Elsewhere, Ended, Thread

E2BIG, ENOENT, EINVAL = 7, 2, 22
AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = 0x100, 0x1000
MOST_WORDS = 2 << 20  # bytes of arguments and environment
PATIENCE = 0.0005  # seconds, until a thread is reminded that it is to end
call = lib.host_call


def strings(thread: Thread, at: int) -> list[bytes]:
    """A vector of C strings, as execve(2) has them."""
    found: list[bytes] = []
    size = 0
    while at:
        (where,) = unpack("<Q", thread.memory.read(at, 8))
        if not where:
            break
        found.append(thread.memory.string(where, 131072))
        size += len(found[-1]) + 9
        if size > MOST_WORDS:
            raise OSError(E2BIG, "execve")
        at += 8
    return found


@served
def execve(thread: Thread, pathname: int, argv: int, envp: int) -> int:
    path = thread.memory.string(pathname)
    args, env = strings(thread, argv), strings(thread, envp)
    if not path:
        return -ENOENT
    return replace(thread, thread.process.find(path, args or [b""]), env)


@served
def execveat(thread: Thread, dirfd: int, pathname: int, argv: int, envp: int, flags: int) -> int:
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        return -EINVAL
    path, at = thread.memory.string(pathname), directory(thread, dirfd)
    args, env = strings(thread, argv), strings(thread, envp)
    if path.startswith(b"/") or (at == AT_FDCWD and path):
        return replace(thread, thread.process.find(path, args or [b""]), env)
    if not path and not flags & AT_EMPTY_PATH:
        return -ENOENT
    if path:
        how = posix.O_RDONLY | posix.O_NONBLOCK | (O_NOFOLLOW if flags & AT_SYMLINK_NOFOLLOW else 0)
        host = open_host(thread, at, copied(thread, pathname), how)
    else:
        host = by_number(thread, at, posix.O_RDONLY)
    if host < 0:
        return host
    name = b"/dev/fd/%d" % int32(dirfd) + (b"/" + path if path else b"")
    return replace(thread, thread.process.find(name, args or [b""], host), env)


def replace(thread: Thread, image: Image, env: list[bytes]) -> int:
    process = thread.process
    if len(process.threads) > 1:
        others_end(thread)
        if call(NUMBER["gettid"], 0, 0, 0, 0, 0, 0) != posix.getpid():
            process.heritage = image, env, thread.mask
            process.wake.release()
            raise Ended(0, handed_over=True)
    process.install(thread, image, env)
    raise Elsewhere


def others_end(thread: Thread) -> None:
    """Until this thread is the only one.  If two try, one of them has been told to end."""
    process = thread.process
    with process.making:
        if thread.dead:
            raise Ended(0)
        for each in process.threads:
            each.dead = each is not thread
    lib.guest_action(KICK, 2, 0)
    pause = process.lock()
    while others := [each for each in list(process.threads) if each is not thread]:
        for each in others:
            if each.tid:
                call(NUMBER["tgkill"], posix.getpid(), each.tid, KICK, 0, 0, 0)
        pause.acquire(True, PATIENCE)
