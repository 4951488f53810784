"""The cgroup, made and limited before anything of the container runs: no program is ever in it without its limits.

Three drivers: ``cgroupfs`` makes the directory itself, ``systemd`` has a unit made (``plan.systemd``), and with
``disabled`` there is none.  The files are written by us in either of the first two.
"""

from __future__ import annotations

from minirun.plan import devices
from minirun.plan.limits import limits
from minirun.plan.mounts import clean
from minirun.plan.ops import DeviceRules, MakeCgroup, Op, WriteCgroup
from minirun.spec.rules import namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.facts import Facts
    from minirun.plan.container import Asked, Problems
    from minirun.plan.limits import Limit
    from minirun.spec.types import Resources, Spec

POINTER = "/linux/cgroupsPath"
OWN = "a cgroup of your own: --systemd-cgroup, or start minirun by systemd-run --user --scope -p Delegate=yes"
WITHOUT = "mount it writable; or --rootless=true runs without a cgroup, where nothing is limited"

# What every cgroup is when nobody has asked for anything: true as well where the controller is not there.
# ctr and docker send cpu.shares = 1024, podman --pids-limit=-1 sends -1.
UNLIMITED = {
    "cpu.weight": "100", "cpu.idle": "0", "cpu.max": "max 100000", "memory.max": "max", "memory.swap.max": "max",
    "pids.max": "max",
}  # fmt: skip


def path_of(asked: Asked, problems: Problems) -> str:
    """Below the cgroup2 mount; an absolute cgroupsPath is taken from there, a relative one from our own home.

    "" where an ordinary user was given no cgroup to make it in: then nothing is limited, and nothing may be asked,
    neither limits nor a path (as in runc and crun).
    """
    spec, facts = asked.spec, asked.facts
    given = spec["linux"].get("cgroupsPath", "")
    if asked.options.cgroup_driver == "systemd":
        from minirun.plan import systemd

        try:
            unit = systemd.unit_of(given, asked.container_id, facts.rootless)
        except ValueError as error:
            problems.add(POINTER, str(error))
            return ""
        return facts.systemd_root + unit.path
    if asked.options.cgroup_driver == "disabled" or not facts.cgroup_root:
        return ""
    parts = [part for part in given.split("/") if part not in ("", ".")]
    path = "/".join([facts.cgroup_home, *(parts or [asked.container_id])])
    if given.startswith("/") and parts:
        path = "/" + "/".join(parts)
    if facts.cgroup_delegated and (facts.cgroup_domain in ("", "/") or path.startswith(facts.cgroup_domain + "/")):
        return path
    if parts or not tolerant(asked):
        reason = f"no cgroup may be made in {path.rpartition('/')[0] or '/'}"
        if not parts:
            reason += ", and --rootless=false wants one" if facts.rootless else f": {facts.cgroup_root} is read-only"
        problems.add(POINTER, reason, OWN if facts.rootless else WITHOUT)
    elif not facts.rootless:
        problems.warnings.append(f"{POINTER}: no cgroup can be made, so nothing is limited and no device is refused")
    return ""


def tolerant(asked: Asked) -> bool:
    """--rootless: does a container run without a cgroup, where none can be made?"""
    word = asked.options.rootless
    return asked.facts.rootless if word == "auto" else word == "true"


def make(asked: Asked, problems: Problems) -> list[Op]:
    """The cgroup, its limits, its device filter."""
    facts, driver = asked.facts, asked.options.cgroup_driver
    resources = as_meant(asked.spec["linux"].get("resources", {}), asked.spec)
    writes = needed(limits(resources), facts)
    if not facts.cgroup_root and (not tolerant(asked) or driver == "systemd") and driver != "disabled":
        problems.add(
            POINTER, "this host has no cgroup2 mount", "mount -t cgroup2 none /sys/fs/cgroup (or .../unified beside v1)"
        )
        return []
    missing = driver != "disabled" and check_controllers(writes, facts, problems)
    if not asked.cgroup:
        if writes and not missing:
            hint = "leave out --cgroup-manager=disabled" if driver == "disabled" else OWN
            problems.add("/linux/resources", "limits need a cgroup that you may write", hint)
        if "pid" not in namespace_types(asked.spec) and driver != "disabled":
            problems.warnings.append(
                "/linux/namespaces: with neither a cgroup nor a pid namespace, processes can outlive the container"
            )
        return []
    rules = [] if facts.rootless else devices.rules(resources)
    ops: list[Op] = [made_by_systemd(asked, writes, rules, problems) if driver == "systemd" else made(asked, writes)]
    ops += [WriteCgroup(**write.__dict__) for write in writes]
    if not facts.rootless:
        ops.append(DeviceRules(rules=rules, pointer="/linux/resources/devices"))
    return ops


