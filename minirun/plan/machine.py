"""The plan of a container in a virtual machine: the host's half around a VMM, the in-container half of any container.

The second half is planned by the same modules as ``plan.container``, for another place: the configuration as the guest
sees it (``inside``) on a host that is the guest (``facts_of_guest``).  What the host has is what virtio-fs shows:

    /run/share/root     the rootfs
    /run/share/N        the source of a bind mount

The network namespace is the guest's own: its interfaces are the machine's.  What a machine cannot do is refused by
name (``machine_rules``), before anything is begun.
"""

from __future__ import annotations

from minirun.plan import cgroup, container, devices, hooks, mounts, namespaces, process
from minirun.plan.container import Asked, Options, Plan, Problems
from minirun.plan.hardware import MIB, Hardware, Share, addresses, hardware_of, memory_limit
from minirun.plan.limits import limits
from minirun.plan.machine_rules import refuse
from minirun.plan.mountflags import RDONLY, parse
from minirun.plan.ops import USER_SETGROUPS, Bind, Interface, Op, Spawn, WriteCgroup, WriteProc, WriteTask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.facts import Facts
    from minirun.plan.exec import ExecAsked
    from minirun.spec.types import Linux, Memory, Mount, Resources, Spec

SHARE = "/run/share"
CGROUP = "/minirun"  # the container's, in the guest
CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")
# What the VMM takes beside the guest's memory: Python, its devices, and the kernel's own for it (page tables, files).
OF_THE_VMM = 96 * MIB
KVM, TUN = (10, 232), (10, 200)
NET, DISK = "/annotations/dev.minirun.vm.net", "/annotations/dev.minirun.vm.disk"


def plan(asked: Asked) -> Plan:
    """spec + facts -> the ordered list.  Raises MinirunError for what a machine cannot do."""
    problems = Problems()
    refuse(asked, problems)
    spec = asked.spec
    hardware = hardware_of(spec, asked.bundle, problems)
    guest = inside(asked, hardware)
    asked.cgroup = cgroup.path_of(asked, problems)
    ops, kept = container.compiled(spec, problems)
    made = cgroup.make(around(asked, hardware), problems)
    spawn = spawned(guest, hardware)
    limited = inner_limits(spec)
    ops += [*limited, spawn, *made] if asked.options.cgroup_driver == "systemd" else [*made, *limited, spawn]
    ops += namespaces_of(guest, problems) + interfaces(hardware)
    ops += container.rootfs(guest)
    ops += mounts.all_mounts(guest, problems)
    ops += devices.nodes(guest) + disks(hardware)
    ops += process.console(spec["process"], "/dev/console")
    ops += process.working_directory(spec["process"])
    ops += container.sysctls(spec)
    ops += container.names(spec)
    ops += hooks.before_pivot(spec, asked.bundle, "")
    ops += mounts.read_only_at_last(spec)
    ops += container.protected_paths(spec)
    ops += container.leave_old_root(guest)
    ops += process.tunes(spec["process"], spec, guest.facts)
    ops += process.become_the_user(
        spec["process"], USER_SETGROUPS, process.rlimits(spec["process"]), problems, until_exec=kept, before=[]
    )
    ops += container.from_the_gate_on(spec, {})
    problems.raise_any(asked.config)
    return Plan(ops=ops, cgroup=asked.cgroup, warnings=problems.warnings)


def facts_of_guest(host: Facts) -> Facts:
    """Root of a Linux of its own, with cgroup v2 alone, and no module of security's."""
    return host.__class__(
        euid=0, egid=0, cgroup_root="/sys/fs/cgroup", controllers=CONTROLLERS, cgroup_home="/", cgroup_delegated=True,
        userns=False,
    )  # fmt: skip


def inside(asked: Asked, hardware: Hardware) -> Asked:
    """The same request as it looks in the guest; ``hardware`` learns of the shares."""
    spec = asked.spec
    root = container.absolute(spec["root"]["path"], asked.bundle)
    hardware.shares.append(Share(name="root", path=root, pointer="/root/path"))
    shared: list[Mount] = []
    for index, mount in enumerate(spec.get("mounts", ())):
        given = parse(mount.get("options", ()))
        if (given.bind or mount.get("type") == "bind") and not given.remount:
            source = container.absolute(mount["source"], asked.bundle)
            name = share_of(hardware, source, bool(given.attr_set & RDONLY), f"/mounts/{index}/source")
            mount = {**mount, "source": f"{SHARE}/{name}"}
        shared.append(mount)
    linux: Linux = {**spec["linux"], "resources": {}}
    linux["namespaces"] = [each for each in linux.get("namespaces", []) if each["type"] != "network"]
    seen: Spec = {**spec, "root": {**spec["root"], "path": f"{SHARE}/root"}, "mounts": shared, "linux": linux}
    options = Options(no_new_keyring=asked.options.no_new_keyring)
    return Asked(
        spec=seen, facts=facts_of_guest(asked.facts), bundle=SHARE, container_id=asked.container_id,
        config=asked.config, options=options, cgroup=CGROUP, rlimits=[],
    )  # fmt: skip


