"""procfs (proc(5)): what is there of the program, and what of us the program shall not see."""

from __future__ import annotations

import posix
from _struct import pack

from minirun.linux.kvm import lib
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EACCES, EINVAL, ENOENT, EFAULT = 13, 22, 2, 14
O_PATH, O_ACCMODE = 0o10000000, 3
# What there is to read in procfs: facts about the machine, and of a process what says nothing of our own memory.
OF_PROCESSES = {
    "stat", "status", "comm", "cgroup", "mountinfo", "mounts", "mountstats", "loginuid", "sessionid", "limits", "statm",
    "oom_score", "oom_score_adj", "io", "schedstat", "cpuset", "uid_map", "gid_map", "setgroups", "projid_map", "wchan",
    "personality", "autogroup", "timerslack_ns", "coredump_filter", "timens_offsets", "net", "task", "ns",
}  # fmt: skip
OWN_TO_WRITE = ("comm", "oom_score_adj", "coredump_filter", "timerslack_ns")
FOLDERS = ("fd", "fdinfo", "task")
DT_DIR, DT_REG, DT_LNK = 4, 8, 10
call = lib.host_call


def place(where: str) -> tuple[int, list[str]]:
    """/proc/12/task/12/stat: the process's number, and what of it; (0, []) if it is no process's."""
    words = [word for word in where.split("/") if word]
    at = next((index for index, word in enumerate(words) if word.isdigit()), -1)
    if at < 0:
        return 0, []
    rest = words[at + 1 :]
    return int(words[at]), rest[2:] if rest[:1] == ["task"] and len(rest) > 1 else rest


def opened(thread: Thread, host: int, flags: int) -> int:
    """Something below /proc: ours to refuse, or to answer in the kernel's place."""
    process = thread.process
    where = process.where(host)
    pid, rest = place(where)
    own = pid == posix.getpid()
    if flags & O_PATH:
        if own and rest[:1] == ["fd"] and len(rest) == 2 and int(rest[1]) not in process.files.table:
            posix.close(host)
            return -ENOENT
        return host
    if where != "/proc" and not where.startswith("/proc/"):  # elsewhere, or nobody can say where
        posix.close(host)
        return -EACCES
    if not pid or not rest:
        return host  # the machine's: the mounts of config.json say what may be written there
    if own and len(rest) == 1 and rest[0] in FOLDERS:
        process.listed[host] = (rest[0], 0)
        return host
    reading = flags & O_ACCMODE == 0
    if own and reading and rest == ["stat"]:
        line = posix.pread(host, 4096, 0)
        posix.close(host)
        return made("stat", without_addresses(line))
    if rest[0] in OF_PROCESSES and (reading or (own and rest[0] in OWN_TO_WRITE)):
        return host
    posix.close(host)
    text = own_file(thread, rest) if own and reading else None
    return -EACCES if text is None else made(rest[0], text)


def without_addresses(line: bytes) -> bytes:
    """/proc/PID/stat says where code, stack, heap and arguments are (proc(5)): here they would be ours."""
    name, _, rest = line.rstrip(b"\n").rpartition(b")")
    words = rest.split(b" ")  # the third field is behind an empty word
    for field in (*range(26, 31), *range(45, 52)):
        if field - 2 < len(words):
            words[field - 2] = b"0"
    return name + b")" + b" ".join(words) + b"\n"


def made(name: str, text: bytes) -> int:
    """A file with this in it."""
    host = posix.memfd_create(name, 1)
    posix.write(host, text)
    posix.lseek(host, 0, 0)
    return host


def own_file(thread: Thread, rest: list[str]) -> bytes | None:
    """What /proc/self has of the program, not of us."""
    process = thread.process
    if rest[0] == "fdinfo" and rest[1].isdigit():
        host = process.files.table.get(int(rest[1]))
        return None if host is None else contents(f"self/fdinfo/{host}", process.proc)
    if rest in (["maps"], ["smaps"]):
        rows = []
        for start, end, bits in process.memory.areas:
            letters = "".join(letter if bits & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))
            rows.append(f"{start:08x}-{end:08x} {letters}p 00000000 00:00 0 \n")
        return "".join(rows).encode()
    if rest == ["cmdline"]:
        return b"".join(word + b"\0" for word in process.args)
    if rest == ["environ"]:
        return b"".join(word + b"\0" for word in process.env)
    return b"" if rest == ["auxv"] else None


