"""The rules of config.json that a schema cannot say: one small function each, in the order of the document.

Every function takes the document (its shape already checked) and adds what it finds to ``problems``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.spec.check import Problems

NAMESPACES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
# setrlimit(2), in the order of asm-generic/resource.h
RLIMITS = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
    "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip
# Which namespace a sysctl belongs to (config-linux.md, Sysctl; runc checks the same prefixes).
IPC_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip


def namespace_types(spec: Any) -> dict[str, str]:
    """Each namespace that config.json names, with its path ("" for a new one)."""
    listed = spec.get("linux", {}).get("namespaces", ())
    return {entry["type"]: entry.get("path", "") for entry in listed}


KEEP_GROUPS = "run.oci.keep_original_groups"  # crun's annotation, for podman run --group-add keep-groups
RAW_FILTER = "run.oci.seccomp_bpf_data"  # crun's annotation: a compiled filter in the section's place


ISOLATIONS = ("container", "vm", "sandbox")
ISOLATION = "dev.minirun.isolation"  # one of:
HANDLER, KRUN = "run.oci.handler", "krun"  # crun's annotation for another kind of isolation


def isolation_of(spec: Any, said: str = "") -> str:
    """What ``--isolation`` says, or the annotation, crun's, or the section /vm: it describes a machine to run in."""
    annotations = spec.get("annotations", {})
    word: str = said or annotations.get(ISOLATION, "")
    return word or ("vm" if annotations.get(HANDLER) == KRUN or "vm" in spec else "container")


def has_filter(spec: Any) -> bool:
    """Few configurations have one, or labels: the modules that carry these out are not imported without them."""
    return bool(spec.get("linux", {}).get("seccomp")) or bool(spec.get("annotations", {}).get(RAW_FILTER))


def has_labels(process: Any, linux: Any) -> bool:
    """Of a security module (AppArmor, SELinux), for the program or for its mounts."""
    return bool(process.get("apparmorProfile") or process.get("selinuxLabel") or linux.get("mountLabel"))


def in_place(spec: Any) -> bool:
    """No mount namespace: the mounts are made in the runtime's own, below the rootfs, and go when it is deleted."""
    return "mount" not in namespace_types(spec)


def clean_absolute(path: str) -> bool:
    """Absolute, without a ".." component."""
    return path.startswith("/") and ".." not in path.split("/")


def version(spec: Any, problems: Problems) -> None:
    """SemVer; another major version has other meanings (config.md, Specification version)."""
    word = spec["ociVersion"]
    numbers = word.partition("-")[0].partition("+")[0].split(".")
    if len(numbers) != 3 or not all(part.isascii() and part.isdigit() for part in numbers):
        problems.add("/ociVersion", f"must be a version such as 1.2.0, not {word!r}")
    elif int(numbers[0][:9]) != 1:
        problems.add("/ociVersion", f"{word} is not supported: minirun speaks runtime-spec 1.x")


def root(spec: Any, problems: Problems) -> None:
    if "root" not in spec:
        problems.add("/root", "is missing")
    elif not spec["root"]["path"]:
        problems.add("/root/path", "must not be empty")


def process(spec: Any, problems: Problems) -> None:
    if "process" not in spec:
        problems.add("/process", "is missing")
        return
    given = spec["process"]
    if not given.get("args"):
        problems.add("/process/args", "must name a program")
    elif not given["args"][0]:
        problems.add("/process/args/0", "must not be empty")
    if not clean_absolute(given["cwd"]):
        problems.add("/process/cwd", f"must be an absolute path without .., not {given['cwd']!r}")
    for index, entry in enumerate(given.get("env", ())):
        if entry.find("=") < 1:
            problems.add(f"/process/env/{index}", f"must be NAME=value, not {entry!r}")
    adjustment = given.get("oomScoreAdj", 0)
    if not -1000 <= adjustment <= 1000:
        problems.add("/process/oomScoreAdj", f"must be from -1000 to 1000, not {adjustment}")
    if given.get("user", {}).get("umask", 0) > 0o777:
        problems.add("/process/user/umask", "must be at most 0777 (511)")
    if len(given.get("user", {}).get("additionalGids", ())) > 256:
        problems.add("/process/user/additionalGids", "must have at most 256 entries")


