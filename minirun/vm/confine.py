"""The VMM in a cell: what it keeps once its machine is built, before the guest's first instruction.

A guest that breaks out of its machine is in this process.  There it finds

    root          an empty, read-only directory; of the host's files only what the share has open (fs.py)
    namespaces    mount, network, ipc, uts of its own: no interface, nobody to send a signal to by name
    capabilities  those that a file server of root's needs to give files their owners and modes; none of them
                  reaches outside the share, for there is nothing else to reach
    system calls  the list below; no execve(2), no new memory that can be executed, no socket but AF_UNIX
    limits        no core dumps (guest memory is nobody's file), no more descriptors than the machine can need

An ordinary user's VMM has his rights and no more from the beginning; of the cell it has the filter and the limits.

The order is the kernel's: namespaces and capabilities belong to a thread, so they come before the devices start theirs
(``begin``, ``enter``); the filter is given to all threads at once, last (``close``).  Every module that the VMM will
need must have been imported by then: there is no file left to import from.
"""

from __future__ import annotations

import resource
from _struct import pack
from posix import getpid

from minirun.engine.filter_cache import filter_of
from minirun.linux import confine
from minirun.plan.process import NUMBER

# A file server for a guest's root: it makes files for the uids that requests carry (docs/share.md).  No SETUID, files
# change hands by chown(2); no DAC_READ_SEARCH, which would be open_by_handle_at(2) to the whole file system.
OF_THE_SHARE = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
MOST_FILES = 65536

CALLS = {
    "memory": "brk madvise mincore mlock mremap msync munmap",
    "threads": "exit exit_group futex gettid getpid rseq sched_yield set_robust_list set_tid_address"
    " sched_getaffinity membarrier restart_syscall",
    "signals": "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack",
    "time": "clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep timerfd_create timerfd_gettime"
    " timerfd_settime",
    "descriptors": "close dup dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 lseek pipe2 poll ppoll"
    " pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readv write writev",
    "sockets": "accept4 bind connect getsockopt getsockname listen recvfrom recvmsg sendmsg sendto setsockopt shutdown",
    "files": "copy_file_range fadvise64 fallocate fchdir fchmod fchmodat fchown fchownat fdatasync fgetxattr flistxattr"
    " fremovexattr fsetxattr fstat fstatfs fsync ftruncate getdents64 linkat mkdirat mknodat newfstatat openat openat2"
    " readlinkat renameat2 stat statfs statx symlinkat syncfs umask unlinkat utimensat",
    "users": "getegid geteuid getgid getuid",
    "others": "getrandom getrusage sysinfo uname",
}
PROT_EXEC = 4
AF_UNIX = 1
CLONE_THREAD = 0x10000
# fcntl(2): F_DUPFD to F_SETFL, F_DUPFD_CLOEXEC.  With F_SETOWN and F_SETSIG, root sends any signal to any process.
FCNTL = (0, 1, 2, 3, 4, 1030)
OURSELVES = 0x7FFFFFF1  # in place of our pid: no pid is as large, and the filter is compiled once for all VMMs
LINES = [
    "default errno 1",
    *[f"allow {names}" for names in CALLS.values()],
    f"allow mmap where 2 & {PROT_EXEC:#x} == 0x0",
    f"allow mprotect where 2 & {PROT_EXEC:#x} == 0x0",
    f"allow clone where 0 & {CLONE_THREAD:#x} == {CLONE_THREAD:#x}",
    f"allow tgkill where 0 == {OURSELVES:#x}",
    *[f"allow fcntl where 1 == {command:#x}" for command in FCNTL],
    "errno 38 clone3",  # nobody can look at its flags: glibc then uses clone
    f"allow socket where 0 == {AF_UNIX:#x}",
    f"allow socketpair where 0 == {AF_UNIX:#x}",
]


def ioctls(numbers: list[int]) -> list[str]:
    """One rule for each request that some device makes while the guest runs."""
    return [f"allow ioctl where 1 == {number:#x}" for number in numbers]


def prepare(requests: list[int], cache: str) -> bytes:
    """The filter, compiled or found; before there is a guest, and with the host's files still there."""
    return filter_of(LINES + ioctls(requests), cache)


def begin(*, root: bool) -> None:
    """While there is one thread.  ``root``: are we the host's root?

    What the share needs of /proc it finds in one without /proc/sys.  A tap that is open stays in the host's network.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = MOST_FILES if most < 0 else min(MOST_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if root:
        confine.unshare(confine.NEWNS | confine.NEWIPC | confine.NEWUTS | confine.NEWNET)
        confine.private_proc()


def enter(*, root: bool) -> None:
    """Still one thread: those to come inherit all of it."""
    if root:
        confine.empty_root()
    confine.keep_capabilities(sum(1 << NUMBER[name] for name in OF_THE_SHARE) if root else 0)


def close(program: bytes) -> None:
    """The filter, for every thread: signals are for our own."""
    operand = pack("<I", OURSELVES)
    assert operand in program
    confine.load_filter(program.replace(operand, pack("<I", getpid())))
