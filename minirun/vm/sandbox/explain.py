"""What a sandbox has and has not: its memory, its system calls.  For --explain and docs/sandbox.md."""

from __future__ import annotations

from minirun.vm.sandbox import layout
from minirun.vm.sandbox.calls import TABLE, everything
from minirun.vm.sandbox.calls.refused import NEVER, NOT_SUPPORTED
from minirun.vm.sandbox.numbers import NUMBER

SERVED, PARTLY, REFUSED, LACKING = "yes", "partly", "refused", "ENOSYS"
PROC = "needs a /proc in the container"
# What a call does not do here that it does in a container.
PARTS = {
    "clone": "no namespaces; a child without CLONE_VFORK has a copy of memory, whatever CLONE_VM says, and ends with"
    + " SIGCHLD; at most 64 threads",
    "clone3": "as clone; no set_tid, no cgroup",
    "vfork": "the child's writes are in the parent's memory when the child is gone; mappings that it makes are not",
    "execve": "set-user-ID, set-group-ID, files' capabilities have no effect; no ETXTBSY",
    "execveat": "as execve",
    "mmap": "addresses below 31 GiB; no huge pages, no MAP_GROWSDOWN, no MAP_32BIT",
    "mremap": "no MREMAP_DONTUNMAP",
    "madvise": "of huge pages, forks and core dumps: taken and not followed; MADV_WIPEONFORK is EINVAL",
    "mlock": "nothing is locked",
    "munlock": "nothing was locked",
    "prctl": "name, parent's death, capabilities, subreaper, no_new_privs (always set), slack; else EINVAL",
    "arch_prctl": "FS and GS",
    "personality": "PER_LINUX",
    "ioctl": "terminals, FIONREAD, FIONBIO, close-on-exec; else ENOTTY",
    "fcntl": "no owner of signals (F_SETOWN), no leases, no F_NOTIFY",
    "socket": "families unix, inet, inet6, netlink",
    "socketpair": "as socket",
    "bind": "a path that leads through a link of /proc is known by another name afterwards",
    "setsockopt": "no filters, no zero copy, nothing of netfilter",
    "getsockopt": "as setsockopt",
    "set_robust_list": "locks are marked at an end of the program's own, not at SIGKILL",
    "rt_sigaction": "signal 64 is never blocked",
    "rt_sigprocmask": "signal 64 is never blocked",
    "recvmmsg": "no timeout between messages",
    "chroot": PROC, "setxattr": PROC, "getxattr": PROC, "listxattr": PROC, "removexattr": PROC,
    "inotify_add_watch": PROC,
    "prlimit64": "of this process; those of memory and descriptors are kept here, others are the host's",
    "open": "of processes in /proc: its own descriptors, links, map, and what says nothing of memory; else EACCES",
    "openat": "as open",
    "openat2": "as open",
}  # fmt: skip


def status(name: str) -> str:
    if name in NEVER or name in NOT_SUPPORTED:
        return REFUSED
    if name not in TABLE:
        return LACKING
    return PARTLY if name in PARTS else SERVED


def calls() -> dict[str, str]:
    """Of every number: by name."""
    everything()
    return {name: status(name) for name in NUMBER}


def text() -> str:
    """For --explain: the memory map, and how many calls there are."""
    rows = [
        (0, layout.LOWEST, "nothing: a null pointer faults"),
        (0x400000, layout.HEAPS, "the program, shifted at random if it can be; its heap"),
        (layout.HEAPS, layout.MAPPINGS, "mmap(2), downwards: the loader, libraries, what the program asks for"),
        (layout.MAPPINGS, layout.STACK - layout.STACK_SIZE, "kept free, but for what mmap(2) is told to place here"),
        (layout.STACK - layout.STACK_SIZE, layout.STACK, "the first thread's stack"),
        (
            layout.SYSTEM,
            layout.SYSTEM + layout.SYSTEM_SIZE,
            "page tables, tables of segments and interrupts, entry page",
        ),
    ]
    lines = ["", "the program's memory, which is the VM's"]
    lines += [f"  {start:#011x} - {end:#011x}  {what}" for start, end, what in rows]
    found = calls()
    by = {
        word: sorted(name for name, has in found.items() if has == word) for word in (SERVED, PARTLY, REFUSED, LACKING)
    }
    lines += ["", f"its {len(found)} system calls", f"  {len(by[SERVED]):4}  are served"]
    lines += wrapped(f"  {len(by[PARTLY]):4}  in part:", by[PARTLY])
    lines += wrapped(f"  {len(by[REFUSED]):4}  are refused:", by[REFUSED])
    lines.append(
        f"  {len(by[LACKING]):4}  answer ENOSYS: docs/sandbox-calls.md names them, --trace shows those asked for"
    )
    return "\n".join(lines) + "\n"


def wrapped(begin: str, names: list[str]) -> list[str]:
    lines = [begin]
    for name in names:
        if len(lines[-1]) + len(name) > 100:
            lines.append(" " * 7)
        lines[-1] += f" {name}"
    return lines
