"""The mounts of config.json, in the listed order (config.md, Mounts)."""

from __future__ import annotations

from minirun.plan import mountflags
from minirun.plan.ops import (
    ATTR_RECURSIVE,
    BIND_COPY_LINK,
    BIND_MAPPED,
    BIND_MAPPED_TREE,
    BIND_RECURSIVE,
    BIND_SOURCE_NOFOLLOW,
    BIND_TARGET_NOFOLLOW,
    MOUNT_CLASSIC,
    MOUNT_COPY_UP,
    MOUNT_IS_DEV,
    MOUNT_MODE_OF_TARGET,
    Attr,
    Bind,
    Mount,
    Op,
)
from minirun.spec.rules import in_place, namespace_types

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


def propagation_of_all(spec: Spec) -> int:
    """What the whole namespace becomes first: a slave of the host's, if the bundle does not say otherwise.

    0 where it is the runtime's own, and stays as it is.
    """
    if in_place(spec):
        return 0
    word = spec["linux"].get("rootfsPropagation", "")
    if word in ("private", "rprivate", "unbindable", "runbindable"):
        return mountflags.MS_PRIVATE | mountflags.MS_REC  # an unbindable rootfs could not be cloned; it becomes so last
    shared = word in ("shared", "rshared")
    return (mountflags.MS_SHARED if shared else mountflags.MS_SLAVE) | mountflags.MS_REC


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
    by_host = options.idmap or "uidMappings" in mount or "gidMappings" in mount
    maps: list[str] = []
    if by_host:
        from minirun.plan import idmap

        maps = idmap.of(asked, mount, options, pointer, problems)
    if options.remount or (not options.bind and fstype in ("", "none")):
        return remount(target, options, pointer, problems)
    op: Bind | Mount
    if options.bind or fstype == "bind":
        source = mount["source"]
        path = source if source.startswith("/") else f"{asked.bundle}/{source}"
        op = bind(path, target, options, pointer)
        if options.data:
            no_data(options, pointer, problems)
    elif fstype in ("cgroup", "cgroup2"):
        op = cgroup(asked, target, options, pointer, problems)
    else:
        if asked.spec["linux"].get("mountLabel"):
            from minirun.plan import labels

            context = labels.of_mount(fstype, asked.spec["linux"])
            options.data, options.words = options.data + context, options.words + context
        op = filesystem(fstype, mount.get("source", ""), target, options, pointer)
    ops: list[Op] = [op]
    if by_host or "user" in namespace_types(asked.spec):
        from minirun.plan import idmap

        if idmap.needs_the_host(asked, op, options):
            ops = idmap.by_the_host(asked, op, maps)
    if options.propagation:
        ops.append(propagate(target, options, pointer))
    return ops


def bind(source: str, target: str, options: MountOptions, pointer: str) -> Bind:
    flags = (
        (BIND_RECURSIVE if options.recursive else 0)
        | (BIND_MAPPED if options.idmap else 0)
        | (BIND_MAPPED_TREE if options.idmap_tree else 0)
        | (BIND_SOURCE_NOFOLLOW if options.source_nofollow or options.copy_link else 0)
        | (BIND_TARGET_NOFOLLOW if options.target_nofollow else 0)
        | (BIND_COPY_LINK if options.copy_link else 0)
    )
    return Bind(
        source=source,
        target=target,
        attr_set=options.attr_set,
        attr_clr=options.attr_clr,
        rec_set=options.rec_set,
        rec_clr=options.rec_clr,
        flags=flags,
        words=options.words,
        pointer=pointer,
    )


