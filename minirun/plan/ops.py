"""The closed set of operations a plan is made of.

An operation is an *intent* ("mount proc on /proc"), not a system call.  It knows its actor (``host``: Python in
the runtime's namespaces; ``init``: ``minirun-init`` after clone3), the JSON pointer it came from, and how to say
itself in words.  It may *look* at the world when carried out, but may not decide which operations exist or in
what order: what changes the list is probed before (``facts``).

The fields below are the one list of truth: ``native/ops.h`` is generated from them (``python3 native/gen_ops.py``)
and a test compares the two.  On the wire a field is

    int, bool    one u64                        str          one string offset
    list[str]    a string offset and a count    list[int]    the same, each number in decimal

Every class names its C function or engine function by its kind: ``Mount`` is ``op_mount`` in ``native/init/``.
A new operation needs a line in HACKING.md: why not an existing one.
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

HOST, INIT = "host", "init"

# Flags of single operations; the generator exports every name of this block to C.
ATTR_CLONE = 1  # put a copy of the target over itself first, so that only this view changes
ATTR_RECURSIVE = 2
ATTR_OPTIONAL = 4  # a target that does not exist is fine
MOUNT_COPY_UP = 1  # tmpcopyup: begin with what the target directory held
MOUNT_IS_DEV = 2  # later nodes below /dev go into this very tmpfs, by fd
MOUNT_MODE_OF_TARGET = 4  # a tmpfs without mode= takes that of the directory below
MOUNT_CLASSIC = 16  # by mount(2): fsconfig(2) has no word for one of the options
MOUNT_MAPPED = 8  # the host makes it, with its ids mapped; init attaches it
BIND_RECURSIVE = 1
BIND_BY_HOST = 2  # init attaches what the host has cloned, if it has
BIND_MAPPED = 4  # with its ids mapped: the host must do it
BIND_MAPPED_TREE = 8  # ridmap: the mounts below as well
BIND_SOURCE_NOFOLLOW = 16  # a link is bound itself
BIND_TARGET_NOFOLLOW = 32  # a link is mounted on itself
BIND_COPY_LINK = 64  # a link is made again, not bound
NODE_BIND = 1  # bind the host's node: mknod is not allowed in a user namespace
NODE_IF_PRESENT = 2  # only where the symlink's target or the host's node exists
USER_SETGROUPS = 1
USER_GIVE_STDIO = 2  # stdio becomes the user's
USER_GROUPS_TRY = 4  # a user namespace that denies setgroups(2) keeps whatever groups there are
PIVOT_CHROOT = 1  # --no-pivot: MS_MOVE and chroot, for a rootfs on ramfs
PIVOT_IN_PLACE = 2  # chroot alone: the mount namespace is the runtime's, whose root stays
CHDIR_TRY = 1  # with the runtime's rights first; EACCES is not final
EXEC_SET_HOME = 1
SECCOMP_LISTENER = 8  # SECCOMP_FILTER_FLAG_NEW_LISTENER: somebody outside answers (seccomp_unotify(2))
SECCOMP_SETTINGS = ("default", "newer", "named", "unknown", "architectures")  # lines that are no rules
TUNES = {
    "sched_setattr": "be scheduled as",
    "ioprio_set": "do input and output as",
    "sched_setaffinity": "run on CPUs",
    "set_mempolicy": "allocate memory by",
    "personality": "take the execution domain",
}
LONGEST_LINE = 400  # of a command in a message: arguments may be megabytes


class Op(Record):
    """One line of a plan: who does it, where in config.json it comes from."""

    KIND: ClassVar[str] = ""
    ACTOR: ClassVar[str] = INIT

    actor: str = INIT
    pointer: str = ""

    def describe(self) -> str:
        """The line in --explain; after "cannot " it is the first line of an error."""
        raise AssertionError(self.KIND)


OPS: list[type[Op]] = []


def op(cls: type[Op]) -> type[Op]:
    """Enter an operation into the closed set; its place in the list is its number on the wire."""
    words = "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__)
    cls.KIND = words.lstrip("_")
    OPS.append(cls)
    return cls


# -- host ---------------------------------------------------------------------------------------------------------


class HostOp(Op):
    """What Python does in the runtime's own namespaces."""

    ACTOR = HOST
    actor: str = HOST


