"""Where a path leads (path_resolution(7)), without ever following a link of procfs's that is ours.

The host resolves paths in the container's root, which is ours too; /proc/self is us there.  So its magic links (fd/N,
exe, cwd, root) would lead to our files: the host is told to follow none, and where it comes upon one, the path is
walked here part by part, and the link means what it would mean for the program.
"""

from __future__ import annotations

import posix
from _struct import pack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls.plain import AT_FDCWD
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EACCES, ENOENT, ELOOP, ENOTDIR, EFAULT = 13, 2, 40, 20, 14
O_CLOEXEC, O_PATH, O_NOFOLLOW, O_DIRECTORY, O_CREAT = 0o2000000, 0o10000000, 0o400000, 0o200000, 0o100
NO_MAGICLINKS, ANY = 2, 0o37777777
MOST_LINKS = 40
DEPARTURE = O_PATH | O_NOFOLLOW
call = lib.host_call


def address(text: bytes) -> tuple[object, int]:
    """A copy for the host: keep the first as long as the second is used."""
    room = ffi.new("char[]", text)
    return room, int(ffi.cast("uintptr_t", room))


def open_plainly(at: int, name: int, flags: int, mode: int = 0, resolve: int = 0) -> int:
    how = ffi.from_buffer(pack("<QQQ", (flags & ANY) | O_CLOEXEC, mode, resolve | NO_MAGICLINKS))
    host: int = call(NUMBER["openat2"], at, name, int(ffi.cast("uintptr_t", how)), 24, 0, 0)
    return host


def open_text(at: int, text: bytes, flags: int, mode: int = 0) -> int:
    room, where = address(text)
    host = open_plainly(at, where, flags, mode)
    del room
    return host


