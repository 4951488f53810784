"""/root, /mounts, devices, paths: one test a member."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from tests.conftest import Json, run
from tests.integration.seen import mounts
from tests.members.world import World

pytestmark = pytest.mark.needs("root", "busybox")
members = pytest.mark.members


@members("/root/path", "/root/readonly")
def test_root(world: World) -> None:
    """The directory named, by a path from the bundle; nothing in it can be written."""
    (world.rootfs / "etc" / "mark").write_text("here")
    assert world.ask("cat /etc/mark", "access /etc w") == ["here", "EROFS"]


@members("/mounts/destination", "/mounts/source", "/mounts/type", "/mounts/options")
def test_bind(world: World) -> None:
    """A directory of the host, read-only and without programs; its target is made."""
    (world.place / "data").mkdir()
    (world.place / "data" / "file").write_text("of the host")
    world.mount("/new/place", "data", "rbind", "ro", "noexec", "nosuid", "nodev")
    text, written, table = world.ask("cat /new/place/file", "access /new/place/file w", "mountinfo")
    assert (text, written) == ("of the host", "EROFS")
    assert {"ro", "noexec", "nosuid", "nodev"} <= mounts(table)["/new/place"].options


@members("/mounts/options")
def test_data_of_a_file_system(world: World) -> None:
    """What is no flag goes to the file system."""
    world.mount("/tmp", "tmpfs", "mode=1711", "size=64k", "noatime", kind="tmpfs")
    shown, table = world.ask("stat /tmp", "mountinfo")
    found = mounts(table)["/tmp"]
    assert shown.split()[1] == "1711" and "noatime" in found.options and "size=64k" in found.superblock


@members("/mounts/options")
def test_recursive_read_only(world: World) -> None:
    """``rro`` reaches the mounts below, ``ro`` does not (mount_setattr(2), AT_RECURSIVE)."""
    world.mount("/all", "/sys", "rbind", "rro")
    world.mount("/flat", "/sys", "rbind", "ro")
    table = mounts(world.ask("mountinfo")[0])
    below = {
        name: [mount for target, mount in table.items() if target.startswith(name)] for name in ("/all/", "/flat/")
    }
    assert "ro" in table["/all"].options and "ro" in table["/flat"].options
    assert below["/all/"] and all("ro" in mount.options for mount in below["/all/"])
    assert any("ro" not in mount.options for mount in below["/flat/"])


@members("/mounts/options")
def test_copy_up(world: World) -> None:
    """A tmpfs that begins with what the directory held."""
    (world.rootfs / "var").mkdir()
    (world.rootfs / "var" / "kept").write_text("as it was")
    world.mount("/var", "tmpfs", "tmpcopyup", kind="tmpfs")
    text, table = world.ask("cat /var/kept", "mountinfo")
    assert text == "as it was" and mounts(table)["/var"].fstype == "tmpfs"


@members("/mounts/options")
def test_propagation_of_a_mount(world: World) -> None:
    """``rshared`` makes a peer group."""
    (world.place / "data").mkdir()
    world.mount("/data", "data", "rbind", "rshared")
    assert "shared" in mounts(world.ask("mountinfo")[0])["/data"].propagation


@members("/mounts/uidMappings", "/mounts/gidMappings")
def test_id_mapped_mount(world: World) -> None:
    """Files of uid 1000 outside are of uid 0 inside, by the mount alone."""
    data = Path(tempfile.mkdtemp(dir=os.environ.get("MINIRUN_LAB_DISK") or world.place))  # the lab's root is an overlay
    (data / "file").write_text("x")
    for path in (data, data / "file"):
        os.chown(path, 1000, 1001)
    to_root: Json = {"uidMappings": [{"containerID": 1000, "hostID": 0, "size": 1}],
               "gidMappings": [{"containerID": 1001, "hostID": 0, "size": 1}]}  # fmt: skip
    world.mount("/data", data, "bind", "idmap", **to_root)
    assert world.ask("stat /data/file")[0].split()[2:4] == ["0", "0"]
    shutil.rmtree(data)


@members("/linux/devices/type", "/linux/devices/path", "/linux/devices/major", "/linux/devices/minor",
         "/linux/devices/fileMode", "/linux/devices/uid", "/linux/devices/gid")  # fmt: skip
def test_devices(world: World) -> None:
    """Character, block and fifo, with mode and owner."""
    world.linux["devices"] = [
        {"type": "c", "path": "/dev/one", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"type": "u", "path": "/dev/two", "major": 1, "minor": 9, "fileMode": 0o600, "uid": 0, "gid": 0},
        {"type": "b", "path": "/dev/disk", "major": 7, "minor": 9, "fileMode": 0o600, "uid": 0, "gid": 0},
        {"type": "p", "path": "/dev/pipe", "fileMode": 0o622, "uid": 1, "gid": 2},
    ]
    one, two, disk, pipe = (
        line.split()[:5] for line in world.ask(*(f"stat /dev/{n}" for n in ("one", "two", "disk", "pipe")))
    )
    assert one == ["char", "0640", "3", "4", "1:5"] and two == ["char", "0600", "0", "0", "1:9"]
    assert disk[0] == "block" and disk[4] == "7:9" and pipe[:4] == ["fifo", "0622", "1", "2"]


@members("/linux/devices")
def test_default_devices(world: World) -> None:
    """There without being asked for, with their links (config-linux.md, Default Devices)."""
    names = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
    found = [line.split() for line in world.ask(*(f"stat /dev/{name}" for name in names))]
    assert [(line[0], line[4]) for line in found] == [("char", numbers) for numbers in names.values()]
    links = world.ask(*(f"readlink /dev/{name}" for name in ("fd", "stdin", "stdout", "stderr", "ptmx")))
    assert links[:4] == ["/proc/self/fd", *(f"/proc/self/fd/{n}" for n in range(3))] and links[4].endswith("pts/ptmx")


@members("/linux/maskedPaths")
def test_masked_paths(world: World) -> None:
    """A file reads as empty, a directory has nothing in it."""
    (world.rootfs / "etc" / "secret").write_text("word")
    (world.rootfs / "etc" / "secrets").mkdir()
    (world.rootfs / "etc" / "secrets" / "one").write_text("word")
    world.linux["maskedPaths"] = ["/etc/secret", "/etc/secrets", "/etc/none"]
    assert world.ask("cat /etc/secret", "ls /etc/secrets") == ["", ""]


@members("/linux/readonlyPaths")
def test_read_only_paths(world: World) -> None:
    """In a root that can be written they cannot."""
    world.config["root"]["readonly"] = False
    world.linux["readonlyPaths"] = ["/etc", "/none"]
    assert world.ask("access /etc w", "access /tmp w") == ["EROFS", "ok"]


@pytest.mark.parametrize("word", ["private", "shared", "slave", "unbindable"])
@members("/linux/rootfsPropagation")
def test_rootfs_propagation(world: World, word: str) -> None:
    """As mountinfo shows it; a slave of whom nobody is master shows as private."""
    world.linux["rootfsPropagation"] = word
    found = mounts(world.ask("mountinfo")[0])["/"].propagation
    wanted: dict[str, set[tuple[str, ...]]] = {
        "private": {()},
        "shared": {("shared",)},
        "slave": {(), ("master",)},
        "unbindable": {("unbindable",)},
    }
    assert found in wanted[word]


@pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="this host has SELinux")
@members("/linux/mountLabel")
def test_mount_label(world: World) -> None:
    """A label where there is no SELinux is an error."""
    world.linux["mountLabel"] = "system_u:object_r:container_file_t:s0"
    world.refused("/linux/mountLabel")


@members("/linux/sysctl")
def test_sysctl(world: World) -> None:
    """Of the container's own network and ipc namespaces."""
    world.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4097"}
    assert world.ask("sysctl net.ipv4.ip_forward", "sysctl kernel.msgmax") == ["1", "4097"]


@members("/linux/netDevices")
def test_net_devices(world: World) -> None:
    """An interface of the host moves in, under another name, with its address."""
    assert run("ip", "link", "add", "mrm0", "type", "veth", "peer", "mrm1").returncode == 0
    try:
        assert run("ip", "address", "add", "192.0.2.9/24", "dev", "mrm0").returncode == 0
        world.config["ociVersion"] = "1.3.0" if "minirun" in str(world.runtime.program) else "1.0.2"
        world.linux["netDevices"] = {"mrm0": {"name": "inside0"}}
        names, table = world.ask("ls /sys/class/net", "cat /proc/net/fib_trie")
        assert "inside0" in names.split() and "192.0.2.9" in table
    finally:
        run("ip", "link", "delete", "mrm0")


def test_the_host_has_what_the_tests_take_for_granted() -> None:
    """/dev/null is what it should be: several tests above compare with it."""
    found = os.stat("/dev/null")
    assert stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3) and Path("/proc/self/mountinfo").exists()