@op
class MakeCgroup(HostOp):
    """mkdir(2) below the cgroup2 mount, with ``controllers`` enabled on the way down (cgroup.subtree_control).

    ``others`` are enabled where the kernel lets us: for statistics, and for what the container makes below itself.
    With ``unit`` it is systemd that makes it: StartTransientUnit (org.freedesktop.systemd1(5)) of that name with
    ``properties``, each NAME=VALUE in GVariant's notation; init, which exists by then, is its first process.
    Without properties the unit is there, and init is put into it (exec by an ordinary user): AttachProcessesToUnit.
    With ``resctrl`` (where that is mounted) it is a group of the processor's: made unless ``existing``, its schemata
    the ``properties``; init becomes its task.
    ``owner``: chown(2) of the directory and of what /sys/kernel/cgroup/delegate lists, for a container that manages
    its own subtree; 0 leaves it root's (cgroups(7), Cgroups delegation).
    """

    path: str
    controllers: list[str]
    unit: str = ""
    properties: list[str] = []
    owner: int = 0
    resctrl: str = ""
    existing: bool = False
    others: list[str] = []

    def describe(self) -> str:
        if self.resctrl:
            schemata = f" with {' '.join(self.properties)}" if self.properties else ""
            return f"put init into the resctrl group {self.path}{schemata}"
        if self.unit:
            return f"have systemd {'make' if self.properties else 'move init into'} {self.path}"
        enabled = f" with {' '.join(self.controllers)}" if self.controllers else ""
        return f"make cgroup {self.path}{enabled}" + (f" and give it to uid {self.owner}" if self.owner else "")


@op
class WriteCgroup(HostOp):
    """write(2) to a file of the container's cgroup; ``inside`` it is the one in the machine, written before the spawn.

    What a kernel without ``file`` gets is decided here, not on the way: ``instead`` = ``instead_value`` if it is
    named, nothing at all if the write is ``optional``, else an error.
    """

    file: str
    value: str
    instead: str = ""
    instead_value: str = ""
    optional: bool = False
    inside: bool = False

    def describe(self) -> str:
        where = " in the machine" if self.inside else ""
        otherwise = f", or {self.instead} = {self.instead_value}" if self.instead else ""
        otherwise += ", if it is there" if self.optional else ""
        return f"set {self.file} = {self.value or 'nothing'}{where}{otherwise}"


@op
class DeviceRules(HostOp):
    """bpf(2) BPF_PROG_LOAD and BPF_PROG_ATTACH (BPF_CGROUP_DEVICE): allow and deny device access, in order.

    ``rules`` are "allow c 1:3 rwm" lines, most general first; the last one that speaks of an access decides.
    """

    rules: list[str]

    def describe(self) -> str:
        return f"load the device filter ({len(self.rules)} rules)"


@op
class Spawn(HostOp):
    """clone3(2) with CLONE_PIDFD, into the cgroup, into new namespaces; then execveat(2) of the sealed init.

    With ``machine`` that happens in a virtual machine, which these words describe (plan/hardware.py).
    """

    namespaces: list[str]
    flags: int
    into_cgroup: bool
    machine: list[str] = []

    def describe(self) -> str:
        new = f"in new {' '.join(self.namespaces)}" if self.namespaces else "in the runtime's namespaces"
        if self.namespaces and self.machine and self.machine[0].startswith("in "):
            return f"spawn init {new}, {self.machine[0]}"
        if self.machine:
            return f"{self.machine[0]}, spawn init {new}" if self.namespaces else f"spawn init {self.machine[0]}"
        return f"spawn init {new}"


@op
class WriteTask(HostOp):
    """write(2) to /proc/PID/FILE of init, from outside: uid_map, oom_score_adj ...; or ``through`` newuidmap(1)."""

    file: str
    value: str
    through: str = ""

    def describe(self) -> str:
        by = f" through {self.through.rpartition('/')[2]}" if self.through else ""
        return f"write {self.file}{by}: {self.value.strip().replace(chr(10), ', ')}"  # an id map is a row a line


@op
class Join(Op):
    """setns(2): a namespace by path, or (exec) all of a process's by pidfd when ``path`` is empty."""

    path: str
    flags: int
    namespaces: list[str]

    def describe(self) -> str:
        where = self.path or "of the container's init"
        return f"join the {' '.join(self.namespaces)} namespace{'s' * (len(self.namespaces) > 1)} {where}"


