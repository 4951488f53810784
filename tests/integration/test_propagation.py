"""Mounts that propagate: between the host and a volume, by the words of the volume and of the rootfs.

The host is a mount namespace of the test's own with a shared mount in it; the container mounts something below the
volume, the host does as well, and each looks for the other's.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime, run
from tests.integration.seen import ask, mounts

pytestmark = pytest.mark.needs("root", "busybox")

# What the host does: $1 is the volume, the rest starts the container.
HOST = """
volume=$1; shift
mount -t tmpfs none "$volume"; mount --make-shared "$volume"; mkdir "$volume/up" "$volume/down"
"$@" > "$volume.out" 2>&1 & container=$!
for i in $(seq 500); do [ -e "$volume/ready" ] && break; kill -0 $container || exit 1; sleep 0.02; done
[ -e "$volume/up/inside" ] && echo up || echo -
mount -t tmpfs none "$volume/down"; touch "$volume/down/outside" "$volume/go"
wait $container; cat "$volume.out"
"""
INSIDE = """
/bin/mount -t tmpfs none /home/up; echo > /home/up/inside; echo > /home/ready
while [ ! -e /home/go ]; do /bin/sleep 0.02; done
[ -e /home/down/outside ] && echo down || echo -
"""

# rootfsPropagation, the volume's option -> does the container's mount appear outside, does the host's appear inside?
EXPECTED = {
    ("rshared", "rshared"): "up down", ("shared", "rshared"): "up down", ("rshared", "rslave"): "- down",
    ("rshared", "rprivate"): "- -", ("rslave", "rshared"): "- down", ("", "rslave"): "- down", ("", ""): "- down",
    ("", "rprivate"): "- -", ("slave", "private"): "- -", ("rprivate", "rshared"): "- -", ("private", "rslave"): "- -",
    ("", "runbindable"): "- -", ("unbindable", "rslave"): "- -",
}  # fmt: skip


@pytest.mark.parametrize("mapping", [False, True], ids=["plain", "idmap"])
@pytest.mark.parametrize(("rootfs", "volume"), EXPECTED)
def test_who_sees_whose(
    minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None, rootfs: str, volume: str, mapping: bool
) -> None:
    """Both ways (Kubernetes' Bidirectional), down (HostToContainer), not at all (None); the same if ids are mapped."""
    source = tmp_path / "volume"
    source.mkdir()
    rows = [{"containerID": 0, "hostID": 0, "size": 65536}]
    maps = {"uidMappings": rows, "gidMappings": rows} if mapping else {}
    bundle.config["mounts"].append(
        {"destination": "/home", "source": str(source), "options": ["rbind", *filter(None, [volume])], **maps}
    )
    if rootfs:
        bundle.config["linux"]["rootfsPropagation"] = rootfs
    rights = dict.fromkeys(("bounding", "effective", "permitted"), ["CAP_SYS_ADMIN"])
    bundle.config["process"]["capabilities"] = rights
    bundle.args("/bin/sh", "-c", INSIDE)
    words = (minirun.program, "--root", minirun.root, "run", "-b", bundle.write(), minirun.name())
    done = run("unshare", "-m", "sh", "-ec", HOST, "sh", source, *words)
    assert done.stdout.split() == EXPECTED[rootfs, volume].split(), done


@pytest.mark.parametrize("rootfs", ["shared", "rshared", "slave", "private", "unbindable", "runbindable"])
def test_the_rootfs_on_a_shared_mount(minirun: Runtime, bundle: Bundle, clean_host: None, rootfs: str) -> None:
    """Whatever its word, none of the container's own mounts appears where the rootfs lies."""
    bundle.config["linux"]["rootfsPropagation"] = rootfs
    bundle.config["mounts"].append({"destination": "/home", "type": "tmpfs", "source": "own"})
    words = (minirun.program, "--root", minirun.root, "run", "-b", bundle.write(), minirun.name())
    script = 'mount --bind "$1" "$1"; mount --make-shared "$1"; shift; "$@"; cat /proc/self/mountinfo'
    done = run("unshare", "-m", "sh", "-ec", script, "sh", bundle.rootfs, *words)
    assert done.returncode == 0, done.stderr
    assert [target for target in mounts(done.stdout.partition("\n")[2]) if target.startswith(f"{bundle.rootfs}/")] == []


# -- masked and read-only paths ---------------------------------------------------------------------------------------


def test_masked_and_readonly_paths_through_links(
    minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None
) -> None:
    """A link is followed inside: what it leads to is masked, under every name; what is dangling is not there."""
    (tmp_path / "outside").write_text("the host's")
    root = bundle.rootfs
    (root / "home/secret").mkdir()
    (root / "home/secret/f").write_text("secret")
    (root / "home/file").write_text("secret")
    for name, target in (
        ("to-directory", "/home/secret"), ("to-file", "../home/file"), ("dangling", "/nowhere"),
        ("out", str(tmp_path / "outside")), ("etc-link", "/etc"),
    ):  # fmt: skip
        (root / name).symlink_to(target)
    linux = bundle.config["linux"]
    linux["maskedPaths"] = ["/to-directory", "/to-file", "/dangling", "/out", "/missing/x", "/etc/passwd/below"]
    linux["readonlyPaths"] = ["/etc-link", "/dangling", "/missing"]
    bundle.config["root"]["readonly"] = False
    seen = ask(
        minirun, bundle, "ls /home/secret", "cat /home/file", "openrw /etc/group", "mountinfo", "readlink /to-file"
    )  # fmt: skip
    assert seen[:3] == ["", "", "EROFS"] and seen[4] == "../home/file"
    found = mounts(seen[3])
    assert {"/home/secret", "/home/file", "/etc"} <= set(found)
    assert (tmp_path / "outside").read_text() == "the host's"


def test_a_path_in_a_circle_is_an_error(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Not skipped: whether it is there cannot be said."""
    (bundle.rootfs / "circle").symlink_to("circle")
    for member in ("maskedPaths", "readonlyPaths"):
        bundle.config["linux"].update(maskedPaths=[], readonlyPaths=[])
        bundle.config["linux"][member] = ["/circle"]
        done = minirun.run(bundle)
        assert done.returncode == 125 and f"/linux/{member}/0" in done.stderr and "-> ELOOP" in done.stderr


def test_a_mask_over_a_mount_and_below_one(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """A volume's own secrets, and the volume itself; the host's files stay as they are."""
    source = tmp_path / "volume"
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_text("secret")
    (source / "s").write_text("secret")
    os.chmod(source / "s", 0o666)
    bundle.config["mounts"] += [
        {"destination": "/home", "source": str(source), "options": ["rbind"]},
        {"destination": "/tmp", "source": str(source), "options": ["rbind"]},
    ]
    bundle.config["linux"]["maskedPaths"] = ["/home/d", "/home/s", "/tmp"]
    assert ask(minirun, bundle, "ls /home/d", "append /home/s x", "cat /home/s", "ls /tmp") == [""] * 4
    assert (source / "s").read_text() == "secret" and (source / "d/f").exists()
