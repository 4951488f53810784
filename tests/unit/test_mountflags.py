"""Mount options: each one's effect, what overrides what, and what is left for the file system."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from minirun.plan import mountflags as m
from minirun.plan.mountflags import ATTRIBUTES, MountOptions, parse
from minirun.plan.mounts import of_one_mount

# config.md, Linux mount options: every one that must be known, with attributes set and cleared.
EFFECT = {
    "ro": (m.RDONLY, 0), "rw": (0, m.RDONLY),
    "nosuid": (m.NOSUID, 0), "suid": (0, m.NOSUID),
    "nodev": (m.NODEV, 0), "dev": (0, m.NODEV),
    "noexec": (m.NOEXEC, 0), "exec": (0, m.NOEXEC),
    "noatime": (m.NOATIME, m.ATIME_MASK), "atime": (0, m.ATIME_MASK),
    "relatime": (0, m.ATIME_MASK), "norelatime": (0, m.ATIME_MASK),
    "strictatime": (m.STRICTATIME, m.ATIME_MASK), "nostrictatime": (0, m.ATIME_MASK),
    "nodiratime": (m.NODIRATIME, 0), "diratime": (0, m.NODIRATIME),
    "nosymfollow": (m.NOSYMFOLLOW, 0), "symfollow": (0, m.NOSYMFOLLOW),
    "defaults": (0, 0),
}  # fmt: skip
PROPAGATION = {"private": 1 << 18, "shared": 1 << 20, "slave": 1 << 19, "unbindable": 1 << 17}
WITHOUT_EFFECT = ("async", "nolazytime", "nomand", "noiversion", "silent", "loud", "")


def empty(**other: object) -> MountOptions:
    values: dict[str, object] = {"superblock": [], "data": [], "words": []}
    return MountOptions(**{**values, **other})  # type: ignore[arg-type]


def test_the_table_is_all_there() -> None:
    assert ATTRIBUTES.keys() == EFFECT.keys()


@pytest.mark.parametrize("option", EFFECT)
def test_attribute(option: str) -> None:
    on, off = EFFECT[option]
    words = [] if option == "defaults" else [option]
    assert parse([option]) == empty(attr_set=on, attr_clr=off, words=words)


@pytest.mark.parametrize("option", EFFECT)
def test_the_same_for_a_whole_tree(option: str) -> None:
    """rro, rnosuid ...: the letter r, then the option."""
    if option == "defaults" or "r" + option in EFFECT or option in ("private",):
        return
    on, off = EFFECT[option]
    assert parse(["r" + option]) == empty(rec_set=on, rec_clr=off, words=["r" + option])


@pytest.mark.parametrize("option", PROPAGATION)
def test_propagation(option: str) -> None:
    assert parse([option]) == empty(propagation=PROPAGATION[option], words=[option])
    assert parse(["r" + option]) == empty(propagation=PROPAGATION[option] | m.MS_REC, words=["r" + option])


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("bind", empty(bind=True)),
        ("rbind", empty(bind=True, recursive=True)),
        ("remount", empty(remount=True)),
        ("tmpcopyup", empty(copy_up=True)),
        ("idmap", empty(idmap=True, words=["idmap"])),
        ("ridmap", empty(idmap=True, idmap_tree=True, words=["ridmap"])),
        ("ridmap=uids=0-0-1;gids=0-0-1", empty(idmap=True, idmap_tree=True, words=["ridmap"])),
        ("src-nofollow", empty(source_nofollow=True, words=["src-nofollow"])),
        ("dest-nofollow", empty(target_nofollow=True, words=["dest-nofollow"])),
        ("copy-symlink", empty(copy_link=True, words=["copy-symlink"])),
        ("rdefaults", empty(data=["rdefaults"], words=["rdefaults"])),
        ("x-gvfs-hide", empty(data=["x-gvfs-hide"], words=["x-gvfs-hide"])),
        ("sync", empty(superblock=["sync"])),
        ("dirsync", empty(superblock=["dirsync"])),
        ("lazytime", empty(superblock=["lazytime"])),
        ("mand", empty(superblock=["mand"])),
        ("iversion", empty(superblock=["iversion"])),
        ("size=64k", empty(data=["size=64k"], words=["size=64k"])),
        ("lowerdir=/a:/b", empty(data=["lowerdir=/a:/b"], words=["lowerdir=/a:/b"])),
        ("newinstance", empty(data=["newinstance"], words=["newinstance"])),
    ],
)
def test_other(option: str, expected: MountOptions) -> None:
    assert parse([option]) == expected


@pytest.mark.parametrize("option", WITHOUT_EFFECT)
def test_the_absence_of_something(option: str) -> None:
    assert parse([option]) == empty()


@pytest.mark.parametrize(
    ("options", "on", "off"),
    [
        (["ro", "rw"], 0, m.RDONLY),
        (["rw", "ro"], m.RDONLY, 0),
        (["noexec", "exec", "noexec"], m.NOEXEC, 0),
        (["noatime", "strictatime"], m.STRICTATIME, m.ATIME_MASK),
        (["strictatime", "relatime"], 0, m.ATIME_MASK),
        (["noatime", "norelatime"], m.NOATIME, m.ATIME_MASK),
        (["noatime", "nostrictatime"], m.NOATIME, m.ATIME_MASK),
        (["strictatime", "atime"], m.STRICTATIME, m.ATIME_MASK),
        (["noatime", "atime"], 0, m.ATIME_MASK),
        (["ro", "rrw"], 0, 0),
        (["rrw", "ro"], m.RDONLY, 0),
        (["nosuid", "nodev", "noexec", "ro"], m.NOSUID | m.NODEV | m.NOEXEC | m.RDONLY, 0),
    ],
)
def test_the_later_one_wins(options: list[str], on: int, off: int) -> None:
    made = parse(options)
    assert (made.attr_set, made.attr_clr) == (on, off)


@pytest.mark.parametrize(
    ("options", "own", "tree"),
    [
        (["ro", "rrw"], (0, 0), (0, m.RDONLY)),
        (["rrw", "ro"], (m.RDONLY, 0), (0, m.RDONLY)),
        (["rro", "rw"], (0, m.RDONLY), (m.RDONLY, 0)),
        (["noatime", "rrelatime"], (0, 0), (0, m.ATIME_MASK)),
        (["rnoatime", "strictatime"], (m.STRICTATIME, m.ATIME_MASK), (m.NOATIME, m.ATIME_MASK)),
        (["rnosymfollow", "rsymfollow"], (0, 0), (0, m.NOSYMFOLLOW)),
    ],
)
def test_a_tree_and_its_root(options: list[str], own: tuple[int, int], tree: tuple[int, int]) -> None:
    """The tree first, then its root: what comes later wins there too."""
    made = parse(options)
    assert ((made.attr_set, made.attr_clr), (made.rec_set, made.rec_clr)) == (own, tree)
    on, off = of_one_mount(made)
    assert not on & off & ~m.ATIME_MASK


def test_what_undoes_a_word_for_the_superblock() -> None:
    assert parse(["sync", "async", "mand", "nomand", "lazytime", "nolazytime", "iversion", "noiversion"]) == empty()
    assert parse(["async", "sync"]).superblock == ["sync"]


def test_what_features_lists() -> None:
    """Everything that `parse` knows, and nothing else: no word of the list is left for the file system."""
    assert not [word for word in m.KNOWN if parse([word]).data]
    assert {*EFFECT, *PROPAGATION, "rro", "idmap", "ridmap", "tmpcopyup", "rsymfollow"} <= set(m.KNOWN)


KNOWN = [*EFFECT, *("r" + word for word in EFFECT), *PROPAGATION, "bind", "rbind", "sync", "size=1", "tmpcopyup"]


@given(st.lists(st.sampled_from(KNOWN)))
def test_what_mount_setattr_accepts(options: list[str]) -> None:
    """EINVAL otherwise: a bit set and cleared (but for the atime field, which must be cleared whole)."""
    made = parse(options)
    for on, off in ((made.attr_set, made.attr_clr), (made.rec_set, made.rec_clr)):
        assert not on & off & ~m.ATIME_MASK
        assert not on & m.ATIME_MASK or off & m.ATIME_MASK == m.ATIME_MASK
        assert off & m.ATIME_MASK in (0, m.ATIME_MASK)
        assert on & m.ATIME_MASK in (0, m.NOATIME, m.STRICTATIME)


@given(st.lists(st.text(max_size=12)))
def test_any_words_are_sorted_out(options: list[str]) -> None:
    made = parse(options)
    unknown = [word for word in options if word in made.data]
    assert made.data == unknown