@op
class Unshare(Op):
    """unshare(2): new namespaces that clone3 could not make (they depend on one joined, or on the cgroup)."""

    flags: int
    namespaces: list[str]

    def describe(self) -> str:
        return f"make new {' '.join(self.namespaces)} namespace{'s' * (len(self.namespaces) > 1)}"


@op
class Session(Op):
    """setsid(2), and keyctl(2) KEYCTL_JOIN_SESSION_KEYRING: an anonymous one, which nobody can have prepared.

    ``fork``: clone(2) with CLONE_PARENT before, because a pid or time namespace is entered by children only.  A
    terminal that is there already becomes the session's (ioctl_tty(2), TIOCSCTTY).
    """

    new_keyring: bool
    fork: bool = False

    def describe(self) -> str:
        forked = "fork into the pid namespace, " if self.fork else ""
        return f"{forked}start a new session" + (" with a keyring of its own" if self.new_keyring else "")


@op
class Interface(Op):
    """A network interface, by rtnetlink(7) or ioctl(2), made one of the container's.

    By init: SIOCSIFFLAGS of lo, in the new network namespace; of a machine's, SIOCSIFADDR and SIOCADDRT as well.
    By the host: ``name`` moves from its own network namespace into init's as ``new_name`` (which may have a %d), keeps
    its permanent global addresses, and comes up.
    """

    name: str
    new_name: str = ""
    address: int = 0  # of init's: IPv4 as ioctl(2) takes it, with its mask and gateway
    mask: int = 0
    gateway: int = 0

    def describe(self) -> str:
        if self.actor == INIT:
            return f"bring up {self.name}" + (f" as {dotted(self.address)}" if self.address else "")
        new = f" as {self.new_name}" if self.new_name != self.name else ""
        return f"move the interface {self.name} into the container{new}"


@op
class Name(Op):
    """sethostname(2) or setdomainname(2)."""

    what: str
    value: str

    def describe(self) -> str:
        return f"set {self.what} {self.value}"


# -- init: the file system --------------------------------------------------------------------------------------------


@op
class Root(Op):
    """open_tree(2) OPEN_TREE_CLONE of the rootfs, attached over itself: the one fd every later path starts from.

    ``propagation`` (an MS_* word) is first given to the whole namespace; the mounts around the rootfs are made
    private, or pivot_root(2) refuses.  0: the namespace is the runtime's own, and stays as it is.
    """

    path: str
    propagation: int

    def describe(self) -> str:
        return f"open the rootfs {self.path}"


@op
class Mount(Op):
    """fsopen(2), fsconfig(2), fsmount(2), move_mount(2): a new file system on ``target``, attached fd to fd.

    On the host, before init's own: the same up to fsmount(2), then mount_setattr(2) MOUNT_ATTR_IDMAP; as for Bind.
    """

    fstype: str
    source: str
    target: str
    data: list[str]
    attr_set: int
    attr_clr: int
    flags: int
    words: list[str]
    maps: list[str] = []

    def describe(self) -> str:
        if self.actor == HOST:
            return f"make {self.fstype} {self.source} with {mapping_words(self.maps)}"
        options = ",".join(self.words)
        return f"mount {self.fstype} on {self.target}" + (f" {options}" if options else "")


@op
class Bind(Op):
    """open_tree(2) OPEN_TREE_CLONE, mount_setattr(2), move_mount(2): a host directory or file on ``target``.

    On the host, before init's own, where init has not the rights: open_tree(2) of what the container's root cannot
    reach, mount_setattr(2) MOUNT_ATTR_IDMAP; the mount goes to init with the next GO.  ``maps`` is what uid_map and
    gid_map of a new user namespace would hold (user_namespaces(7)); empty for the container's own.  ``propagation``
    (MS_*) is that of the namespace which init would have cloned from.
    """

    source: str
    target: str
    attr_set: int
    attr_clr: int
    rec_set: int
    rec_clr: int
    flags: int
    words: list[str]
    propagation: int = 0
    maps: list[str] = []

    def describe(self) -> str:
        if self.actor == HOST:
            mapped = f" with {mapping_words(self.maps)}" if self.flags & BIND_MAPPED else ", if init cannot reach it"
            return f"clone {self.source}{mapped}"
        options = ",".join(self.words)
        return f"bind {self.source} on {self.target}" + (f" {options}" if options else "")