def open_host(thread: Thread, at: int, name: int, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """The host's descriptor of what a path names, or -errno; ``name`` is the address of a copy of ours."""
    if not name:
        return -EFAULT
    host = open_plainly(at, name, flags, mode, resolve)
    if host >= 0:
        if thread.process.is_proc(host):
            from minirun.vm.sandbox.calls import proc

            return proc.opened(thread, host, flags)
        return host
    if host == -ELOOP or (host in (-ENOENT, -ENOTDIR) and not resolve and means_a_number(at, name)):
        return walk(thread, at, bytes(ffi.string(ffi.cast("char *", name))), flags, mode, host) if not resolve else host
    return host


def means_a_number(at: int, name: int) -> bool:
    """Could it be a descriptor that the program has, and we have not: by its number, or as /dev/stdin is one?"""
    text: bytes = ffi.string(ffi.cast("char *", name))
    if text.rpartition(b"/")[2].isdigit():
        return True
    look = open_plainly(at, name, DEPARTURE)
    if look >= 0:
        posix.close(look)
    return look >= 0


def walk(thread: Thread, at: int, name: bytes, flags: int, mode: int, error: int) -> int:
    """Part by part.  ``error`` is what the host said: if no magic link was met, it was right."""
    follow = not flags & (O_NOFOLLOW | (0o200 if flags & O_CREAT else 0))
    here = start(at, name)
    parts = split(name)
    links, met = 0, False
    try:
        while here >= 0 and parts:
            part = parts.pop(0)
            last = not parts
            if last and not follow and flags & O_PATH == 0:
                return finish(thread, here, part, flags, mode) if met else error
            look = open_text(here, part, DEPARTURE)
            if look == -ENOENT and part.isdigit() and thread.process.is_proc(here):
                target: int | bytes | None = magic(thread, f"{thread.process.where(here)}/{part.decode()}")
            elif look < 0:
                return finish(thread, here, part, flags, mode) if met and last and look == -ENOENT else look
            else:
                target = leads(thread, look)
            if last and not follow and isinstance(target, int) and target >= 0:
                posix.close(target)
                target, look = None, look if look >= 0 else own_link(thread, part)
            if target is None or (last and not follow and isinstance(target, bytes)):
                posix.close(here)
                here, met = look, True
                continue
            if look >= 0:
                posix.close(look)
            links += 1
            if links > MOST_LINKS:
                return -ELOOP
            if isinstance(target, bytes):
                if target.startswith(b"/"):
                    posix.close(here)
                    here = open_text(AT_FDCWD, b"/", O_PATH)
                parts = split(target) + parts
                continue
            met = True
            if target < 0:
                return target
            posix.close(here)
            here = target
        if here < 0 or not met:
            return here if here < 0 else error
        here, found = -1, here
        return reopen(thread, found, flags) if follow else found
    finally:
        if here >= 0:
            posix.close(here)


def own_link(thread: Thread, part: bytes) -> int:
    """/proc/self/fd/N itself, of a number that we have not: another's stands for it, and says where it leads."""
    host = thread.process.files.table[int(part)]
    thread.link = thread.process.where(host).encode("utf-8", "surrogateescape")
    return open_text(thread.process.proc, f"self/fd/{host}".encode(), DEPARTURE)


def start(at: int, name: bytes) -> int:
    if name.startswith(b"/"):
        return open_text(AT_FDCWD, b"/", O_PATH)
    return open_text(at, b".", O_PATH)


def split(name: bytes) -> list[bytes]:
    """A trailing slash asks for a directory."""
    parts = [part for part in name.split(b"/") if part]
    return [*parts, b"."] if name.endswith(b"/") else parts


def leads(thread: Thread, look: int) -> int | bytes | None:
    """A link's text; a new descriptor of what a magic link means; None: it is no link."""
    if posix.fstat(look).st_mode & 0o170000 != 0o120000:
        return None
    if thread.process.is_proc(look):
        where = thread.process.where(look)
        if where.rpartition("/")[2] not in ("self", "thread-self", "mounts", "net"):
            return magic(thread, where)
    return posix.readlink("", dir_fd=look).encode("utf-8", "surrogateescape")


def magic(thread: Thread, where: str) -> int:
    """For looking only: what /proc/PID/fd/N, exe, cwd and root lead to, for the program itself; nobody else's."""
    words = [word for word in where.split("/") if word]
    at = next((index for index, word in enumerate(words) if word.isdigit()), -1)
    if at < 0 or words[at] != str(posix.getpid()):
        return -EACCES
    rest = words[at + 1 :]
    rest = rest[2:] if rest[:1] == ["task"] else rest
    if len(rest) == 2 and rest[0] == "fd" and rest[1].isdigit():
        host = thread.process.files.table.get(int(rest[1]))
        return -ENOENT if host is None else by_number(thread, host, O_PATH)
    if rest == ["exe"]:
        return open_text(AT_FDCWD, thread.process.exe, O_PATH)
    if rest in (["cwd"], ["root"]):
        return open_text(AT_FDCWD, b"." if rest == ["cwd"] else b"/", O_PATH)
    return -EACCES


def by_number(thread: Thread, host: int, flags: int) -> int:
    """Opened anew, as /proc/self/fd/N does."""
    room, where = address(f"self/fd/{host}".encode())
    how = ffi.from_buffer(pack("<QQQ", (flags & ANY & ~O_NOFOLLOW) | O_CLOEXEC, 0, 0))
    done = int(call(NUMBER["openat2"], thread.process.proc, where, int(ffi.cast("uintptr_t", how)), 24, 0, 0))
    del room
    return done


def reopen(thread: Thread, look: int, flags: int) -> int:
    """What was found, as it was asked for."""
    if flags & O_PATH and not flags & O_DIRECTORY:
        return look
    host = by_number(thread, look, flags & ~(O_CREAT | 0o200))
    posix.close(look)
    if host >= 0 and thread.process.is_proc(host):
        from minirun.vm.sandbox.calls import proc

        return proc.opened(thread, host, flags)
    return host


def finish(thread: Thread, here: int, part: bytes, flags: int, mode: int) -> int:
    """The last part, in a directory that was found by way of a magic link."""
    host = open_text(here, part, flags, mode)
    if host >= 0 and thread.process.is_proc(host):
        from minirun.vm.sandbox.calls import proc

        return proc.opened(thread, host, flags)
    return host


def looked_up(thread: Thread, at: int, name: int, *, follow: bool = True) -> int:
    """The host's descriptor of what a path names, for looking only."""
    return open_host(thread, at, name, O_PATH | (0 if follow else O_NOFOLLOW))


def parent(thread: Thread, at: int, name: int) -> tuple[int, bytes]:
    """The directory that a path's last part is in, and that part; the directory is to be closed if it is not ``at``.

    Raises OSError.
    """
    if not name:
        raise OSError(EFAULT, "path")
    text: bytes = ffi.string(ffi.cast("char *", name))
    bare = text.rstrip(b"/")
    folder, slash, _ = bare.rpartition(b"/")
    if not slash:
        return at, text
    host = open_text_host(thread, at, folder or b"/", O_PATH | O_DIRECTORY)
    if host < 0:
        raise OSError(-host, "path")
    return host, text[len(folder) + 1 :]


def open_text_host(thread: Thread, at: int, text: bytes, flags: int) -> int:
    room, where = address(text)
    host = open_host(thread, at, where, flags)
    del room
    return host
