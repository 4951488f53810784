"""Each mount option flips what it says, seen in mountinfo; those that forbid something really forbid it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime, run
from tests.integration.seen import ask, mounts

pytestmark = pytest.mark.needs("root", "busybox")


def tmpfs(bundle: Bundle, destination: str, *options: str) -> None:
    entry: Json = {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}
    bundle.config["mounts"].append(entry)


def bind(bundle: Bundle, source: Path, destination: str, *options: str) -> None:
    bundle.config["mounts"].append(
        {"destination": destination, "type": "bind", "source": str(source), "options": list(options)}
    )


# options -> what mountinfo must show, and what it must not
SHOWN: dict[tuple[str, ...], tuple[set[str], set[str]]] = {
    (): ({"rw", "relatime"}, {"nosuid", "nodev", "noexec"}),
    ("defaults",): ({"rw", "relatime"}, {"nosuid"}),
    ("ro",): ({"ro"}, {"rw"}),
    ("ro", "rw"): ({"rw"}, {"ro"}),
    ("nosuid", "nodev", "noexec"): ({"nosuid", "nodev", "noexec"}, set()),
    ("nosuid", "suid", "nodev", "dev", "noexec", "exec"): (set(), {"nosuid", "nodev", "noexec"}),
    ("noatime",): ({"noatime"}, {"relatime"}),
    ("noatime", "atime"): ({"relatime"}, {"noatime"}),
    ("strictatime",): (set(), {"relatime", "noatime"}),
    ("strictatime", "nostrictatime"): ({"relatime"}, set()),
    ("noatime", "relatime"): ({"relatime"}, {"noatime"}),
    ("nodiratime",): ({"nodiratime", "relatime"}, set()),
    ("nodiratime", "diratime"): ({"relatime"}, {"nodiratime"}),
    ("nosymfollow",): ({"nosymfollow"}, set()),
    ("nosymfollow", "symfollow"): (set(), {"nosymfollow"}),
    ("rro", "rnosuid", "rnodev", "rnoexec"): ({"ro", "nosuid", "nodev", "noexec"}, set()),
    ("async", "silent", "loud", "nolazytime", "nomand", "noiversion"): ({"rw", "relatime"}, set()),
}


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_options_in_mountinfo(minirun: Runtime, bundle: Bundle, tmp_path: Path, kind: str) -> None:
    """All of them in one container, a mount each."""
    (tmp_path / "d").mkdir()
    for index, options in enumerate(SHOWN):
        if kind == "tmpfs":
            tmpfs(bundle, f"/home/{index}", *options)
        else:
            bind(bundle, tmp_path / "d", f"/home/{index}", "bind", *options)
    found = mounts(ask(minirun, bundle, "mountinfo")[0])
    for index, (options, (wanted, unwanted)) in enumerate(SHOWN.items()):
        shown = found[f"/home/{index}"].options
        assert wanted <= shown and not unwanted & shown, f"{options}: {sorted(shown)}"


@pytest.mark.parametrize("word", ["sync", "dirsync", "lazytime"])
def test_superblock_words(minirun: Runtime, bundle: Bundle, word: str) -> None:
    tmpfs(bundle, "/home", word)
    assert word in mounts(ask(minirun, bundle, "mountinfo")[0])["/home"].superblock


def test_what_they_forbid(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "d"
    source.mkdir()
    (source / "true").write_bytes((bundle.rootfs / "bin/busybox").read_bytes())
    (source / "true").chmod(0o755)
    (source / "link").symlink_to("true")
    subprocess.run(["mknod", source / "null", "c", "1", "3"], check=True)
    for name, option in (("ro", "ro"), ("nodev", "nodev"), ("noexec", "noexec"), ("nosymfollow", "nosymfollow")):
        bind(bundle, source, f"/home/{name}", "bind", option)
    seen = ask(
        minirun, bundle, "openrw /home/ro/null", "access /home/ro/true w", "openrw /home/nodev/null",
        "access /home/noexec/true x", "access /home/nosymfollow/link r", "access /home/ro/link x",
    )  # fmt: skip
    assert seen == ["ok", "EROFS", "EACCES", "EACCES", "ELOOP", "ok"]


PROPAGATION = {
    "private": (), "shared": ("shared",), "slave": (), "unbindable": ("unbindable",),
    "rprivate": (), "rshared": ("shared",), "rslave": (), "runbindable": ("unbindable",),
}  # fmt: skip


def test_propagation(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """Of a new file system and of a bind; an entry with nothing else changes what is there."""
    (tmp_path / "d").mkdir()
    for word in PROPAGATION:
        tmpfs(bundle, f"/home/t-{word}", word)
        bind(bundle, tmp_path / "d", f"/home/b-{word}", "bind", word)
        tmpfs(bundle, f"/home/o-{word}")
        bundle.config["mounts"].append({"destination": f"/home/o-{word}", "type": "none", "options": [word]})
    found = mounts(ask(minirun, bundle, "mountinfo")[0])
    for word, shown in PROPAGATION.items():
        kinds = [found[f"/home/{kind}-{word}"].propagation for kind in "tbo"]
        assert kinds == [shown] * 3, word


def test_a_slave_of_a_shared_source(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """Shared on the host: a slave has it as master, private has not, shared is its peer and has both."""
    source = tmp_path / "d"
    source.mkdir()
    for word in ("rslave", "rprivate", "rshared"):
        bind(bundle, source, f"/home/{word}", "rbind", word)
    bundle.args("/probe", "mountinfo")
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.write()), minirun.name()]
    script = 'mount --bind "$1" "$1"; mount --make-shared "$1"; shift; exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", str(source), *words], capture_output=True, text=True, timeout=30
    )
    found = mounts(done.stdout)
    assert found["/home/rslave"].propagation == ("master",), done.stderr
    assert found["/home/rprivate"].propagation == ()
    assert "shared" in found["/home/rshared"].propagation


def test_remount(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """Flags of what is mounted already, the superblock's data left alone; bind,remount is the same for one mount."""
    (tmp_path / "d").mkdir()
    tmpfs(bundle, "/home", "size=64k", "nosuid")
    bind(bundle, tmp_path / "d", "/tmp", "bind")
    entries: list[Json] = [
        {"destination": "/home", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "ro"]},
        {"destination": "/tmp", "type": "none", "source": "", "options": ["remount", "bind", "ro", "noexec"]},
    ]
    bundle.config["mounts"] += entries
    found = mounts(ask(minirun, bundle, "mountinfo")[0])
    assert "ro" in found["/home"].options and "size=64k" in found["/home"].superblock
    assert {"ro", "noexec"} <= found["/tmp"].options