def as_meant(resources: Resources, spec: Spec) -> Resources:
    """podman says 0 where it means no limit on processes, as long as it writes an older version than 1.3.

    Since then 0 is a limit (runtime-spec #1279), under which its container could not fork.
    """
    old = tuple(int(part) for part in spec["ociVersion"].split(".")[:2]) < (1, 3)
    by_podman = spec.get("annotations", {}).get("io.container.manager") == "libpod"
    if old and by_podman and resources.get("pids", {}).get("limit") == 0:
        return {**resources, "pids": {"limit": -1}}
    return resources


def made(asked: Asked, writes: list[Limit]) -> Op:
    needed = sorted({write.controller for write in writes} - {"cgroup"})
    others = [name for name in asked.facts.controllers if name not in needed]
    return MakeCgroup(
        path=asked.cgroup, controllers=needed, others=others, owner=owner(asked.spec, asked.facts), pointer=POINTER
    )


def made_by_systemd(asked: Asked, writes: list[Limit], rules: list[str], problems: Problems) -> Op:
    """The unit's properties say all that the files will say, so that systemd never writes anything else."""
    from minirun.plan import systemd

    unit = systemd.unit_of(asked.spec["linux"].get("cgroupsPath", ""), asked.container_id, asked.facts.rootless)
    properties = systemd.unit_properties(unit, asked.container_id)
    properties += systemd.limit_properties(writes)
    properties += systemd.device_properties(rules) if rules else []
    properties += systemd.annotated(asked.spec.get("annotations", {}), problems)
    return MakeCgroup(path=asked.cgroup, controllers=[], unit=unit.name, properties=properties,
                      owner=owner(asked.spec, asked.facts), pointer=POINTER)  # fmt: skip


def owner(spec: Spec, facts: Facts) -> int:
    """Whose the container's cgroup becomes, as the host counts; 0 for nobody's but root's.

    config-linux.md, Cgroup ownership: with a new cgroup namespace and a cgroup file system that the container may
    write, the uid of /process/user.  Limits stay out of its reach only where the host mounts cgroup2 with nsdelegate
    or the uid is not root's.
    """
    if facts.rootless or namespace_types(spec).get("cgroup") != "" or not writable_cgroupfs(spec):
        return 0
    uid = spec["process"].get("user", {}).get("uid", 0)
    if "user" not in namespace_types(spec):
        return uid
    for row in spec["linux"].get("uidMappings", ()):
        if row["containerID"] <= uid < row["containerID"] + row["size"]:
            return row["hostID"] + uid - row["containerID"]
    return 0


def writable_cgroupfs(spec: Spec) -> bool:
    for mount in spec.get("mounts", ()):
        if mount.get("source") == "cgroup" and clean(mount["destination"]) == "/sys/fs/cgroup":
            return "ro" not in mount.get("options", ())
    return False


def needed(writes: list[Limit], facts: Facts) -> list[Limit]:
    """Without those that ask a missing controller for what is so without it."""
    return [
        write
        for write in writes
        if write.controller in facts.controllers or UNLIMITED.get(write.file, "\0") != write.value
    ]


def check_controllers(writes: list[Limit], facts: Facts, problems: Problems) -> bool:
    """A limit whose controller is not there is an error that names it; running without the limit would be a lie."""
    missing = False
    for write in writes:
        if write.controller not in facts.controllers and write.controller != "cgroup":
            missing = True
            problems.add(
                write.pointer,
                f"{write.file} needs the {write.controller} controller, which cgroup v2 does not have on this host",
                "boot with systemd.unified_cgroup_hierarchy=1, or move the controller off cgroup v1"
                f" (in {facts.cgroup_root or 'no mount'}: {' '.join(facts.controllers) or 'none'})",
            )
    return missing
