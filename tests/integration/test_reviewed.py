"""What a review found, each held by a test: shared rootfs mounts, nulls, damaged state, stdio, pid files, hooks."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.cgroups import tree
from minirun.facts import find_cgroup_root
from tests.conftest import MINIRUN, Bundle, Runtime, run
from tests.integration.seen import ask, mounts

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture
def shared_rootfs(bundle: Bundle) -> Iterator[Bundle]:
    """The rootfs is a shared mount of its own, as containerd's overlays can be."""
    assert run("mount", "--bind", bundle.rootfs, bundle.rootfs).returncode == 0
    assert run("mount", "--make-shared", bundle.rootfs).returncode == 0
    yield bundle
    run("umount", "-l", bundle.rootfs)


@pytest.mark.parametrize("word", ["rshared", "shared"])
def test_shared_rootfs_keeps_our_mounts_to_itself(minirun: Runtime, shared_rootfs: Bundle, word: str) -> None:
    shared_rootfs.config["linux"]["rootfsPropagation"] = word
    before = Path("/proc/self/mountinfo").read_text()
    name = minirun.start(shared_rootfs.args("/probe", "pause"))
    assert Path("/proc/self/mountinfo").read_text() == before
    minirun("delete", "--force", name)
    assert Path("/proc/self/mountinfo").read_text() == before


def test_shared_rootfs_through_a_link(minirun: Runtime, shared_rootfs: Bundle) -> None:
    (shared_rootfs.path / "link").symlink_to("rootfs")
    shared_rootfs.config["root"]["path"] = "link"
    shared_rootfs.config["linux"]["rootfsPropagation"] = "rshared"
    before = Path("/proc/self/mountinfo").read_text()
    assert minirun.output(shared_rootfs, "/probe", "pid") == "1\n"
    assert Path("/proc/self/mountinfo").read_text() == before


def test_slave_rootfs_receives(minirun: Runtime, shared_rootfs: Bundle) -> None:
    shared_rootfs.config["linux"]["rootfsPropagation"] = "rslave"
    root = mounts(ask(minirun, shared_rootfs, "mountinfo")[0])["/"]
    assert "master" in root.propagation


def test_container_cannot_disown_its_cgroup(minirun: Runtime, bundle: Bundle) -> None:
    """A claim that root inside could rewrite would make delete let its processes live."""
    name = minirun.start(bundle.args("/probe", "pause"))
    directory = f"{find_cgroup_root()}/minirun/{name}"
    assert os.getxattr(directory, "trusted.minirun").decode() == str(minirun.root / name)
    os.setxattr(directory, "user.minirun", b"/somebody/else")
    assert tree.owner(directory) == str(minirun.root / name)
    assert minirun("delete", "--force", name).returncode == 0
    assert not Path(directory).exists()


