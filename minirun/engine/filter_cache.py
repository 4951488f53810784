"""Compiled system call filters, kept for the next container with the same profile: compiling takes milliseconds.

One directory for all state directories of a user (containerd has one for each of its namespaces), one small file for
each program:

    checksum   of all that follows (BLAKE2b)
    key        of the lines, this kernel and minirun's version: a file under another's name is none
    library    the file of libseccomp that compiled it, with its time and size: a newer one compiles again
    program    struct sock_filter, 8 bytes each

A filter decides what a container may do, so a file is taken only if it is whole, of our own, and nobody else can write
it or its directory.  Whatever is wrong with the cache, the filter is compiled: it is never an error, and never a
filter less.
"""

from __future__ import annotations

import posix
from _blake2 import blake2b
from _struct import Struct

from minirun import __version__

FORMAT = f"minirun {__version__}, filter 2"  # what the same lines compile to
KEY_SIZE = CHECK_SIZE = 32
HEAD = Struct("<32s32sqqHI")  # checksum, key, the library's time and size, length of its name, length of the program
LARGEST = 65536
MOST = 64  # files; a machine has a handful of profiles
NOBODY_ELSE = 0o022
READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
WRITE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
FILE = 0o100000  # stat's format of a regular file


def filter_of(lines: list[str], folder: str) -> bytes:
    """The program for ``lines``: from ``folder``, or compiled and kept there.  Raises what ``compile_lines`` raises."""
    key = key_of(lines)
    place = directory(folder)
    program = look_up(place, key) if place >= 0 else b""
    if not program:
        from minirun.engine.filter_compile import compile_lines

        program = compile_lines(lines)
        if place >= 0:
            keep(place, key, program)
    if place >= 0:
        posix.close(place)
    return program


def key_of(lines: list[str]) -> bytes:
    system = posix.uname()
    text = "\n".join([FORMAT, system.release, system.machine, *lines])
    return blake2b(text.encode(), digest_size=KEY_SIZE).digest()


def directory(path: str) -> int:
    """The cache, made if need be; -1 if it is not ours alone, or there is no place for one."""
    if not path:
        return -1
    for attempt in (1, 2):
        try:
            fd = posix.open(path, READ | posix.O_DIRECTORY)
        except FileNotFoundError:
            if attempt == 2 or not make(path):
                return -1
            continue
        except OSError:
            return -1
        found = posix.fstat(fd)
        if found.st_uid == posix.geteuid() and not found.st_mode & NOBODY_ELSE:
            return fd
        posix.close(fd)
        return -1
    return -1


def make(path: str) -> bool:
    for part in (path.rpartition("/")[0], path):
        try:
            posix.mkdir(part, 0o700)
        except FileExistsError:
            continue
        except OSError:
            return False
    return True


def look_up(place: int, key: bytes) -> bytes:
    """The program, or nothing."""
    try:
        fd = posix.open(key.hex(), READ, dir_fd=place)
    except OSError:
        return b""
    try:
        found = posix.fstat(fd)
        ours = found.st_uid == posix.geteuid() and not found.st_mode & NOBODY_ELSE and found.st_mode & 0o170000 == FILE
        data = posix.read(fd, LARGEST) if ours and found.st_size < LARGEST else b""
    except OSError:
        return b""
    finally:
        posix.close(fd)
    return unpack(data, key)


def unpack(data: bytes, key: bytes) -> bytes:
    """What a file holds, if it is whole, the one that was asked for, and of the library that is there now."""
    if len(data) < HEAD.size:
        return b""
    checksum, owner, time, size, name, length = HEAD.unpack_from(data)
    if owner != key or len(data) != HEAD.size + name + length or checksum != check(data):
        return b""
    library = data[HEAD.size : HEAD.size + name].decode("utf-8", "surrogateescape")
    return data[HEAD.size + name :] if stamp(library) == (time, size) else b""


def check(data: bytes) -> bytes:
    return blake2b(memoryview(data)[CHECK_SIZE:], digest_size=CHECK_SIZE).digest()


def stamp(path: str) -> tuple[int, int]:
    """What tells one libseccomp from the next; nothing fits a library that is not there."""
    try:
        found = posix.stat(path)
    except (OSError, ValueError):
        return -1, -1
    return found.st_mtime_ns, found.st_size


def keep(place: int, key: bytes, program: bytes) -> None:
    """All or nothing, under its name only once it is whole; what cannot be written is compiled again next time."""
    from minirun.linux.libseccomp import file

    library = file()
    time, size = stamp(library)
    if size < 0:
        return
    name = library.encode("utf-8", "surrogateescape")
    data = HEAD.pack(bytes(CHECK_SIZE), key, time, size, len(name), len(program)) + name + program
    data = check(data) + data[CHECK_SIZE:]
    new = f".{key.hex()}.{posix.getpid()}"
    try:
        make_room(place)
        fd = posix.open(new, WRITE, 0o600, dir_fd=place)
    except OSError:
        return
    try:
        if posix.write(fd, data) == len(data):
            posix.rename(new, key.hex(), src_dir_fd=place, dst_dir_fd=place)
        else:
            posix.unlink(new, dir_fd=place)
    except OSError:  # a full disk; the whole directory may be gone as well
        discard(place, new)
    finally:
        posix.close(fd)


def discard(place: int, name: str) -> None:
    try:
        posix.unlink(name, dir_fd=place)
    except OSError:
        return


def make_room(place: int) -> None:
    """The oldest go, and with them what a writer that was killed left behind."""
    names = posix.listdir(place)
    if len(names) < MOST:
        return
    aged = []
    for name in names:
        try:
            aged.append((posix.stat(name, dir_fd=place, follow_symlinks=False).st_mtime_ns, name))
        except FileNotFoundError:
            continue
    for _, name in sorted(aged)[: len(names) - MOST + 1]:
        discard(place, name)