def test_remount_changes_the_file_system(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Its own options and flags at once; what it does not know is said in the kernel's words."""
    tmpfs(bundle, "/home", "size=64k", "nr_inodes=99")
    entry: Json = {"destination": "/home", "type": "tmpfs", "options": ["remount", "size=128k", "nosuid", "lazytime"]}
    bundle.config["mounts"].append(entry)
    found = mounts(ask(minirun, bundle, "mountinfo")[0])["/home"]
    assert {"size=128k", "nr_inodes=99", "lazytime"} <= found.superblock and "nosuid" in found.options
    entry["options"] = ["remount", "size=lots"]
    done = minirun.run(bundle)
    assert done.returncode == 125 and "tmpfs: Bad value for 'size'" in done.stderr and "/mounts/8" in done.stderr
    entry["options"] = ["remount", "bind", "size=lots", "noexec"]
    done = minirun.run(bundle)
    assert done.returncode == 0 and "/mounts/8/options: size=lots means nothing to a bind mount" in done.stderr


def test_remount_of_what_is_no_mount(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["mounts"].append({"destination": "/home", "type": "none", "options": ["remount", "ro"]})
    done = minirun.run(bundle)
    assert done.returncode == 125 and "/mounts/7" in done.stderr


@pytest.mark.parametrize(("options", "below"), [(("rbind", "ro"), "rw"), (("rbind", "rro"), "ro")])
def test_recursive_options_reach_what_is_below(
    minirun: Runtime, bundle: Bundle, tmp_path: Path, options: tuple[str, ...], below: str
) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    bind(bundle, tree, "/home", *options)
    bundle.args("/probe", "mountinfo")
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.write()), minirun.name()]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", 'mount -t tmpfs none "$1"; shift; exec "$@"', "sh", str(tree / "sub"), *words],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    found = mounts(done.stdout)
    assert "ro" in found["/home"].options, done.stderr
    assert below in found["/home/sub"].options


