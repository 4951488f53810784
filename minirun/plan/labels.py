"""AppArmor and SELinux: what the program's execve(2) will make of it, and how new mounts are labelled.

Both modules take a word in /proc/PID/attr and act on the next execve(2).  So it is written after the hooks that init
runs, by init, to a procfs that the container cannot have shaped (proc_pid_attr(5), CVE-2019-16884).  A host without
the module cannot do what was asked, and says so.
"""

from __future__ import annotations

from minirun.plan.ops import Op, WriteProc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.facts import Facts
    from minirun.plan.container import Problems
    from minirun.spec.types import Linux, Process

# File systems that label their files themselves: a context for all of them is refused by the kernel.
OWN_LABELS = ("proc", "sysfs", "cgroup", "cgroup2", "mqueue")
UNCONFINED = "unconfined"
HINT = "leave the member out to run without it, or boot a kernel that has the module, with lsm=... that names it"


def check(process: Process, linux: Linux, facts: Facts, problems: Problems) -> None:
    """Without AppArmor a process is unconfined: asking for that is fine."""
    profile = process.get("apparmorProfile", "")
    if profile not in ("", UNCONFINED) and not facts.apparmor:
        problems.add("/process/apparmorProfile", "AppArmor is not in force on this host", HINT)
    for pointer, label in (
        ("/process/selinuxLabel", process.get("selinuxLabel")),
        ("/linux/mountLabel", linux.get("mountLabel")),
    ):
        if label and not facts.selinux:
            problems.add(pointer, "SELinux is not in force on this host", HINT)


def wanted(process: Process, facts: Facts) -> bool:
    """Is there anything to write?"""
    return bool((process.get("apparmorProfile") and facts.apparmor) or process.get("selinuxLabel"))


def host_proc() -> Op:
    """exec: the container's own /proc may be anything; the host's is held on to before its namespaces are joined."""
    return WriteProc(file="", value="", pointer="")


def of_keyring(process: Process, new_keyring: bool) -> list[Op]:
    """A session keyring has the label of who makes it, and the container could not read one of the runtime's."""
    label = process.get("selinuxLabel")
    if not label or not new_keyring:
        return []
    return [WriteProc(file="self/attr/keycreate", value=label, pointer="/process/selinuxLabel")]


def of_program(process: Process, facts: Facts) -> list[Op]:
    """For the next execve(2)."""
    ops: list[Op] = []
    label, profile = process.get("selinuxLabel"), process.get("apparmorProfile")
    if label:
        ops.append(WriteProc(file="self/attr/exec", value=label, pointer="/process/selinuxLabel"))
    if profile and facts.apparmor:
        ops.append(
            WriteProc(file="self/attr/apparmor/exec", value=f"exec {profile}", pointer="/process/apparmorProfile")
        )
    return ops


def of_mount(fstype: str, linux: Linux) -> list[str]:
    """mount(8)'s context: every file of a new file system; the quotes keep its commas together."""
    label = linux.get("mountLabel")
    return [f'context="{label}"'] if label and fstype not in OWN_LABELS else []
