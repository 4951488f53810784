"""Calls that are the host's own, but for pointers, paths and descriptors: a row of kinds each.

    n  a number          p  a pointer of the program's, which may be null      f  a descriptor
    s  a name, copied before it is used: another thread may change it while we look

No path is among them: where one leads is for ``paths`` to say.
"""

from __future__ import annotations

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import ARGUMENTS, TABLE, int32, int64
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.sandbox.thread import Thread

AT_FDCWD = -100
ENAMETOOLONG, EFAULT = 36, 14
PATH_MAX = 4096

ROWS = {
    # files
    "read": "fpn", "write": "fpn", "pread64": "fpnn", "pwrite64": "fpnn", "fstat": "fp",
    "fsync": "f", "fdatasync": "f", "ftruncate": "fn", "fadvise64": "fnnn",
    "fallocate": "fnnn", "flock": "fn", "fchmod": "fn", "fchown": "fnn", "fstatfs": "fp", "syncfs": "f", "sync": "",
    "readahead": "fnn", "fsetxattr": "fspnn", "fgetxattr": "fspn", "flistxattr": "fpn", "fremovexattr": "fs",
    "sendfile": "ffpn", "copy_file_range": "fpfpnn", "splice": "fpfpnn", "tee": "ffnn", "sync_file_range": "fnnn",
    "fchdir": "f", "getcwd": "pn", "umask": "n",
    # identity
    "getuid": "", "geteuid": "", "getgid": "", "getegid": "", "setuid": "n", "setgid": "n", "setreuid": "nn",
    "setregid": "nn", "setresuid": "nnn", "setresgid": "nnn", "getresuid": "ppp", "getresgid": "ppp",
    "getgroups": "np", "setgroups": "np", "setfsuid": "n", "setfsgid": "n", "capget": "pp", "capset": "pp",
    # processes
    "getpid": "", "gettid": "", "getppid": "", "getpgrp": "", "getpgid": "n", "setpgid": "nn", "getsid": "n",
    "setsid": "", "getpriority": "nn", "setpriority": "nnn", "sched_yield": "", "sched_getaffinity": "nnp",
    "sched_setaffinity": "nnp", "sched_getscheduler": "n", "sched_getparam": "np", "sched_get_priority_max": "n",
    "sched_get_priority_min": "n", "getrusage": "np", "times": "p", "getcpu": "ppp", "wait4": "npnp",
    "sysinfo": "p", "uname": "p",
    "sethostname": "pn", "setdomainname": "pn", "getrandom": "pnn",
    # time
    "clock_gettime": "np", "clock_getres": "np", "clock_nanosleep": "nnpp", "nanosleep": "pp", "gettimeofday": "pp",
    "time": "p", "alarm": "n", "getitimer": "np", "setitimer": "npp",
    "timer_settime": "nnpp", "timer_gettime": "np", "timer_getoverrun": "n",
    "rt_sigqueueinfo": "nnp", "rt_tgsigqueueinfo": "nnnp", "membarrier": "nnn", "sched_rr_get_interval": "np",
    "sched_setscheduler": "nnp", "sched_setparam": "np", "sched_getattr": "npnn", "sched_setattr": "npn",
    "ioprio_get": "nn", "ioprio_set": "nnn", "clock_adjtime": "np", "adjtimex": "p", "ustat": "np", "vhangup": "",
    "timerfd_settime": "fnpp", "timerfd_gettime": "fp",
    # sockets
    "listen": "fn", "getsockname": "fpp", "getpeername": "fpp",
    "recvfrom": "fpnnpp", "shutdown": "fn",
}  # fmt: skip

# ioctl(2), of terminals and sockets: request -> does it take a pointer?
IOCTLS = {
    0x5401: True, 0x5402: True, 0x5403: True, 0x5404: True, 0x5405: True, 0x5409: False, 0x540A: False,
    0x540B: False, 0x540E: False, 0x540F: True, 0x5410: True, 0x5411: True, 0x5413: True, 0x5414: True,
    0x5421: True, 0x541B: True, 0x5422: False, 0x5429: True, 0x80045430: True, 0x40045431: True, 0x540D: True,
}  # fmt: skip

# A signal that comes before one of these is handled before it (native/vm/sandbox_enter.c).
WAITING = {
    "read", "write", "pread64", "pwrite64", "flock", "sendfile", "splice", "tee", "wait4", "clock_nanosleep",
    "nanosleep", "recvfrom",
}  # fmt: skip


def descriptor(thread: Thread, value: int) -> int:
    return thread.process.files.host(int32(value))


def directory(thread: Thread, value: int) -> int:
    """One that is not there matters only to a path that begins there: the host says it."""
    number = int32(value)
    if number == AT_FDCWD:
        return number
    try:
        return thread.process.files.host(number)
    except OSError:
        return -1


def pointer(thread: Thread, value: int) -> int:
    """The host's kernel looks at what is behind it."""
    return thread.memory.host(value) if value else 0


def path(thread: Thread, value: int) -> int:
    """A copy of ours; it lives until the thread's next call."""
    if not value:
        return 0
    text = thread.memory.string(value, PATH_MAX)
    if len(text) >= PATH_MAX:
        raise OSError(ENAMETOOLONG, "path")
    room = ffi.new("char[]", text)
    thread.kept.append(room)
    return int(ffi.cast("uintptr_t", room))


KINDS: dict[str, Callable[[Thread, int], int]] = {
    "n": lambda thread, value: int64(value), "p": pointer, "f": descriptor, "s": path,
}  # fmt: skip


def host(name: str, thread: Thread, *values: int) -> int:
    """The host's call ``name``; a path that is null is an error of its own."""
    exchanged = [KINDS[kind](thread, value) for kind, value in zip(ROWS[name], values, strict=False)]
    done: int = lib.host_call(NUMBER[name], *exchanged, *(0,) * (6 - len(exchanged)))
    return done


def make(name: str, kinds: str) -> Callable[..., int]:
    number = NUMBER[name]
    rest = (0,) * (6 - len(kinds))
    exchange = [KINDS[kind] for kind in kinds]
    call = lib.host_call
    enter = lib.guest_call

    def waiting(thread: Thread, *values: int) -> int:
        done: int = enter(
            thread.processor.native, number,
            *[kind(thread, value) for kind, value in zip(exchange, values, strict=True)], *rest,
        )  # fmt: skip
        return done

    def plain(thread: Thread, *values: int) -> int:
        done: int = call(number, *[kind(thread, value) for kind, value in zip(exchange, values, strict=True)], *rest)
        return done

    return waiting if name in WAITING else plain


def serve(*names: str) -> None:
    """Make the functions of these rows, if they are rows: a program needs few of them."""
    for name in names:
        if name in ROWS and name not in TABLE:
            TABLE[name] = make(name, ROWS[name])
            ARGUMENTS[name] = len(ROWS[name])