def share_of(hardware: Hardware, path: str, read_only: bool, pointer: str) -> str:
    """Its name in the guest; a source that is bound twice is shared once."""
    for share in hardware.shares[1:]:
        if (share.path, share.read_only) == (path, read_only):
            return share.name
    name = str(len(hardware.shares) - 1)
    hardware.shares.append(Share(name=name, path=path, read_only=read_only, pointer=pointer))
    return name


def around(asked: Asked, hardware: Hardware) -> Asked:
    """What the host limits is the machine: its memory with the VMM's own; processes are the guest's to count."""
    resources: Resources = {**asked.spec["linux"].get("resources", {})}
    resources.pop("pids", None)
    memory: Memory = {**resources.get("memory", {})}
    limit = memory_limit(asked.spec)
    if limit:
        beside = hardware.memory + OF_THE_VMM - limit
        memory["limit"] = limit + beside
        if memory.get("swap", 0) > 0:
            memory["swap"] += beside
        memory.pop("reservation", None)
    resources["memory"] = memory
    unified = resources.get("unified", {})
    resources["unified"] = {name: value for name, value in unified.items() if not counted_inside(name)}
    allowed = [{"allow": True, "type": "c", "major": a, "minor": b, "access": "rw"} for a, b in (KVM, TUN)]
    resources["devices"] = [{"allow": False}, *allowed]  # type: ignore[list-item]
    spec: Spec = {**asked.spec, "mounts": [], "linux": {**asked.spec["linux"], "resources": resources}}
    return Asked(**{**asked.__dict__, "spec": spec})


def counted_inside(file: str) -> bool:
    return file.startswith(("pids.", "memory."))


def inner_limits(spec: Spec) -> list[Op]:
    """The guest's own cgroup for the container: what counts the program's memory and processes."""
    resources: Resources = {}
    given = cgroup.as_meant(spec["linux"].get("resources", {}), spec)
    if memory_limit(spec):
        resources["memory"] = {"limit": memory_limit(spec)}
    if "pids" in given:
        resources["pids"] = given["pids"]
    resources["unified"] = {name: value for name, value in given.get("unified", {}).items() if counted_inside(name)}
    return [WriteCgroup(**write.__dict__, inside=True) for write in limits(resources)]


def spawned(guest: Asked, hardware: Hardware) -> Op:
    """The same spawn as a container's, with the machine around it."""
    first = namespaces.enter(guest, Problems())[0]
    assert isinstance(first, Spawn)
    first.machine = hardware.words()
    return first


def namespaces_of(guest: Asked, problems: Problems) -> list[Op]:
    """From the spawn to where the mounts begin; the machine's own network namespace has lo as any new one."""
    ops = [by_init(op) for op in namespaces.enter(guest, problems)[1:]]
    return [*ops, Interface(name="lo", pointer=namespaces.POINTER)]


def interfaces(hardware: Hardware) -> list[Op]:
    """The machine's own, in the order of its taps: without udev the kernel's names are what they are."""
    ops: list[Op] = []
    for index, word in enumerate(hardware.nets):
        address, mask, gateway = addresses(word)
        ops.append(Interface(name=f"eth{index}", address=address, mask=mask, gateway=gateway, pointer=NET))
    return ops


def by_init(op: Op) -> Op:
    """What a host writes to a container's /proc/PID init writes itself: in the guest it has every right."""
    if not isinstance(op, WriteTask):
        return op
    return WriteProc(file=f"self/{op.file}", value=op.value, pointer=op.pointer)


def disks(hardware: Hardware) -> list[Op]:
    """The guest's own nodes, bound: their major number is whatever its kernel gave them."""
    paths = [f"/dev/vd{'abcd'[index]}" for index in range(len(hardware.disks))]
    return [
        Bind(source=path, target=path, attr_set=0, attr_clr=0, rec_set=0, rec_clr=0, flags=0, words=[], pointer=DISK)
        for path in paths
    ]


def plan_exec(asked: ExecAsked) -> Plan:
    """One more process in a container in a machine: the same plan, for the guest."""
    from minirun.plan import exec as planner

    linux: Linux = {**asked.spec["linux"]}
    linux["namespaces"] = [each for each in linux.get("namespaces", []) if each["type"] != "network"]
    asked.spec = {**asked.spec, "linux": linux}
    asked.facts, asked.cgroup, asked.unit, asked.rootfs = facts_of_guest(asked.facts), CGROUP, "", f"{SHARE}/root"
    made = planner.plan(asked)
    ops: list[Op] = []
    for op in made.ops:
        if isinstance(op, WriteTask):
            ops.append(WriteProc(file="", value="", pointer=op.pointer))
        if isinstance(op, Spawn):
            op.machine = ["in the machine"]
        ops.append(by_init(op))
    made.ops = ops
    return made