@op
class Attr(Op):
    """mount_setattr(2): read-only paths, remounts and propagation; with ATTR_CLONE on a copy put over itself.

    ``data``: first fspick(2) and fsconfig(2) FSCONFIG_CMD_RECONFIGURE, for a remount that changes the file system.
    """

    target: str
    attr_set: int
    attr_clr: int
    propagation: int
    flags: int
    words: list[str]
    data: list[str] = []

    def describe(self) -> str:
        return f"make {self.target} {','.join(self.words)}"


@op
class Mask(Op):
    """move_mount(2): the null device over a file, one shared empty read-only tmpfs over directories."""

    path: str

    def describe(self) -> str:
        return f"mask {self.path}"


@op
class Node(Op):
    """mknodat(2), mkdirat(2) or symlinkat(2) in the rootfs, by component; ``type`` is c b p d l (link)."""

    path: str
    type: str
    target: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int
    flags: int

    def describe(self) -> str:
        if self.type == "l":
            return f"link {self.path} -> {self.target}"
        if self.type == "d":
            return f"make directory {self.path}"
        if self.flags & NODE_BIND:
            return f"bind the host's device {self.path}"
        numbers = f" {self.major}:{self.minor}" if self.type in "cb" else ""
        return f"make device {self.path} {self.type}{numbers} {self.mode:04o}"


@op
class Console(Op):
    """open(2) of the container's ptmx, TIOCGPTPEER, TIOCSCTTY: the terminal; its slave is mounted on ``target``.

    On the host: recvmsg(2) SCM_RIGHTS, the pty's master from init, for --console-socket or for our own use.
    """

    target: str
    rows: int
    columns: int

    def describe(self) -> str:
        if self.actor == HOST:
            return "take the terminal's master side"
        return "open a terminal" + (f" and mount it on {self.target}" if self.target else "")


@op
class Pivot(Op):
    """pivot_root(2) with "." and ".", then umount2(2) MNT_DETACH of the old root.

    ``path``: chroot(2) to what is mounted there, for an exec into a container without a mount namespace.
    """

    flags: int
    path: str = ""

    def describe(self) -> str:
        if self.flags & PIVOT_IN_PLACE:
            return f"chroot into {self.path or 'the rootfs'}"
        if self.flags & PIVOT_CHROOT:
            return "move the rootfs to / and chroot into it"
        return "pivot into the rootfs, drop the old root"


@op
class WriteProc(Op):
    """openat2(2) below init's own detached procfs and write(2): sysctls, labels. Never the container's /proc.

    Without a ``file`` it is the host's procfs that is held on to for what comes (exec, before it joins anything).
    """

    file: str
    value: str

    def describe(self) -> str:
        if not self.file:
            return "hold on to the host's /proc"
        if self.file.startswith("sys/"):
            return f"set sysctl {self.file[4:].replace('/', '.')} = {self.value}"
        return f"write /proc/{self.file}: {self.value}"


# -- init: the process ---------------------------------------------------------------------------------------------


@op
class Rlimit(Op):
    """prlimit(2): by init on itself, or by the host on init when a user namespace takes away the right."""

    resource: int
    soft: int
    hard: int
    name: str

    def describe(self) -> str:
        return f"limit {self.name} to {limit_word(self.soft)}, at most {limit_word(self.hard)}"


@op
class Tune(Op):
    """How the kernel treats a process: ``what`` is a system call, ``numbers`` its arguments, ``words`` config.json's.

        sched_setattr(2)      policy, flags, nice, priority, runtime, deadline, period
        ioprio_set(2)         class << 13 | priority
        sched_setaffinity(2)  the CPUs; none means all that there are
        set_mempolicy(2)      mode | flags, then the nodes
        personality(2)        the execution domain

    By init on itself; by the host on init where a user namespace takes away the right (CAP_SYS_NICE); by the host
    on itself before there is an init, which inherits it (execCPUAffinity, initial).
    """

    what: str
    numbers: list[int]
    words: list[str]

    def describe(self) -> str:
        return f"{TUNES[self.what]} {' '.join(self.words)}"