def test_null_counts_as_absent_to_the_end(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["hooks"] = None
    bundle.config["process"]["rlimits"] = None
    name = minirun.start(bundle.args("/probe", "pause"))
    assert minirun("exec", name, "/probe", "pid").returncode == 0
    assert minirun("delete", "--force", name).returncode == 0


@pytest.mark.parametrize("damage", ["config.json", "state.json"])
def test_damaged_state_can_be_deleted(minirun: Runtime, bundle: Bundle, clean_host: None, damage: str) -> None:
    name = minirun.start(bundle.args("/bin/true"))
    path = minirun.root / name / damage
    path.unlink() if damage == "config.json" else path.write_text("{")
    assert name in minirun("list", "-q").stdout
    assert minirun("delete", "--force", name).returncode == 0
    assert not path.parent.exists()


def test_no_pivot_leaves_no_kernel_view(minirun: Runtime, bundle: Bundle) -> None:
    """An unmasked /proc below the new root would let a user namespace inside mount one of its own."""
    bundle.config["process"] |= {"user": {"uid": 1000, "gid": 1000}, "noNewPrivileges": False}
    bundle.config["root"]["readonly"] = False
    (bundle.rootfs / "bin" / "unshare").symlink_to("busybox")
    bundle.args("/bin/unshare", "-U", "-r", "-p", "-f", "-m", "/bin/busybox", "mount", "-t", "proc", "proc", "/tmp")
    for flags in ((), ("--no-pivot",)):
        done = minirun.run(bundle, *flags)
        assert done.returncode != 0 and "denied" in done.stderr, (flags, done)


def test_tmpfs_takes_the_mode_it_covers(minirun: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "private").mkdir(mode=0o700)
    bundle.config["mounts"].append({"destination": "/private", "type": "tmpfs", "options": ["nosuid"]})
    assert ask(minirun, bundle, "stat /private")[0].split()[1] == "0700"


def test_read_only_tmpfs_is_filled_first(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"][1]["options"].append("ro")
    bundle.config["mounts"] += [
        {"destination": "/run", "type": "tmpfs", "options": ["ro"]},
        {"destination": "/run/below", "type": "tmpfs"},
    ]
    seen = mounts(ask(minirun, bundle, "mountinfo")[0])
    assert "ro" in seen["/dev"].options and "ro" in seen["/run"].options and "rw" in seen["/run/below"].options


def test_files_on_stdio_keep_their_group(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    path = bundle.path / "out"
    with open(path, "wb") as out:
        os.fchown(out.fileno(), 0, 5)
        words = [
            str(word)
            for word in (
                MINIRUN,
                "--root",
                minirun.root,
                "run",
                "-b",
                bundle.args("/probe", "pid").write(),
                minirun.name(),
            )
        ]
        assert subprocess.run(words, stdout=out, stdin=subprocess.DEVNULL, timeout=60).returncode == 0
    assert (path.stat().st_uid, path.stat().st_gid) == (1000, 5)


def test_pid_file_follows_no_link(minirun: Runtime, bundle: Bundle) -> None:
    victim = bundle.path / "victim"
    victim.write_text("precious")
    (bundle.path / ".pid").symlink_to(victim)
    minirun.create(bundle.args("/probe", "pause"), "--pid-file", str(bundle.path / "pid"))
    assert victim.read_text() == "precious"
    assert (bundle.path / "pid").read_text().isdigit() and not (bundle.path / "pid").is_symlink()


def test_hooks_run_in_the_bundle(minirun: Runtime, bundle: Bundle) -> None:
    """But for createContainer: it runs in the rootfs, as under runc."""

    def hook(name: str) -> list[dict[str, object]]:
        return [{"path": "/bin/sh", "args": ["sh", "-c", f"pwd > {bundle.path}/{name}"]}]

    names = ("createRuntime", "createContainer", "poststart", "poststop")
    bundle.config["hooks"] = {name: hook(name) for name in names}
    done = minirun.run(bundle.args("/probe", "pid"), cwd="/")
    assert done.returncode == 0, done.stderr
    seen = {name: (bundle.path / name).read_text().strip() for name in names}
    assert seen == {**dict.fromkeys(names, str(bundle.path)), "createContainer": str(bundle.rootfs)}


def test_process_document_without_capabilities_has_the_containers(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.start(bundle.args("/probe", "pause"))
    document = bundle.path / "process.json"
    document.write_text(json.dumps({"args": ["/probe", "caps"], "cwd": "/"}))
    inside = minirun("exec", "--process", document, name).stdout
    assert inside == minirun("exec", name, "/probe", "caps").stdout and "CapEff:\t0000000020000420" in inside


def test_bind_says_what_it_ignores(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"].append(
        {"destination": "/mnt", "source": "rootfs/etc", "options": ["bind", "Ro", "mode=700"]}
    )
    done = minirun.run(bundle)
    assert done.returncode == 0 and "warning: /mounts/7/options: Ro,mode=700" in done.stderr
