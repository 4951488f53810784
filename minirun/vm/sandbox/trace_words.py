"""PURE: how strace(1) spells what system calls are given: shapes of calls, names of flags.

A shape has a letter for each argument:

    f  a descriptor     d  a directory's, or AT_FDCWD     s  a path or name     v  a vector of strings, V  how many
    w  bytes that are written, as many as the next argument says     r  bytes that were read, as many as the result says
    x  hexadecimal      o  octal      n  a number      P  two descriptors      S  struct stat      T  struct timespec
    k  a signal         A  a socket's address, its size is the next argument
    O M R C W  flags of open, mmap, protections, clone, wait
"""

from __future__ import annotations

SHAPES = {
    "read": "frn", "write": "fwn", "pread64": "frnn", "pwrite64": "fwnn", "open": "sOo", "openat": "dsOo", "close": "f",
    "stat": "sS", "lstat": "sS", "fstat": "fS", "newfstatat": "dsSx", "statx": "dsxxx", "lseek": "fnn",
    "access": "sn", "faccessat": "dsn", "faccessat2": "dsnx", "readlink": "srn", "readlinkat": "dsrn",
    "execve": "svV", "execveat": "dsvVx", "chdir": "s", "fchdir": "f", "mkdir": "so", "mkdirat": "dso", "rmdir": "s",
    "unlink": "s", "unlinkat": "dsx", "rename": "ss", "renameat": "dsds", "renameat2": "dsdsx", "link": "ss",
    "linkat": "dsdsx", "symlink": "ss", "symlinkat": "sds", "chmod": "so", "fchmod": "fo", "fchmodat": "dso",
    "chown": "snn", "lchown": "snn", "fchown": "fnn", "fchownat": "dsnnx", "truncate": "sn", "ftruncate": "fn",
    "mknod": "son", "mknodat": "dson", "utimensat": "dsxx", "statfs": "sx", "fstatfs": "fx", "creat": "so",
    "mmap": "xnRMfx", "munmap": "xn", "mprotect": "xnR", "mremap": "xnnxx", "brk": "x", "madvise": "xnn",
    "dup": "f", "dup2": "fn", "dup3": "fnO", "pipe": "P", "pipe2": "PO", "fcntl": "fnx", "ioctl": "fxx",
    "getdents64": "fxn", "getcwd": "rn", "fsync": "f", "flock": "fn", "umask": "o",
    "clone": "Cxxxx", "wait4": "nxWx", "kill": "nk", "tgkill": "nnk", "tkill": "nk", "exit": "n", "exit_group": "n",
    "rt_sigaction": "kxxn", "rt_sigprocmask": "nxxn", "rt_sigreturn": "", "sigaltstack": "xx", "pause": "",
    "nanosleep": "Tx", "clock_nanosleep": "nxTx", "clock_gettime": "nT", "futex": "xxnxxn", "arch_prctl": "xx",
    "socket": "nxn", "bind": "fAn", "connect": "fAn", "listen": "fn", "accept": "fxx", "accept4": "fxxx",
    "sendto": "fwnxxn", "recvfrom": "frnxxx", "socketpair": "nxnx", "shutdown": "fn", "setsockopt": "fnnxn",
    "getsockopt": "fnnxx", "sendmsg": "fxx", "recvmsg": "fxx", "poll": "xnn", "ppoll": "xnxxn",
    "epoll_ctl": "fnfx", "epoll_wait": "fxnn", "epoll_pwait": "fxnnxn", "getrandom": "xnx", "prctl": "nxxxx",
    "set_tid_address": "x", "set_robust_list": "xn", "prlimit64": "nnxx", "uname": "x", "sysinfo": "x",
    "inotify_add_watch": "fsx", "memfd_create": "sx", "sethostname": "wn", "chroot": "s",
}  # fmt: skip

OPEN = {
    0o100: "O_CREAT", 0o200: "O_EXCL", 0o400: "O_NOCTTY", 0o1000: "O_TRUNC", 0o2000: "O_APPEND", 0o4000: "O_NONBLOCK",
    0o10000: "O_DSYNC", 0o40000: "O_DIRECT", 0o100000: "O_LARGEFILE", 0o200000: "O_DIRECTORY", 0o400000: "O_NOFOLLOW",
    0o1000000: "O_NOATIME", 0o2000000: "O_CLOEXEC", 0o10000000: "O_PATH",
}  # fmt: skip
ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
PROTECTION = {1: "PROT_READ", 2: "PROT_WRITE", 4: "PROT_EXEC"}
MAP = {
    1: "MAP_SHARED", 2: "MAP_PRIVATE", 0x10: "MAP_FIXED", 0x20: "MAP_ANONYMOUS", 0x800: "MAP_DENYWRITE",
    0x4000: "MAP_NORESERVE", 0x8000: "MAP_POPULATE", 0x20000: "MAP_STACK", 0x100000: "MAP_FIXED_NOREPLACE",
}  # fmt: skip
CLONE = {
    0x100: "CLONE_VM", 0x200: "CLONE_FS", 0x400: "CLONE_FILES", 0x800: "CLONE_SIGHAND", 0x1000: "CLONE_PIDFD",
    0x4000: "CLONE_VFORK", 0x10000: "CLONE_THREAD", 0x40000: "CLONE_SYSVSEM", 0x80000: "CLONE_SETTLS",
    0x100000: "CLONE_PARENT_SETTID", 0x200000: "CLONE_CHILD_CLEARTID", 0x1000000: "CLONE_CHILD_SETTID",
}  # fmt: skip
WAIT = {1: "WNOHANG", 2: "WUNTRACED", 4: "WEXITED", 8: "WCONTINUED", 0x1000000: "WNOWAIT", 0x40000000: "__WALL"}


def flags(value: int, names: dict[int, str], none: str = "0") -> str:
    found = [name for bit, name in names.items() if value & bit == bit]
    rest = value & ~sum(bit for bit in names if value & bit == bit)
    return "|".join(found + ([hex(rest)] if rest else [])) or none


def opened(value: int) -> str:
    """open(2): a way of access, and flags."""
    return "|".join([ACCESS[value & 3], *([flags(value & ~3, OPEN)] if value & ~3 else [])])


def quoted(data: bytes, most: int) -> str:
    """As in C; what is cut off is shown by dots."""
    text = ""
    for byte in data[:most]:
        letter = chr(byte)
        if letter in '"\\':
            text += "\\" + letter
        elif byte in (9, 10, 13):
            text += {9: "\\t", 10: "\\n", 13: "\\r"}[byte]
        else:
            text += letter if 32 <= byte < 127 else f"\\{byte:o}" if byte else "\\0"
    return f'"{text}"' + ("..." if len(data) > most else "")