def rlimits(spec: Any, problems: Problems) -> None:
    """A type twice is an error (config.md, POSIX process); so is one the kernel does not have."""
    seen = set()
    for index, limit in enumerate(spec.get("process", {}).get("rlimits", ())):
        name = limit["type"]
        if not name.startswith("RLIMIT_") or name[7:] not in RLIMITS:
            problems.add(f"/process/rlimits/{index}/type", f"{name!r} is not a resource limit of Linux")
        elif name in seen:
            problems.add(f"/process/rlimits/{index}/type", f"{name} is given twice")
        elif limit["soft"] > limit["hard"]:
            problems.add(f"/process/rlimits/{index}/soft", f"must be at most the hard limit, {limit['hard']}")
        seen.add(name)


def names(spec: Any, problems: Problems) -> None:
    """A host's own name is not the container's to change; the kernel takes 64 bytes (uname(2))."""
    for member in ("hostname", "domainname"):
        value = spec.get(member)
        if not value:
            continue
        if "uts" not in namespace_types(spec):
            problems.add(f"/{member}", "needs a uts namespace in /linux/namespaces")
        if len(value.encode()) > 64:
            problems.add(f"/{member}", "must be at most 64 bytes")


def namespaces(spec: Any, problems: Problems) -> None:
    seen = set()
    for index, entry in enumerate(spec.get("linux", {}).get("namespaces", ())):
        at = f"/linux/namespaces/{index}"
        if entry["type"] not in NAMESPACES:
            problems.add(f"{at}/type", f"must be one of {', '.join(NAMESPACES)}, not {entry['type']!r}")
        elif entry["type"] in seen:
            problems.add(f"{at}/type", f"{entry['type']} is given twice")
        seen.add(entry["type"])
        path = entry.get("path", "")
        if path and not path.startswith("/"):
            problems.add(f"{at}/path", f"must be an absolute path, not {path!r}")


def mappings(spec: Any, problems: Problems) -> None:
    """Mappings without a user namespace, or only one of the two (user_namespaces(7)); none: plan/userns.py has some."""
    linux = spec.get("linux", {})
    types = namespace_types(spec)
    one_of_two = bool(linux.get("uidMappings")) != bool(linux.get("gidMappings"))
    for member in ("uidMappings", "gidMappings"):
        rows = linux.get(member, ())
        if rows and "user" not in types:
            problems.add(f"/linux/{member}", 'needs {"type": "user"} in /linux/namespaces')
        if not rows and one_of_two and types.get("user") == "":
            problems.add(f"/linux/{member}", "is missing: a new user namespace needs both or none")
        if len(rows) > 340:
            problems.add(f"/linux/{member}", "must have at most 340 rows")
            continue
        for index, row in enumerate(rows):
            if row["size"] == 0:
                problems.add(f"/linux/{member}/{index}/size", "must not be 0")
        for side in ("containerID", "hostID"):
            overlaps(rows, side, f"/linux/{member}", problems)


def overlaps(rows: Any, side: str, at: str, problems: Problems) -> None:
    """No id may be in two rows, inside or outside (user_namespaces(7)); sorted, only neighbours can meet."""
    order = sorted(range(len(rows)), key=lambda index: rows[index][side])
    for place in range(len(order) - 1):
        one, other = order[place : place + 2]
        first, after = rows[one], rows[other][side]
        if first["size"] and after < first[side] + first["size"]:
            later, earlier = max(one, other), min(one, other)
            problems.add(f"{at}/{later}/{side}", f"overlaps with row {earlier}: {after} is in both")


def time_offsets(spec: Any, problems: Problems) -> None:
    offsets = spec.get("linux", {}).get("timeOffsets", {})
    if offsets and namespace_types(spec).get("time") != "":
        problems.add("/linux/timeOffsets", 'needs a new {"type": "time"} in /linux/namespaces')
    for clock, offset in offsets.items():
        if clock not in ("monotonic", "boottime"):
            problems.add(f"/linux/timeOffsets/{clock}", "must be monotonic or boottime")
        elif offset.get("nanosecs", 0) > 999_999_999:
            problems.add(f"/linux/timeOffsets/{clock}/nanosecs", "must be below 1000000000")


