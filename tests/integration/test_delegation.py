"""A container that manages cgroups of its own: whose the files are, and what it can and cannot do with them.

config-linux.md, Cgroup ownership; cgroups(7), Cgroups delegation.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minirun.facts import find_cgroup_root
from tests.conftest import Bundle, Runtime
from tests.integration.seen import ask_in, wait_for

pytestmark = pytest.mark.needs("root", "busybox")

ROOT = Path(find_cgroup_root() or "/nonexistent")
HOST = 100000


def writable(bundle: Bundle) -> None:
    for mount in bundle.config["mounts"]:
        if mount["destination"] == "/sys/fs/cgroup":
            mount["options"].remove("ro")


def in_user_namespace(bundle: Bundle) -> None:
    rows = [{"containerID": 0, "hostID": HOST, "size": 65536}]
    for path in [bundle.rootfs, *bundle.rootfs.iterdir()]:
        if path.is_dir() and not path.is_symlink():
            os.chown(path, HOST, HOST)
    bundle.config["linux"]["namespaces"].append({"type": "user"})
    bundle.config["linux"].update(uidMappings=rows, gidMappings=rows)


def owners(name: str) -> dict[str, int]:
    """The directory (as ".") and its files."""
    directory = ROOT / "minirun" / name
    return {".": directory.stat().st_uid} | {path.name: path.stat().st_uid for path in directory.iterdir()}


def delegated() -> set[str]:
    return {".", *Path("/sys/kernel/cgroup/delegate").read_text().split()}


def test_its_user_gets_what_the_kernel_lists(minirun: Runtime, open_bundle: Bundle) -> None:
    in_user_namespace(open_bundle)
    writable(open_bundle)
    open_bundle.config["process"]["user"]["uid"] = 7
    name = minirun.start(open_bundle.args("/probe", "pause"))
    found = owners(name)
    assert {file for file, uid in found.items() if uid == HOST + 7} == delegated() & set(found)
    assert {uid for file, uid in found.items() if file not in delegated()} == {0}


def test_it_can_make_cgroups(minirun: Runtime, open_bundle: Bundle) -> None:
    """A child, and itself in it; exec follows init there; all of it is removed in the end."""
    in_user_namespace(open_bundle)
    writable(open_bundle)
    script = "mkdir /sys/fs/cgroup/inner && echo 1 > /sys/fs/cgroup/inner/cgroup.procs && exec /probe pause"
    (open_bundle.rootfs / "bin/mkdir").symlink_to("busybox")
    name = minirun.start(open_bundle.args("/bin/sh", "-c", script))
    inner = ROOT / "minirun" / name / "inner"
    wait_for(lambda: inner.exists() and (inner / "cgroup.procs").read_text())
    assert ask_in(minirun, name, "cgroup")[0].splitlines()[-1] == "0::/inner"
    minirun("delete", "--force", name)
    assert not inner.parent.exists()


@pytest.mark.parametrize("why", ["read-only", "no cgroup namespace"])
def test_else_it_stays_root_s(minirun: Runtime, open_bundle: Bundle, why: str) -> None:
    in_user_namespace(open_bundle)
    linux = open_bundle.config["linux"]
    if why != "read-only":
        linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "cgroup"]
        open_bundle.config["mounts"] = [m for m in open_bundle.config["mounts"] if m["destination"] != "/sys/fs/cgroup"]
    name = minirun.start(open_bundle.args("/probe", "pause"))
    assert set(owners(name).values()) == {0}


def test_a_user_without_a_namespace(minirun: Runtime, bundle: Bundle) -> None:
    """The specification speaks of the uid of /process/user, whoever maps it."""
    writable(bundle)
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    name = minirun.start(bundle.args("/probe", "pause"))
    found = owners(name)
    assert {file for file, uid in found.items() if uid == 1000} == delegated() & set(found)