def contents(name: str, proc: int) -> bytes | None:
    from minirun.vm.sandbox.calls.paths import open_text

    fd = open_text(proc, name.encode(), posix.O_RDONLY)
    if fd < 0:
        return None
    try:
        return posix.read(fd, 4096)
    finally:
        posix.close(fd)


def link(thread: Thread, where: str) -> bytes | None:
    """A magic link of ours: fd/N, exe, cwd and root are the program's; b"" for what it may not see; None: not magic."""
    process = thread.process
    pid, rest = place(where)
    if not pid or not rest or rest[0] == "ns":
        return None
    if pid == posix.getpid():
        if rest == ["exe"]:
            return process.exe
        if rest in (["cwd"], ["root"]):
            return posix.getcwdb() if rest == ["cwd"] else b"/"
        if rest[0] == "fd" and len(rest) == 2 and rest[1].isdigit():
            host = process.files.table.get(int(rest[1]))
            return process.where(host).encode("utf-8", "surrogateescape") if host is not None else b""
    return b"" if rest[0] in ("exe", "cwd", "root", "fd", "map_files") else None


# -- listings: numbers that are the program's ----------------------------------------------------------------------


def names(thread: Thread, kind: str) -> list[tuple[str, int]]:
    process = thread.process
    if kind == "task":
        numbers, what = sorted(each.tid for each in list(process.threads)), DT_DIR
    else:
        numbers, what = sorted(process.files.table), DT_LNK if kind == "fd" else DT_REG
    return [(".", DT_DIR), ("..", DT_DIR), *[(str(number), what) for number in numbers]]


@served
def getdents64(thread: Thread, fd: int, room: int, size: int) -> int:
    return entries(thread, "getdents64", fd, room, size)


@served
def getdents(thread: Thread, fd: int, room: int, size: int) -> int:
    return entries(thread, "getdents", fd, room, size)


def entries(thread: Thread, call_name: str, fd: int, room: int, size: int) -> int:
    """Of a directory; those of /proc/self/fd and /proc/self/task are made here."""
    process, size = thread.process, size & 0xFFFFFFFF
    host = process.files.host(int32(fd))
    marked = process.listed.get(host)
    if marked is None or place(process.where(host)) != (posix.getpid(), [marked[0]]):
        process.listed.pop(host, None)
        return int(call(NUMBER[call_name], host, thread.memory.host(room, size), size, 0, 0, 0))
    kind, position = marked
    data = b""
    for name, what in names(thread, kind)[position:]:
        row = record(position, name.encode(), what, old=call_name == "getdents")
        if len(data) + len(row) > size:
            break
        data += row
        position += 1
    if not data and position < len(names(thread, kind)):
        return -EINVAL
    thread.memory.write(room, data)
    process.listed[host] = (kind, position)
    return len(data)


def record(position: int, name: bytes, what: int, *, old: bool) -> bytes:
    """struct linux_dirent, or linux_dirent64."""
    head = 18 if old else 19
    size = (head + len(name) + 2 + 7) & -8
    if old:
        return (pack("<QQH", 1000 + position, position + 1, size) + name).ljust(size - 1, b"\0") + bytes((what,))
    return (pack("<QQHB", 1000 + position, position + 1, size, what) + name).ljust(size, b"\0")


@served
def lseek(thread: Thread, fd: int, offset: int, whence: int) -> int:
    host = thread.process.files.host(int32(fd))
    listed = thread.process.listed
    if host in listed and whence == 0:
        listed[host] = (listed[host][0], max(int64(offset), 0))
    return int(call(NUMBER["lseek"], host, int64(offset), int32(whence), 0, 0, 0))