def filesystem(fstype: str, source: str, target: str, options: MountOptions, pointer: str) -> Mount:
    flags = 0
    on, off = of_one_mount(options)
    if fstype == "tmpfs":
        flags = (MOUNT_IS_DEV if target == "/dev" else 0) | (MOUNT_COPY_UP if options.copy_up else 0)
        on &= ~mountflags.RDONLY  # see read_only_at_last
        if not any(word.startswith("mode=") for word in options.data):
            flags |= MOUNT_MODE_OF_TARGET
    superblock = [*options.superblock]
    if "iversion" in superblock:  # a tmpfs has it always; to the others only mount(2) can say it (MS_I_VERSION)
        flags |= 0 if fstype == "tmpfs" else MOUNT_CLASSIC
        superblock = [word for word in superblock if fstype != "tmpfs" or word != "iversion"]
    if options.attr_set & mountflags.RDONLY and fstype != "tmpfs":
        superblock.append("ro")  # mount(2) with MS_RDONLY makes both read-only, the mount and the superblock
    return Mount(
        fstype=fstype,
        source=source,
        target=target,
        data=superblock + options.data,
        attr_set=on,
        attr_clr=off,
        flags=flags,
        words=options.words,
        pointer=pointer,
    )


def of_one_mount(options: MountOptions) -> tuple[int, int]:
    """What is set and cleared where the whole tree is one mount."""
    kept, gone = options.rec_set & ~options.attr_clr, options.rec_clr & ~(options.attr_set & ~mountflags.ATIME_MASK)
    return kept | options.attr_set, gone | options.attr_clr


def read_only_at_last(spec: Spec) -> list[Op]:
    """A tmpfs with ``ro`` is written to first: by what is mounted in it, and by the nodes of /dev."""
    ops: list[Op] = []
    for index, mount in enumerate(spec.get("mounts", ())):
        if mount.get("type") == "tmpfs":
            options = mountflags.parse(mount.get("options", ()))
            if of_one_mount(options)[0] & mountflags.RDONLY and not options.bind and not options.remount:
                target = clean(mount["destination"])
                ops.append(attribute(target, mountflags.RDONLY, 0, 0, ["read-only"], f"/mounts/{index}"))
    return ops


def cgroup(asked: Asked, target: str, options: MountOptions, pointer: str, problems: Problems) -> Bind | Mount:
    """Type ``cgroup`` means: what this host's cgroups are (config-linux.md, Default Filesystems) -- here, always v2.

    In a cgroup namespace of its own the container mounts cgroup2 and sees itself as the root; otherwise its own
    directory is bound there.
    """
    if "cgroup" in namespace_types(asked.spec):
        return filesystem("cgroup2", "cgroup", target, options, pointer)
    if not asked.facts.cgroup_root:
        problems.add(pointer, "this host has no cgroup2 mount to show")
    return bind(asked.facts.cgroup_root + asked.cgroup, target, options, pointer)


def remount(target: str, options: MountOptions, pointer: str, problems: Problems) -> list[Op]:
    """Flags of what is mounted there; without ``bind`` also the file system's own options, where there are any."""
    data = [] if options.bind else options.superblock + options.data
    if options.bind and options.data:
        no_data(options, pointer, problems)
    ops: list[Op] = []
    if options.rec_set or options.rec_clr:
        ops.append(attribute(target, options.rec_set, options.rec_clr, ATTR_RECURSIVE, options.words, pointer))
    if options.attr_set or options.attr_clr or data:
        ops.append(attribute(target, options.attr_set, options.attr_clr, 0, options.words, pointer, data))
    if options.propagation:
        ops.append(propagate(target, options, pointer))
    return ops


def no_data(options: MountOptions, pointer: str, problems: Problems) -> None:
    problems.warnings.append(f"{pointer}/options: {','.join(options.data)} means nothing to a bind mount, ignored")


def attribute(
    target: str, on: int, off: int, flags: int, words: list[str], pointer: str, data: list[str] | None = None
) -> Op:
    return Attr(
        target=target, attr_set=on, attr_clr=off, propagation=0, flags=flags, words=words, data=data or [],
        pointer=pointer,
    )  # fmt: skip


def propagate(target: str, options: MountOptions, pointer: str) -> Op:
    words = [
        word for word in options.words if word.lstrip("r") in mountflags.PROPAGATION or word in mountflags.PROPAGATION
    ]
    return Attr(
        target=target, attr_set=0, attr_clr=0, propagation=options.propagation, flags=0, words=words, pointer=pointer
    )