@op
class Hook(Op):
    """Run a hook of config.json with the state on standard input; ``timeout`` in seconds, 0 for none."""

    name: str
    path: str
    args: list[str]
    env: list[str]
    timeout: int
    cwd: str  # "" leaves it as it is

    def describe(self) -> str:
        return f"run {self.name} hook {self.path}"


@op
class Bounding(Op):
    """prctl(2) PR_CAPBSET_DROP: everything but ``bounding`` (a bit per capability) leaves the bounding set."""

    bounding: int

    def describe(self) -> str:
        return f"keep {self.bounding.bit_count()} capabilities in the bounding set"


@op
class Chdir(Op):
    """chdir(2), and getcwd(2) must then name a place inside the root (CVE-2024-21626)."""

    path: str
    flags: int

    def describe(self) -> str:
        return f"change to {self.path}" + (" (as root, first try)" if self.flags & CHDIR_TRY else "")


@op
class User(Op):
    """setgroups(2), setresgid(2), setresuid(2) as raw system calls, with PR_SET_KEEPCAPS; then umask(2)."""

    uid: int
    gid: int
    groups: list[int]
    umask: int
    flags: int

    def describe(self) -> str:
        groups = f" groups {','.join(map(str, self.groups))}" if self.groups else ""
        return f"become uid {self.uid} gid {self.gid}{groups}, umask {self.umask:04o}"


@op
class Capabilities(Op):
    """capset(2) and prctl(2) PR_CAP_AMBIENT; what cannot be granted is a warning (config.md, process.capabilities).

    ``until_exec`` stay init's own, permitted and effective, and never the program's: execve(2) makes the new sets of
    the inheritable, the ambient and (for root) the bounding set alone (capabilities(7)).
    """

    effective: int
    permitted: int
    inheritable: int
    ambient: int
    no_new_privs: bool
    until_exec: int = 0

    def describe(self) -> str:
        more = ", no new privileges" if self.no_new_privs else ""
        return f"keep {self.effective.bit_count()} capabilities{more}" + (
            ", one more until exec" * (self.until_exec > 0)
        )


@op
class FindProgram(Op):
    """execvp's search (environ(7), PATH): found at create, so that a missing program is create's error."""

    program: str
    search: list[str]

    def describe(self) -> str:
        return f"find {self.program}"


@op
class Wait(Op):
    """accept(2) on the gate: everything is ready, the container is *created*; ``start`` opens the gate."""

    def describe(self) -> str:
        return "wait for start"


@op
class Seccomp(Op):
    """seccomp(2) SECCOMP_SET_MODE_FILTER with ``flags`` (SECCOMP_FILTER_FLAG_*): after it init only calls execve(2).

    On the host, before there is an init: seccomp_export_bpf(3) of what ``lines`` say (plan.seccomp), or its result
    from the cache. ``listener`` is the socket that the descriptor of seccomp_unotify(2) goes to, "" for none.
    """

    lines: list[str]
    flags: int
    listener: str
    at_once: bool = False  # now, and not only right before execve(2)

    def describe(self) -> str:
        if self.actor == HOST:
            default = self.lines[0]
            if not default.startswith("default "):
                return "take the system call filter as it is given"
            rules = [line for line in self.lines if line.partition(" ")[0] not in SECCOMP_SETTINGS]
            return f"compile the system call filter ({len(rules)} rule{'s' * (len(rules) != 1)}, {default})"
        return "load the system call filter" + (f", its listener goes to {self.listener}" if self.listener else "")


@op
class Exec(Op):
    """execve(2) of the program found, every fd but stdio (and --preserve-fds) closed on the way."""

    args: list[str]
    env: list[str]
    flags: int

    def describe(self) -> str:
        words = " ".join(self.args)
        return f"exec {words if len(words) <= LONGEST_LINE else words[:LONGEST_LINE] + '...'}"


def mapping_words(maps: list[str]) -> str:
    """How ids are mapped, in a few words."""
    if not maps:
        return "the container's id mapping"
    uids, gids = [text.strip().replace("\n", ", ") for text in maps]
    return f"ids mapped {uids}" if uids == gids else f"uids mapped {uids}, gids {gids}"


def dotted(address: int) -> str:
    """An IPv4 address in network order."""
    return ".".join(map(str, address.to_bytes(4, "little")))


def limit_word(value: int) -> str:
    """RLIM_INFINITY in words."""
    return "unlimited" if value >= (1 << 64) - 1 else str(value)