# The recursive ones: options -> what the root of the tree shows (and what not), what a mount below does.
TREES: dict[tuple[str, ...], tuple[set[str], set[str], set[str], set[str]]] = {
    ("rro",): ({"ro"}, set(), {"ro"}, set()),
    ("rrw", "ro"): ({"ro"}, set(), {"rw"}, {"ro"}),
    ("ro", "rrw"): ({"rw"}, {"ro"}, {"rw"}, {"ro"}),
    ("rro", "rw"): ({"rw"}, {"ro"}, {"ro"}, set()),
    ("rro", "rrw"): ({"rw"}, {"ro"}, {"rw"}, {"ro"}),
    ("rnosuid", "rnodev", "rnoexec", "rnodiratime", "rnosymfollow"): (
        {"nosuid", "nodev", "noexec", "nodiratime", "nosymfollow"}, set(),
        {"nosuid", "nodev", "noexec", "nodiratime", "nosymfollow"}, set(),
    ),
    (
        "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec", "rnodiratime", "rdiratime", "rnosymfollow",
        "rsymfollow",
    ): (
        set(), {"nosuid", "nodev", "noexec", "nodiratime", "nosymfollow"},
        set(), {"nosuid", "nodev", "noexec", "nodiratime", "nosymfollow"},
    ),
    ("rnoatime",): ({"noatime"}, {"relatime"}, {"noatime"}, {"relatime"}),
    ("rnoatime", "ratime"): ({"relatime"}, {"noatime"}, {"relatime"}, {"noatime"}),
    ("rnoatime", "rrelatime"): ({"relatime"}, {"noatime"}, {"relatime"}, {"noatime"}),
    ("rrelatime", "rnorelatime"): ({"relatime"}, set(), {"relatime"}, set()),
    ("rstrictatime",): (set(), {"relatime", "noatime"}, set(), {"relatime", "noatime"}),
    ("rstrictatime", "rnostrictatime"): ({"relatime"}, set(), {"relatime"}, set()),
    ("rnoatime", "strictatime"): (set(), {"relatime", "noatime"}, {"noatime"}, set()),
    ("noatime", "rrelatime"): ({"relatime"}, {"noatime"}, {"relatime"}, {"noatime"}),
}  # fmt: skip


def test_every_recursive_option(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """A bind of a tree with a mount in it, once for each row, in one container."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for index, options in enumerate(TREES):
        bind(bundle, tree, f"/home/{index}", "rbind", *options)
    bundle.args("/probe", "mountinfo")
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.write()), minirun.name()]
    script = 'mount -t tmpfs none "$1"; shift; exec "$@"'
    done = run("unshare", "-m", "sh", "-ec", script, "sh", tree / "sub", *words)
    found = mounts(done.stdout)
    for index, (options, (wanted, unwanted, below, not_below)) in enumerate(TREES.items()):
        shown, under = found[f"/home/{index}"].options, found[f"/home/{index}/sub"].options
        assert wanted <= shown and not unwanted & shown, f"{options}: {sorted(shown)}"
        assert below <= under and not not_below & under, f"{options}, below: {sorted(under)}"


def test_recursive_options_of_a_new_file_system(minirun: Runtime, bundle: Bundle) -> None:
    """Its tree is itself; both orders of a pair hold there, too."""
    for index, options in enumerate(TREES):
        tmpfs(bundle, f"/home/{index}", *options)
    found = mounts(ask(minirun, bundle, "mountinfo")[0])
    for index, (options, (wanted, unwanted, _, _)) in enumerate(TREES.items()):
        shown = found[f"/home/{index}"].options
        assert wanted <= shown and not unwanted & shown, f"{options}: {sorted(shown)}"


def test_words_that_only_some_file_systems_know(minirun: Runtime, bundle: Bundle) -> None:
    """iversion and mand are flags of mount(2): no file system calls them an unknown option; what they undo is gone."""
    for index, options in enumerate((["iversion"], ["mand"], ["sync", "async"], ["lazytime", "nolazytime"])):
        tmpfs(bundle, f"/home/{index}", *options)
    bundle.config["mounts"].append(
        {"destination": "/home/ramfs", "type": "ramfs", "source": "none", "options": ["iversion", "nosuid", "mode=750"]}
    )
    seen = ask(minirun, bundle, "mountinfo", "stat /home/ramfs")
    found = mounts(seen[0])
    assert not {"sync", "lazytime"} & (found["/home/2"].superblock | found["/home/3"].superblock)
    assert "nosuid" in found["/home/ramfs"].options and seen[1].startswith("dir 0750")


@pytest.mark.parametrize("option", ["x-systemd.automount", "X-mount.mkdir", "rdefaults", "rsync", "no-such-word"])
def test_unknown_options_are_for_the_file_system(
    minirun: Runtime, bundle: Bundle, clean_host: None, option: str
) -> None:
    """mount(8)'s own words too, as under runc; and of a bind they are nothing, with a warning."""
    tmpfs(bundle, "/home", option)
    done = minirun.run(bundle)
    assert done.returncode == 125 and f"tmpfs: Unknown parameter '{option}'" in done.stderr
    bundle.config["mounts"][-1] = {"destination": "/home", "source": "rootfs/etc", "options": ["bind", option]}
    done = minirun.run(bundle)
    assert done.returncode == 0 and f"/mounts/7/options: {option} means nothing to a bind mount" in done.stderr


def test_id_mapping_needs_ids(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bind(bundle, tmp_path, "/home", "bind", "idmap")
    done = minirun.run(bundle)
    assert done.returncode == 125 and "/mounts/7/options/1" in done.stderr
