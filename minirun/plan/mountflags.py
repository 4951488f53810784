"""Mount options of config.json -> attributes of mount_setattr(2) and data of the file system.

An option is an attribute set or cleared, the same for the whole tree (r...), a propagation, a word for the
superblock, or (all that is unknown) data for the file system (config.md, Linux mount options).
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# linux/mount.h
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
ATIME_MASK, RELATIME, NOATIME, STRICTATIME = 0x70, 0x00, 0x10, 0x20
NODIRATIME, NOSYMFOLLOW = 0x80, 0x200000
MS_REC, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 0x4000, 1 << 17, 1 << 18, 1 << 19, 1 << 20

# option -> (attributes to set, attributes to clear)
ATTRIBUTES = {
    "ro": (RDONLY, 0),
    "rw": (0, RDONLY),
    "nosuid": (NOSUID, 0),
    "suid": (0, NOSUID),
    "nodev": (NODEV, 0),
    "dev": (0, NODEV),
    "noexec": (NOEXEC, 0),
    "exec": (0, NOEXEC),
    "noatime": (NOATIME, ATIME_MASK),
    "atime": (RELATIME, ATIME_MASK),
    "relatime": (RELATIME, ATIME_MASK),
    "norelatime": (RELATIME, ATIME_MASK),
    "strictatime": (STRICTATIME, ATIME_MASK),
    "nostrictatime": (RELATIME, ATIME_MASK),
    "nodiratime": (NODIRATIME, 0),
    "diratime": (0, NODIRATIME),
    "nosymfollow": (NOSYMFOLLOW, 0),
    "symfollow": (0, NOSYMFOLLOW),
    "defaults": (0, 0),
}
PROPAGATION = {"private": MS_PRIVATE, "shared": MS_SHARED, "slave": MS_SLAVE, "unbindable": MS_UNBINDABLE}
# Words for the superblock (fsconfig(2), FSCONFIG_SET_FLAG); "async", "nomand" and the like are the absence of one.
SUPERBLOCK = {"sync": "sync", "dirsync": "dirsync", "lazytime": "lazytime", "mand": "mand", "iversion": "iversion"}
ABSENT = frozenset(("async", "nolazytime", "nomand", "noiversion", "silent", "loud"))


class MountOptions(Record):
    """``set``/``clear``: this mount; ``rec_set``/``rec_clr``: its whole tree; ``propagation``: MS_* or 0."""

    attr_set: int
    attr_clr: int
    rec_set: int
    rec_clr: int
    propagation: int
    superblock: list[str]
    data: list[str]
    bind: bool
    recursive: bool
    remount: bool
    copy_up: bool
    words: list[str]


def parse(options: Iterable[str]) -> MountOptions:
    """Sort the options out; a later one overrides an earlier one about the same attribute."""
    o = MountOptions(
        attr_set=0, attr_clr=0, rec_set=0, rec_clr=0, propagation=0, superblock=[], data=[],
        bind=False, recursive=False, remount=False, copy_up=False, words=[],
    )  # fmt: skip
    for option in options:
        if option in ATTRIBUTES:
            on, off = ATTRIBUTES[option]
            o.attr_set = o.attr_set & ~off | on
            o.attr_clr = (o.attr_clr | off) & ~(on & ~ATIME_MASK)
        elif option[:1] == "r" and option[1:] in PROPAGATION:
            o.propagation = PROPAGATION[option[1:]] | MS_REC
        elif option in PROPAGATION:
            o.propagation = PROPAGATION[option]
        elif option[:1] == "r" and option[1:] in ATTRIBUTES:
            on, off = ATTRIBUTES[option[1:]]
            o.rec_set = o.rec_set & ~off | on
            o.rec_clr = (o.rec_clr | off) & ~(on & ~ATIME_MASK)
        else:
            other(o, option)
            continue
        if option != "defaults":
            o.words.append(option)
    return o


def other(o: MountOptions, option: str) -> None:
    """What is not an attribute."""
    if option in ("bind", "rbind"):
        o.bind = True
        o.recursive = o.recursive or option == "rbind"
    elif option == "remount":
        o.remount = True
    elif option == "tmpcopyup":
        o.copy_up = True
    elif option in SUPERBLOCK:
        o.superblock.append(SUPERBLOCK[option])
    elif option and option not in ABSENT:
        o.data.append(option)
        o.words.append(option)
