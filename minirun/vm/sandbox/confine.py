"""What a sandbox's VMM may ask of the host: attack surface is the length of this list.

It stands in the container, with the container's user, capabilities, mounts and namespaces, so whatever the program
makes it do is what a program in a container could do; and of that only the calls below, with the arguments below.
No execve(2), no memory that can be executed, no namespace, no mount, no tracing, no path but through openat2(2) and its
kind, no process but by fork(2), no socket but of four families, no ioctl(2) but KVM's few and a terminal's.

What can be said of a call here is said of its numbers; whom kill(2) reaches is for the container's pid namespace.
"""

from __future__ import annotations

from minirun.engine.filter_cache import filter_of
from minirun.linux.kvm import lib
from minirun.vm.sandbox.calls.plain import IOCTLS, ROWS

# What the program's calls become, beside those that are the host's own (calls/plain.py).
FOR_THE_PROGRAM = (
    "accept4 chroot close dup epoll_create1 epoll_ctl epoll_pwait eventfd2 exit exit_group faccessat2 fchmodat"
    " fchownat futex getdents getdents64 getsockopt getxattr inotify_add_watch inotify_init1 inotify_rm_watch kill"
    " lgetxattr linkat listxattr llistxattr lremovexattr lseek lsetxattr memfd_create mincore mkdirat mknodat mremap"
    " msync munmap openat2 pause pipe2 ppoll preadv preadv2 prlimit64 pwritev pwritev2 readlinkat readv recvmsg"
    " removexattr renameat2 rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait"
    " sendmsg setsockopt setxattr statx symlinkat tgkill timerfd_create tkill unlinkat utimensat writev newfstatat"
    " bind connect sendto timer_create timer_delete signalfd4 pidfd_open pidfd_send_signal waitid"
)
# And what Python needs to serve them.
FOR_PYTHON = (
    "brk clock_gettime getcwd getpid gettid process_vm_readv process_vm_writev restart_syscall rseq set_robust_list"
    " set_tid_address"
)
# ioctl(2): KVM's, and those of terminals and sockets.
KVM_REQUESTS = (
    "KVM_RUN", "KVM_CREATE_VM", "KVM_CREATE_VCPU", "KVM_SET_USER_MEMORY_REGION", "KVM_SET_CPUID2", "KVM_GET_SREGS",
    "KVM_SET_SREGS", "KVM_SET_XCRS", "KVM_SET_MSRS", "KVM_GET_XSAVE", "KVM_SET_XSAVE", "KVM_GET_SUPPORTED_CPUID",
    "KVM_GET_VCPU_MMAP_SIZE",
)  # fmt: skip
REQUESTS = sorted({*(getattr(lib, name) for name in KVM_REQUESTS), *IOCTLS})
PROT_EXEC = 4
CLONE_NAMESPACES = 0x7E020000 | 0x00000080  # CLONE_NEW*
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
# Which numbers an argument may be: call -> (argument, numbers).
NARROWED = {
    "socket": (0, FAMILIES),
    "socketpair": (0, FAMILIES),
    # F_DUPFD to F_SETFL, locks, F_DUPFD_CLOEXEC, sizes of pipes, seals; no F_SETOWN, which sends signals
    "fcntl": (1, (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032, 1033, 1034)),
    # PR_SET/GET_PDEATHSIG, GET_DUMPABLE, SET_DUMPABLE, SET_KEEPCAPS, NAME, CAPBSET, CHILD_SUBREAPER, NO_NEW_PRIVS
    "prctl": (0, (1, 2, 7, 8, 15, 16, 23, 24, 29, 30, 36, 37, 38, 39, 47)),
    # NORMAL to DONTNEED, FREE, COLD, PAGEOUT, POPULATE_READ, POPULATE_WRITE
    "madvise": (2, (0, 1, 2, 3, 4, 8, 20, 21, 22, 23)),
}


def lines() -> list[str]:
    """In the form that minirun compiles filters from."""
    freely = sorted({*ROWS, *FOR_THE_PROGRAM.split(), *FOR_PYTHON.split()} - set(NARROWED))
    rows = ["default errno 1", f"allow {' '.join(freely)}"]
    rows += [f"allow {call} where 2 & {PROT_EXEC:#x} == 0x0" for call in ("mmap", "mprotect")]
    rows.append(f"allow clone where 0 & {CLONE_NAMESPACES:#x} == 0x0")
    rows.append("errno 38 clone3")
    for call, (argument, numbers) in NARROWED.items():
        rows += [f"allow {call} where {argument} == {number:#x}" for number in numbers]
    return rows + [f"allow ioctl where 1 == {number:#x}" for number in REQUESTS]


def compiled(cache: str) -> bytes:
    return filter_of(lines(), cache)
