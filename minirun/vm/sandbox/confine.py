"""What a sandbox's VMM may ask of the host: attack surface is the length of this list.

It stands in the container, with the container's user, capabilities, mounts and namespaces, so whatever the program
makes it do is what a program in a container could do; and of that only the calls below.  No execve(2), no memory that
can be executed, no namespace, no mount, no tracing, no socket but of the families that sockets(2) lets through.
"""

from __future__ import annotations

from minirun.engine.filter_cache import filter_of
from minirun.vm.sandbox.calls.plain import ROWS

# What the program's calls become, beside those that are the host's own (calls/plain.py).
FOR_THE_PROGRAM = (
    "accept4 chdir close copy_file_range dup epoll_create1 epoll_ctl epoll_pwait eventfd2 exit exit_group"
    " faccessat2 fcntl fork futex inotify_add_watch inotify_init1 inotify_rm_watch kill madvise memfd_create"
    " mincore mprotect mremap msync munmap openat2 pause pipe2 ppoll prctl preadv preadv2 prlimit64 pwritev"
    " pwritev2 readlinkat readv recvmsg rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend"
    " rt_sigtimedwait sendmsg socketpair statx tgkill timerfd_create tkill vfork writev newfstatat"
    " chroot fchmodat fchownat fstatfs ftruncate getdents getdents64 getxattr lgetxattr linkat listxattr llistxattr"
    " lremovexattr lseek lsetxattr mkdirat mknodat removexattr renameat2 setxattr symlinkat unlinkat utimensat"
    " timer_create timer_delete signalfd4 pidfd_open pidfd_send_signal waitid recvmmsg sendmmsg"
)
# And what Python needs to serve them.
FOR_PYTHON = (
    "brk clock_gettime getcwd getpid gettid mlock process_vm_readv process_vm_writev restart_syscall rseq"
    " sched_getaffinity set_robust_list set_tid_address sigaltstack membarrier fstatfs readlink"
)
PROT_EXEC = 4
CLONE_NAMESPACES = 0x7E020000 | 0x00000080  # CLONE_NEW*
FAMILIES = (1, 2, 10, 16)


def lines(requests: list[int]) -> list[str]:
    """In the form that minirun compiles filters from; ``requests``: the ioctls of KVM and of terminals."""
    names = sorted({*ROWS, *FOR_THE_PROGRAM.split(), *FOR_PYTHON.split()} - {"socket"})
    rows = ["default errno 1", f"allow {' '.join(names)}"]
    rows.append(f"allow mmap where 2 & {PROT_EXEC:#x} == 0x0")
    rows.append(f"allow clone where 0 & {CLONE_NAMESPACES:#x} == 0x0")
    rows.append("errno 38 clone3")
    rows += [f"allow socket where 0 == {family:#x}" for family in FAMILIES]
    return rows + [f"allow ioctl where 1 == {number:#x}" for number in sorted(set(requests))]


def compiled(requests: list[int], cache: str) -> bytes:
    return filter_of(lines(requests), cache)
