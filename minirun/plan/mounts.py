"""The mounts of config.json, in the listed order (config.md, Mounts)."""

from __future__ import annotations

from minirun.plan import labels, mountflags
from minirun.plan.ops import (
    ATTR_RECURSIVE,
    BIND_RECURSIVE,
    MOUNT_COPY_UP,
    MOUNT_IS_DEV,
    MOUNT_MODE_OF_TARGET,
    Attr,
    Bind,
    Mount,
    Op,
)
from minirun.spec.rules import namespace_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Asked, Problems
    from minirun.plan.mountflags import MountOptions
    from minirun.spec.types import Mount as MountSpec, Spec


def clean(path: str) -> str:
    """Lexically clean and absolute, as runc cleans a destination: no "//", ".", or ".."."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def all_mounts(asked: Asked, problems: Problems) -> list[Op]:
    ops: list[Op] = []
    for index, mount in enumerate(asked.spec.get("mounts", ())):
        ops += one(asked, mount, f"/mounts/{index}", problems)
    return ops


def one(asked: Asked, mount: MountSpec, pointer: str, problems: Problems) -> list[Op]:
    """One entry: a remount, a bind, a cgroup, or a new file system; then its propagation."""
    options = mountflags.parse(mount.get("options", ()))
    target = clean(mount["destination"])
    fstype = mount.get("type", "")
    if target == "/" and not options.remount and (options.bind or fstype not in ("", "none")):
        problems.add(f"{pointer}/destination", "a mount over the rootfs itself is not supported: /root/path names it")
    if options.remount or (not options.bind and fstype in ("", "none")):
        return remount(target, options, pointer, problems)
    if options.bind or fstype == "bind":
        source = mount["source"]
        path = source if source.startswith("/") else f"{asked.bundle}/{source}"
        op: Op = bind(path, target, options, pointer)
        if options.data:
            problems.warnings.append(
                f"{pointer}/options: {','.join(options.data)} means nothing to a bind mount, ignored"
            )
    elif fstype in ("cgroup", "cgroup2"):
        op = cgroup(asked, target, options, pointer, problems)
    else:
        context = labels.of_mount(fstype, asked.spec["linux"])
        options.data, options.words = options.data + context, options.words + context
        op = filesystem(fstype, mount.get("source", ""), target, options, pointer)
    ops = [op]
    if options.propagation:
        ops.append(propagate(target, options, pointer))
    return ops


def bind(source: str, target: str, options: MountOptions, pointer: str) -> Op:
    return Bind(
        source=source,
        target=target,
        attr_set=options.attr_set,
        attr_clr=options.attr_clr,
        rec_set=options.rec_set,
        rec_clr=options.rec_clr,
        flags=BIND_RECURSIVE if options.recursive else 0,
        words=options.words,
        pointer=pointer,
    )


def filesystem(fstype: str, source: str, target: str, options: MountOptions, pointer: str) -> Op:
    flags = (MOUNT_IS_DEV if target == "/dev" and fstype == "tmpfs" else 0) | (MOUNT_COPY_UP if options.copy_up else 0)
    on = options.attr_set | options.rec_set
    if fstype == "tmpfs":
        on &= ~mountflags.RDONLY  # see read_only_at_last
        if not any(word.startswith("mode=") for word in options.data):
            flags |= MOUNT_MODE_OF_TARGET
    superblock = [*options.superblock]
    if options.attr_set & mountflags.RDONLY and not flags and fstype != "tmpfs":
        superblock.append("ro")  # mount(2) with MS_RDONLY makes both read-only, the mount and the superblock
    return Mount(
        fstype=fstype,
        source=source,
        target=target,
        data=superblock + options.data,
        attr_set=on,
        attr_clr=options.attr_clr | options.rec_clr,
        flags=flags,
        words=options.words,
        pointer=pointer,
    )


def read_only_at_last(spec: Spec) -> list[Op]:
    """A tmpfs with ``ro`` is written to first: by what is mounted in it, and by the nodes of /dev."""
    ops: list[Op] = []
    for index, mount in enumerate(spec.get("mounts", ())):
        if mount.get("type") == "tmpfs":
            options = mountflags.parse(mount.get("options", ()))
            if (options.attr_set | options.rec_set) & mountflags.RDONLY and not options.bind and not options.remount:
                target = clean(mount["destination"])
                ops.append(attribute(target, mountflags.RDONLY, 0, 0, ["read-only"], f"/mounts/{index}"))
    return ops


def cgroup(asked: Asked, target: str, options: MountOptions, pointer: str, problems: Problems) -> Op:
    """Type ``cgroup`` means: what this host's cgroups are (config-linux.md, Default Filesystems) -- here, always v2.

    In a cgroup namespace of its own the container mounts cgroup2 and sees itself as the root; otherwise its own
    directory is bound there.
    """
    if "cgroup" in namespace_types(asked.spec):
        options.data = []
        return filesystem("cgroup2", "cgroup", target, options, pointer)
    if not asked.facts.cgroup_root:
        problems.add(pointer, "this host has no cgroup2 mount to show")
    return bind(asked.facts.cgroup_root + asked.cgroup, target, options, pointer)


def remount(target: str, options: MountOptions, pointer: str, problems: Problems) -> list[Op]:
    if options.data and not options.bind:
        problems.add(f"{pointer}/options", f"a remount can change flags, not {','.join(options.data)}")
    ops: list[Op] = []
    if options.attr_set or options.attr_clr:
        ops.append(attribute(target, options.attr_set, options.attr_clr, 0, options.words, pointer))
    if options.rec_set or options.rec_clr:
        ops.append(attribute(target, options.rec_set, options.rec_clr, ATTR_RECURSIVE, options.words, pointer))
    if options.propagation:
        ops.append(propagate(target, options, pointer))
    return ops


def attribute(target: str, on: int, off: int, flags: int, words: list[str], pointer: str) -> Op:
    return Attr(target=target, attr_set=on, attr_clr=off, propagation=0, flags=flags, words=words, pointer=pointer)


def propagate(target: str, options: MountOptions, pointer: str) -> Op:
    words = [
        word for word in options.words if word.lstrip("r") in mountflags.PROPAGATION or word in mountflags.PROPAGATION
    ]
    return Attr(
        target=target, attr_set=0, attr_clr=0, propagation=options.propagation, flags=0, words=words, pointer=pointer
    )
