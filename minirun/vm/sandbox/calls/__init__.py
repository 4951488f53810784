"""The system calls: one function each, in modules by theme, under the name of its manual page.

A function gets the thread that calls and the call's arguments (unsigned, 64 bits), and returns what the program finds
in RAX: a result, or -errno.  ``Fault`` is EFAULT and ``OSError`` its errno.  What nobody serves answers ENOSYS.

Most of them are the host's call of the same name, with the program's pointers and descriptors exchanged for ours:
``plain`` has those, each a row of kinds.  The others are in ``THEMES``; a theme is imported for the first of its calls
that the program makes.
"""

from __future__ import annotations

import sys

from minirun import hot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

THEMES = {
    "addresses": "bind connect sendto",
    "events": "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2"
    " eventfd eventfd2 timerfd_create inotify_init inotify_init1 inotify_rm_watch",
    "execute": "execve execveat",
    "files": "open openat openat2 creat close close_range dup dup2 dup3 fcntl pipe pipe2 ioctl readv writev preadv"
    " pwritev preadv2 pwritev2 memfd_create",
    "limits": "prlimit64 getrlimit setrlimit",
    "looks": "stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat",
    "memory": "brk mmap munmap mprotect mremap madvise msync mincore mlock munlock",
    "messages": "sendmsg recvmsg sendmmsg recvmmsg",
    "names": "mkdir mkdirat rmdir unlink unlinkat mknod mknodat link linkat symlink symlinkat rename renameat renameat2"
    " chmod fchmodat chown lchown fchownat utime utimes futimesat utimensat truncate statfs chdir chroot setxattr"
    " lsetxattr getxattr lgetxattr listxattr llistxattr removexattr lremovexattr inotify_add_watch",
    "prctl": "prctl personality",
    "proc": "getdents getdents64 lseek",
    "process": "clone clone3 fork vfork exit exit_group kill tkill tgkill set_tid_address set_robust_list futex"
    " arch_prctl",
    "refused": "unshare setns mount umount2 pivot_root move_mount open_tree fsopen fsconfig fsmount fspick"
    " mount_setattr swapon swapoff reboot acct settimeofday clock_settime iopl ioperm init_module finit_module"
    " delete_module kexec_load kexec_file_load bpf perf_event_open ptrace process_vm_readv process_vm_writev"
    " pidfd_getfd open_by_handle_at syslog quotactl quotactl_fd fanotify_init process_madvise migrate_pages move_pages"
    " name_to_handle_at",
    "signals": "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait sigaltstack pause",
    "sockets": "socket socketpair setsockopt getsockopt accept accept4",
    "timers": "timer_create timer_delete signalfd signalfd4 pidfd_open pidfd_send_signal waitid",
}
THEME_OF = {name: theme for theme, names in THEMES.items() for name in names.split()}
TABLE: dict[str, Callable[..., int]] = {}
ARGUMENTS: dict[str, int] = {}  # how many of the six a function takes


def served(function: Any) -> Any:
    """The decorator of a call's function; a trailing underscore is Python's."""
    name = function.__name__.removesuffix("_")
    TABLE[name] = function
    ARGUMENTS[name] = function.__code__.co_argcount - 1
    return function


def int32(value: int) -> int:
    """An argument that is an int in C."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def int64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def find(name: str) -> Callable[..., int] | None:
    """The function that serves a call, of a theme that may have to be imported first."""
    if name in THEME_OF:
        bring(THEME_OF[name])
    else:
        from minirun.vm.sandbox.calls import plain

        plain.serve(name)
    return TABLE.get(name)


def bring(theme: str) -> None:
    module = f"minirun.vm.sandbox.calls.{theme}"
    try:
        hot.board(module)
        __import__(module)
    except BaseException:
        sys.modules.pop(module, None)  # half of it
        raise


def everything() -> None:
    """Import every theme: before there is a second thread, and before a copy that would have it for itself alone."""
    from minirun.vm.sandbox.calls import plain

    for theme in THEMES:
        bring(theme)
    plain.serve(*plain.ROWS)
