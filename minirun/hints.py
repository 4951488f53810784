"""Which advice goes with which failure: one table, keyed by operation and errno.

The table is also ``docs/errors.md`` (written by native/docs.py), and a test provokes every row.
``when`` may look at the operation and at init's detail; the first row that fits is the one.
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.plan.ops import Op


class Hint(Record):
    """``kind`` and ``errno`` name the failure; ``text`` says what to do, ``{detail}`` is init's."""

    name: str
    kind: str
    errno: str
    text: str
    when: Callable[[Op, str], bool] | None = None


def detail_starts(word: str) -> Callable[[Op, str], bool]:
    return lambda op, detail: detail.startswith(word)


def detail_ends(word: str) -> Callable[[Op, str], bool]:
    return lambda op, detail: detail.endswith(word)


def by_the_host(op: Op, detail: str) -> bool:
    return op.actor == "host"


def call_is(name: str) -> Callable[[Op, str], bool]:
    return lambda op, detail: op.__dict__.get("what") == name


def word_is(word: str) -> Callable[[Op, str], bool]:
    return lambda op, detail: op.__dict__.get("words", [""])[0] == word


HINTS = (
    Hint(
        name="script-crlf", kind="exec", errno="ENOENT", when=lambda op, detail: detail.startswith("script") and "\r" in detail,
        text="the script's first line ends in a carriage return (CRLF): convert it with `sed -i 's/\\r$//'`",
    ),
    Hint(
        name="script-interpreter", kind="exec", errno="ENOENT", when=detail_starts("script"),
        text="the program is there; its interpreter is not: its first line is #!{detail}",
    ),
    Hint(
        name="elf-loader", kind="exec", errno="ENOENT", when=detail_starts("elf"),
        text="the program is there; the loader it was linked for is not: {detail}. Copy it and the libraries, or link statically",
    ),
    Hint(
        name="exec-format", kind="exec", errno="ENOEXEC", when=detail_starts("data"),
        text="neither an ELF program nor a script with #! in its first line",
    ),
    Hint(
        name="exec-architecture", kind="exec", errno="ENOEXEC", when=detail_starts("elf"),
        text="an ELF program for another architecture than this kernel's",
    ),
    Hint(
        name="find-not-in-path", kind="find_program", errno="ENOENT", when=detail_starts("not-in-path"),
        text="no directory of PATH (in /process/env) has it, seen from inside the rootfs",
    ),
    Hint(
        name="find-missing", kind="find_program", errno="ENOENT",
        text="the path is looked up inside the rootfs, not on the host",
    ),
    Hint(
        name="find-directory", kind="find_program", errno="EACCES", when=detail_starts("directory"),
        text="it is a directory",
    ),
    Hint(
        name="find-mode", kind="find_program", errno="EACCES", when=detail_starts("no-x-bit"),
        text="the file has no x bit: chmod +x it in the rootfs",
    ),
    Hint(
        name="find-noexec", kind="find_program", errno="EACCES", when=detail_starts("noexec"),
        text="it lies on a mount with the option noexec",
    ),
    Hint(
        name="find-denied", kind="find_program", errno="EACCES",
        text="the user of /process/user may not execute it, or a directory above is closed to that user",
    ),
    Hint(
        name="proc-userns", kind="mount", errno="EPERM", when=lambda op, detail: op.__dict__.get("fstype") == "proc",
        text="proc inside a user namespace needs a PID namespace of its own: add {{\"type\": \"pid\"}} to /linux/namespaces; and nothing mounted over the /proc that is there, as in a container",
    ),
    Hint(
        name="sysfs-userns", kind="mount", errno="EPERM", when=lambda op, detail: op.__dict__.get("fstype") == "sysfs",
        text="sysfs inside a user namespace needs a network namespace of its own; or bind the host's /sys (rbind, ro)",
    ),
    Hint(name="filesystem-unknown", kind="mount", errno="ENODEV", text="this kernel has no such file system (/proc/filesystems lists them)"),
    Hint(name="idmap-filesystem", kind="mount", errno="EINVAL", when=lambda op, detail: by_the_host(op, detail) and detail == op.__dict__["fstype"],
         text="{detail} does not take id mappings"),
    Hint(name="mount-option", kind="mount", errno="EINVAL", text="the file system does not know the option, or not that value: {detail}"),
    Hint(name="mount-link", kind="mount", errno="ELOOP", text="{detail} in the rootfs is or has a symbolic link; /proc, /sys and /dev must be directories"),
    Hint(name="idmap-rows", kind="bind", errno="EINVAL", when=lambda op, detail: detail in ("uid_map", "gid_map"),
         text="the kernel refuses {detail} of the mapping: rows must not overlap (user_namespaces(7))"),
    Hint(name="idmap-unsupported", kind="bind", errno="EINVAL", when=by_the_host,
         text="the file system of {detail}, or with ridmap of something mounted below, does not take id mappings: an overlay, proc, network file systems and FUSE do not; map what an overlay is made of instead"),
    Hint(name="idmap-already", kind="bind", errno="EPERM", when=by_the_host,
         text="{detail} is on an id-mapped mount already, whose mapping cannot change, or on a file system of a user namespace that is not ours to map"),
    Hint(name="bind-source", kind="bind", errno="ENOENT", text="{detail} is not there"),
    Hint(name="bind-link", kind="bind", errno="ELOOP", text="{detail} in the rootfs is or has a symbolic link that leads nowhere: in a circle, or above what is not there"),
    Hint(name="bind-other-link", kind="bind", errno="EEXIST", text="with copy-symlink, {detail} in the rootfs must be missing or the same link"),
    Hint(name="target-not-directory", kind="bind", errno="ENOTDIR", text="source and target must both be directories, or both not: {detail}"),
    Hint(name="remount-denied", kind="attr", errno="EPERM", when=lambda op, detail: bool(op.__dict__["data"]),
         text="the file system belongs to the host, or to another user namespace: here only flags can be changed (remount,bind)"),
    Hint(name="copy-space", kind="mount", errno="ENOSPC", text="with tmpcopyup what the directory holds must fit, and {detail} did not: give the tmpfs a larger size="),
    Hint(name="mount-not-directory", kind="mount", errno="ENOTDIR", text="a file system is mounted on a directory, and {detail} in the rootfs is or has a file in its place"),
    Hint(name="rootfs-missing", kind="root", errno="ENOENT", text="/root/path is relative to the bundle; make the directory, or correct the path"),
    Hint(name="rootfs-not-directory", kind="root", errno="ENOTDIR", text="a root file system is a directory"),
    Hint(name="rootfs-closed", kind="root", errno="EACCES", text="the user that the container's root is mapped to must be able to cross every directory above the rootfs (chmod o+x)"),
    Hint(name="root-readonly", kind="mount", errno="EROFS", text="{detail} does not exist and the rootfs is read-only: make the directory in it"),
    Hint(name="device-differs", kind="node", errno="ENXIO", text="in a user namespace the host's node of that path is bound, and the host's {detail} is another device"),
    Hint(name="device-exists", kind="node", errno="EEXIST", text="{detail} exists in the rootfs and is something else"),
    Hint(name="terminal-devpts", kind="console", errno="ENOENT", text="a terminal needs a devpts mount on /dev/pts: add it to /mounts, or set /process/terminal to false"),
    Hint(name="terminal-not-pty", kind="console", errno="ENXIO", text="{detail} in the container is not the pty multiplexer"),
    Hint(name="join-type", kind="join", errno="EINVAL", text="the path leads to another kind of namespace than the type says, or to the one we are in"),
    Hint(name="join-missing", kind="join", errno="ENOENT", text="{detail} is not there: has its container ended?"),
    Hint(name="join-denied", kind="join", errno="EPERM", text="it belongs to a user namespace in which you have no rights: join that one too (the container's whose it is)"),
    Hint(name="rlimit-raise", kind="rlimit", errno="EPERM", text="raising a hard limit needs CAP_SYS_RESOURCE; RLIMIT_NOFILE ends at sysctl fs.nr_open"),
    Hint(name="user-unmapped", kind="user", errno="EINVAL", text="the uid or a gid of /process/user is not in /linux/uidMappings or gidMappings"),
    Hint(name="user-groups", kind="user", errno="EPERM", when=lambda op, detail: bool(op.__dict__.get("groups")),
         text="the joined user namespace denies setgroups(2), as those of ordinary users without newgidmap do: leave out additionalGids"),
    Hint(name="cwd-missing", kind="chdir", errno="ENOENT", text="/process/cwd is looked up inside the rootfs"),
    Hint(name="cwd-not-directory", kind="node", errno="ENOTDIR", text="something on the way to {detail} is a file in the rootfs"),
    Hint(name="apparmor-profile", kind="write_proc", errno="ENOENT", when=lambda op, detail: detail == "self/attr/apparmor/exec",
         text="no profile of that name is loaded: apparmor_parser --replace FILE loads one, aa-status lists those that are"),
    Hint(name="sysctl-unknown", kind="write_proc", errno="ENOENT", text="this kernel has no such sysctl, or not in a namespace"),
    Hint(name="sysctl-value", kind="write_proc", errno="EINVAL", text="the kernel refuses the value"),
    Hint(
        name="maps-range", kind="write_task", errno="EPERM", when=detail_starts("usermod"),
        text="the range must be yours in /etc/subuid or /etc/subgid. As root: {detail}",
    ),
    Hint(
        name="maps-accounts", kind="write_task", errno="EPERM", when=lambda op, detail: detail == "accounts",
        text="ids below 65536 are the host's own users and groups: map yourself, and else a range of /etc/subuid or /etc/subgid (docs/rootless.md)",
    ),
    Hint(
        name="maps-helper", kind="write_task", errno="EPERM", when=lambda op, detail: bool(op.__dict__.get("through")),
        text="newuidmap(1) and newgidmap(1) serve a user of /etc/passwd who runs with his own group, and need their setuid bit or capabilities: no nosuid mount, no no_new_privs",
    ),
    Hint(name="maps-denied", kind="write_task", errno="EPERM", when=lambda op, detail: op.__dict__.get("file") in ("uid_map", "gid_map"),
         text="the kernel refuses the mapping: rows must not overlap, and may map only what is mapped where minirun runs (user_namespaces(7))"),
    Hint(name="maps-invalid", kind="write_task", errno="EINVAL", text="the kernel refuses the value (user_namespaces(7), time_namespaces(7))"),
    Hint(name="clock-range", kind="write_task", errno="ERANGE", text="a clock of the namespace must be neither negative nor beyond 146 years (time_namespaces(7))"),
    Hint(name="oom-lower", kind="write_task", errno="EACCES", when=lambda op, detail: op.__dict__.get("file") == "oom_score_adj",
         text="lowering oom_score_adj below the runtime's own needs CAP_SYS_RESOURCE"),
    Hint(name="filter-conflict", kind="seccomp", errno="EEXIST", text="two rules of the profile have the same conditions and different actions: {detail}"),
    Hint(name="filter-unknown", kind="seccomp", errno="ENOSYS", when=lambda op, detail: op.actor == "host",
         text="the annotation run.oci.seccomp_fail_unknown_syscall asks for this error; without it such names are left out"),
    Hint(name="filter-rights", kind="seccomp", errno="EACCES",
         text="loading a filter needs CAP_SYS_ADMIN in the user namespace, which the runtime itself does not have here, or /process/noNewPrivileges: true"),
    Hint(name="filter-refused", kind="seccomp", errno="EINVAL", when=lambda op, detail: op.actor == "init",
         text="this kernel refuses the program, or a flag in /linux/seccomp/flags"),
    Hint(name="exec-filtered", kind="exec", errno="EPERM", when=detail_starts("filtered"),
         text="the system call filter of /linux/seccomp is in force by then, and forbids execve(2) itself"),
    Hint(name="scheduler-iso", kind="tune", errno="EINVAL", when=word_is("SCHED_ISO"), text="SCHED_ISO is a name without a policy: no Linux has it (sched(7))"),
    Hint(name="scheduler-value", kind="tune", errno="EINVAL", when=call_is("sched_setattr"),
         text="the kernel refuses these together (sched_setattr(2)); the shortest and longest period of SCHED_DEADLINE are sysctl kernel.sched_deadline_period_min_us and _max_us"),
    Hint(name="deadline-cpus", kind="tune", errno="EPERM", when=word_is("SCHED_DEADLINE"),
         text="SCHED_DEADLINE needs CAP_SYS_NICE, and every CPU: it goes with neither /linux/resources/cpu/cpus nor execCPUAffinity"),
    Hint(name="deadline-busy", kind="tune", errno="EBUSY", when=call_is("sched_setattr"),
         text="so much of the CPUs' time is not left for SCHED_DEADLINE: its runtime in each period, with those of the others, is above the limit"),
    Hint(name="clamp-missing", kind="tune", errno="ENOTSUP", when=call_is("sched_setattr"), text="this kernel was built without utilization clamping (CONFIG_UCLAMP_TASK)"),
    Hint(name="priority-denied", kind="tune", errno="EPERM",
         text="a higher priority than the runtime's own needs CAP_SYS_NICE in the first user namespace, or the runtime's RLIMIT_NICE or RLIMIT_RTPRIO"),
    Hint(name="cpus-missing", kind="tune", errno="EINVAL", when=call_is("sched_setaffinity"), text="none of these CPUs is there, or none that the cgroup may use (cpuset.cpus.effective)"),
    Hint(name="memory-nodes", kind="tune", errno="EINVAL", when=call_is("set_mempolicy"),
         text="the kernel does not have that mode or flag, not together, or not these nodes (/sys/devices/system/node/has_memory, cpuset.mems.effective)"),
    Hint(name="interface-missing", kind="interface", errno="ENODEV", text="ip link, in the runtime's network namespace, lists those there are"),
    Hint(name="interface-name", kind="interface", errno="EEXIST", text="give it another name in the container: /linux/netDevices/.../name, where a %d lets the kernel find a number"),
    Hint(name="interface-stays", kind="interface", errno="EINVAL", text="some interfaces cannot leave their network namespace: lo is one"),
    Hint(name="hook-status", kind="hook", errno="ECANCELED", text="the hook's exit code was {detail}; what it wrote to standard error says more"),
    Hint(name="hook-timeout", kind="hook", errno="ETIMEDOUT", text="the hook ran longer than its timeout and was killed"),
    Hint(name="hook-missing", kind="hook", errno="ENOENT", when=lambda op, detail: detail == op.__dict__.get("path"),
         text="hook paths are the host's, except startContainer's, which is looked up inside the rootfs"),
    Hint(name="cgroup-partition", kind="write_cgroup", errno="EINVAL", when=detail_ends("/cpuset.cpus.partition"),
         text="a partition needs CPUs of its own (/linux/resources/cpu/cpus) that the directory above, a partition too, can give away"),
    Hint(name="limit-value", kind="write_cgroup", errno="EINVAL", text="the kernel refuses the value for this cgroup file"),
    Hint(name="limit-file", kind="write_cgroup", errno="ENOENT", text="this kernel's controller does not have that file"),
    Hint(name="cgroup-internal", kind="make_cgroup", errno="EBUSY", when=detail_ends("/cgroup.subtree_control"),
         text="{detail}: that directory has processes of its own, and only one without can hand controllers down: move them into a child of it, or choose another cgroupsPath"),
    Hint(name="cgroup-threaded", kind="make_cgroup", errno="ENOTSUP",
         text="a threaded cgroup holds threads, with the controllers cpu, cpuset and pids at most (cgroups(7), Thread mode): choose a cgroupsPath outside it"),
    Hint(name="cgroup-undelegated", kind="make_cgroup", errno="EACCES", when=detail_ends("/cgroup.subtree_control"),
         text="{detail} is not yours to write: that part of the tree was not given these controllers. As root: systemctl edit user@.service, with Delegate=cpu cpuset io memory pids below [Service]"),
    Hint(name="cgroup-denied", kind="make_cgroup", errno="EACCES", when=lambda op, detail: not op.__dict__.get("resctrl"), text="you may not make cgroups there"),
    Hint(name="unit-exists", kind="make_cgroup", errno="EEXIST", when=lambda op, detail: bool(op.__dict__.get("unit")), text="another container or program has a unit of that name; /linux/cgroupsPath (SLICE:PREFIX:NAME) may name another"),
    Hint(name="unit-property", kind="make_cgroup", errno="EINVAL", when=lambda op, detail: bool(op.__dict__.get("unit")), text="annotations org.systemd.property.NAME must be properties of a scope, of the right type (busctl introspect shows a unit's)"),
    Hint(name="spawn-limit", kind="spawn", errno="ENOSPC", text="a limit in /proc/sys/user/max_*_namespaces is reached"),
    Hint(name="spawn-denied", kind="spawn", errno="EPERM", text="new namespaces need root, or a user namespace; it may be switched off here (sysctl kernel.unprivileged_userns_clone, AppArmor)"),
    Hint(name="spawn-threaded", kind="spawn", errno="ENOTSUP", text="the cgroup is of an invalid type: one above it holds threads (cgroups(7), Thread mode)"),
    Hint(name="spawn-processes", kind="spawn", errno="EAGAIN", text="no process more: pids.max of the cgroup or of one above is reached, or the user's RLIMIT_NPROC"),
    Hint(name="spawn-cgroup", kind="spawn", errno="EBUSY", text="the cgroup has children with controllers and takes no processes itself"),
)  # fmt: skip


def find(op: Op, errno_name: str, detail: str) -> str:
    """The advice for a failure, or ""."""
    for hint in HINTS:
        if hint.kind == op.KIND and hint.errno == errno_name and (hint.when is None or hint.when(op, detail)):
            word = detail.partition(" ")[2] if detail.startswith(("script ", "elf ")) else detail
            return hint.text.format(detail=word.replace("\r", "\\r"))
    return ""
