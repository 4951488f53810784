"""Calls that are there to say no: what a program in a container may not do is EPERM here, whoever it is.

They change the machine, or the program's relation to a kernel that it does not have.  A program that finds ENOSYS would
think the kernel old; EPERM is what it would be told without the capability.
"""

from __future__ import annotations

from minirun.vm.sandbox.calls import ARGUMENTS, TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EPERM, EOPNOTSUPP = 1, 95
NEVER = (
    "unshare", "setns", "mount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
    "fspick", "mount_setattr", "swapon", "swapoff", "reboot", "acct", "settimeofday", "clock_settime", "iopl", "ioperm",
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "perf_event_open", "ptrace",
    "process_vm_readv", "process_vm_writev", "pidfd_getfd", "open_by_handle_at", "syslog", "quotactl", "quotactl_fd",
    "fanotify_init", "process_madvise", "migrate_pages", "move_pages",
)  # fmt: skip
NOT_SUPPORTED = ("name_to_handle_at",)


def refuse(name: str, errno: int) -> None:
    def function(thread: Thread) -> int:
        return -errno

    TABLE[name] = function
    ARGUMENTS[name] = 0


for _name in NEVER:
    refuse(_name, EPERM)
for _name in NOT_SUPPORTED:
    refuse(_name, EOPNOTSUPP)