def devices(spec: Any, problems: Problems) -> None:
    for index, device in enumerate(spec.get("linux", {}).get("devices", ())):
        at = f"/linux/devices/{index}"
        if not clean_absolute(device["path"]) or device["path"].endswith("/"):
            problems.add(f"{at}/path", f"must be an absolute path without .., not {device['path']!r}")
        if device["type"] != "p":
            for number, most in (("major", 0xFFF), ("minor", 0xFFFFF)):
                if number not in device:
                    problems.add(f"{at}/{number}", f"is missing: a device of type {device['type']} needs it")
                elif not 0 <= device[number] <= most:
                    problems.add(f"{at}/{number}", f"must be from 0 to {most}, not {device[number]}")


def cgroup(spec: Any, problems: Problems) -> None:
    """A path that climbs out of the cgroup mount is an escape (crun 1.28, runc); so are names the kernel refuses."""
    path = spec.get("linux", {}).get("cgroupsPath", "")
    if ".." in path.split("/") or "\n" in path:
        problems.add("/linux/cgroupsPath", "must not contain .. or a newline")
    elif any(len(part.encode()) > 255 for part in path.split("/")) or len(path) > 3000:
        problems.add("/linux/cgroupsPath", "is longer than a path can be")


def paths(spec: Any, problems: Problems) -> None:
    linux = spec.get("linux", {})
    for member in ("maskedPaths", "readonlyPaths"):
        for index, path in enumerate(linux.get(member, ())):
            if not path.startswith("/"):
                problems.add(f"/linux/{member}/{index}", f"must be an absolute path, not {path!r}")


def sysctls(spec: Any, problems: Problems) -> None:
    """Only what belongs to a namespace of the container's own may be set: the rest is the host's."""
    types = namespace_types(spec)
    for name, value in spec.get("linux", {}).get("sysctl", {}).items():
        at = f"/linux/sysctl/{name.replace('~', '~0').replace('/', '~1')}"
        dotted = name.replace("/", ".")
        if ".." in dotted or dotted.startswith(".") or not dotted.isprintable() or " " in dotted:
            problems.add(at, f"{name!r} is not a sysctl's name")
        elif dotted.startswith("net."):
            if "network" not in types:
                problems.add(at, "needs a network namespace in /linux/namespaces")
        elif dotted in IPC_SYSCTLS or dotted.startswith("fs.mqueue."):
            if "ipc" not in types:
                problems.add(at, "needs an ipc namespace in /linux/namespaces")
        elif dotted == "kernel.hostname":
            problems.add(at, "set /hostname instead")
        elif dotted == "kernel.domainname":
            if "uts" not in types:
                problems.add(at, "needs a uts namespace in /linux/namespaces")
            elif spec.get("domainname", value) != value:
                problems.add(at, f"{value!r} is not what /domainname says")
        elif not dotted.startswith("user.") or "user" not in types:
            problems.add(at, f"{name} is not in a namespace: it would be the host's")


def hooks(spec: Any, problems: Problems) -> None:
    for name, entries in spec.get("hooks", {}).items():
        for index, hook in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(hook, dict) or "path" not in hook:
                continue
            at = f"/hooks/{name}/{index}"
            if not hook["path"].startswith("/"):
                problems.add(f"{at}/path", f"must be an absolute path, not {hook['path']!r}")
            if "" in hook.get("args", ())[:1]:
                problems.add(f"{at}/args/0", "must not be empty")
            for number, entry in enumerate(hook.get("env", ())):
                if entry.find("=") < 1:
                    problems.add(f"{at}/env/{number}", f"must be NAME=value, not {entry!r}")
            if hook.get("timeout", 1) <= 0:
                problems.add(f"{at}/timeout", "must be greater than 0")


def handler(spec: Any, problems: Problems) -> None:
    """crun's annotation for another kind of isolation: krun is a VM; others (wasm) are none of ours."""
    name = spec.get("annotations", {}).get(HANDLER)
    if name and name != KRUN:
        message = f"there is no handler {name!r}, only containers on this host's kernel, and {KRUN}: in a machine"
        problems.add(f"/annotations/{HANDLER}", message)
    isolation = spec.get("annotations", {}).get(ISOLATION, "vm")
    if isolation not in ISOLATIONS:
        problems.add(f"/annotations/{ISOLATION}", f"must be {' or '.join(ISOLATIONS)}, not {isolation!r}")


PROCESS = (process, rlimits)
ALL = (
    version, root, process, rlimits, names, namespaces, mappings, time_offsets, devices, cgroup, paths, sysctls,
    hooks, handler,
)  # fmt: skip
