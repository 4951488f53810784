"""Mount options of config.json -> attributes of mount_setattr(2) and data of the file system.

An option is an attribute set or cleared, the same for the whole tree (r...), a propagation, a word for the
superblock, a word for minirun itself, or (all that is unknown) data for the file system (config.md, Linux mount
options; the last three of ``OWN`` are crun's, crun.1).
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
# Those that take an access time mode away, and which; they change nothing where another one is in force.
ENDS = {"atime": NOATIME, "norelatime": RELATIME, "nostrictatime": STRICTATIME}
ABSENT = frozenset(("async", "nolazytime", "nomand", "noiversion", "silent", "loud"))
# Words for minirun itself, and the member of MountOptions that each sets.
OWN = {
    "bind": "bind", "rbind": "bind", "remount": "remount", "tmpcopyup": "copy_up", "idmap": "idmap", "ridmap": "idmap",
    "src-nofollow": "source_nofollow", "dest-nofollow": "target_nofollow", "copy-symlink": "copy_link",
}  # fmt: skip
KNOWN = sorted(
    {*ATTRIBUTES, *PROPAGATION, *SUPERBLOCK, *ABSENT, *OWN}
    | {f"r{word}" for word in (*ATTRIBUTES, *PROPAGATION) if word != "defaults"}
)  # what `features` lists


class MountOptions(Record):
    """``rec_set``, ``rec_clr`` for the tree; ``attr_set``, ``attr_clr`` for its root, later; ``propagation``: MS_*."""

    attr_set: int = 0
    attr_clr: int = 0
    rec_set: int = 0
    rec_clr: int = 0
    propagation: int = 0
    superblock: list[str]
    data: list[str]
    bind: bool = False
    recursive: bool = False
    remount: bool = False
    copy_up: bool = False
    idmap: bool = False
    idmap_tree: bool = False
    source_nofollow: bool = False
    target_nofollow: bool = False
    copy_link: bool = False
    words: list[str]


def parse(options: Iterable[str]) -> MountOptions:
    """Sort the options out; a later one overrides an earlier one about the same attribute."""
    o = MountOptions(superblock=[], data=[], words=[])
    for option in options:
        if option in ATTRIBUTES:
            o.attr_set, o.attr_clr = changed(o.attr_set, o.attr_clr, option)
        elif option[:1] == "r" and option[1:] in PROPAGATION:
            o.propagation = PROPAGATION[option[1:]] | MS_REC
        elif option in PROPAGATION:
            o.propagation = PROPAGATION[option]
        elif option[:1] == "r" and option[1:] in ATTRIBUTES and option != "rdefaults":
            o.rec_set, o.rec_clr = changed(o.rec_set, o.rec_clr, option[1:])
            on, off = ATTRIBUTES[option[1:]]
            o.attr_set, o.attr_clr = o.attr_set & ~(on | off), o.attr_clr & ~(on | off)  # the tree has its root in it
        else:
            other(o, option)
            continue
        if option != "defaults":
            o.words.append(option)
    return o


def changed(set_: int, clear: int, option: str) -> tuple[int, int]:
    """The two masks with one attribute more."""
    if option in ENDS and clear & ATIME_MASK and set_ & ATIME_MASK != ENDS[option]:
        return set_, clear
    on, off = ATTRIBUTES[option]
    return set_ & ~off | on, (clear | off) & ~(on & ~ATIME_MASK)


def other(o: MountOptions, option: str) -> None:
    """What is not an attribute."""
    word = option.partition("=")[0]
    if option in OWN or word in ("idmap", "ridmap"):
        setattr(o, OWN[word], True)
        o.recursive = o.recursive or option == "rbind"
        o.idmap_tree = word == "ridmap" or (o.idmap_tree and word != "idmap")
        if word not in ("bind", "rbind", "remount", "tmpcopyup"):
            o.words.append(word)
    elif option in SUPERBLOCK:
        o.superblock.append(SUPERBLOCK[option])
    elif option in ("async", "nolazytime", "nomand", "noiversion"):
        undone = option.removeprefix("no").removeprefix("a")
        o.superblock = [word for word in o.superblock if word != undone]
    elif option and option not in ABSENT:
        o.data.append(option)
        o.words.append(option)
