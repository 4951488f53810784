"""Attacks by the image: a root file system made, or changed meanwhile, by somebody who wants out.

A canary directory on the host shows whether anything was ever made, mounted or written outside the rootfs.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime

pytestmark = pytest.mark.needs("root", "busybox")

AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host: it must stay as it is."""
    cage = tmp_path / "canary"
    (cage / "sub").mkdir(parents=True)
    (cage / "file").write_text("untouched")
    before = picture(cage)
    yield cage
    assert picture(cage) == before


def picture(folder: Path) -> list[tuple[str, int, int, int, str]]:
    found = []
    for path in sorted([folder, *folder.rglob("*")]):
        stat = path.lstat()
        text = path.read_text() if path.is_file() else ""
        found.append((str(path), stat.st_mode, stat.st_uid, stat.st_mtime_ns, text))
    return found


def links(canary: Path) -> list[str]:
    """Ways to say the same place: absolute, climbing, and through /proc."""
    return [str(canary), "../" * 20 + str(canary)[1:], f"/proc/1/root{canary}", f"/proc/self/cwd/{canary}"]


def put_link(path: Path, target: str) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def without_mounts(bundle: Bundle, *destinations: str) -> None:
    bundle.config["mounts"] = [entry for entry in bundle.config["mounts"] if entry["destination"] not in destinations]


def refused_or_inside(minirun: Runtime, bundle: Bundle) -> subprocess.CompletedProcess[str]:
    done = minirun.run(bundle, timeout=20)
    assert "a case it does not know" not in done.stderr and "Traceback" not in done.stderr, done.stderr
    if done.returncode:
        assert done.returncode in (125, 126, 127) and done.stderr.startswith("minirun: cannot "), done
        assert "\n  config   /" in done.stderr, done.stderr
    return done


# -- links in the place of mount targets (CVE-2021-30465, CVE-2023-28642, CVE-2024-45310, CVE-2026-41579) -------------


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_proc_sys_and_dev_must_be_directories(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None, name: str, way: int
) -> None:
    put_link(bundle.rootfs / name, links(canary)[way])
    done = minirun.run(bundle)
    assert done.returncode == 125, done
    assert "hint" in done.stderr and "symbolic link" in done.stderr


@pytest.mark.parametrize("target", ["/tmp", "tmp", "proc", "/sys", "."])
@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_proc_sys_and_dev_must_not_be_links_inside_either(
    minirun: Runtime, bundle: Bundle, clean_host: None, name: str, target: str
) -> None:
    """A link to elsewhere in the rootfs would put the trusted file system where the image wants it."""
    put_link(bundle.rootfs / name, target)
    assert minirun.run(bundle).returncode == 125


@pytest.mark.parametrize("way", range(4))
@pytest.mark.parametrize("kind", ["tmpfs", "bind directory", "bind file", "tmpcopyup"])
def test_mount_targets_stay_inside(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None, kind: str, way: int
) -> None:
    """The component in the middle, and the last one, lead out; what is missing must be made inside."""
    put_link(bundle.rootfs / "data", links(canary)[way])
    entries: dict[str, Json] = {
        "tmpfs": {"type": "tmpfs", "source": "none"},
        "tmpcopyup": {"type": "tmpfs", "source": "none", "options": ["tmpcopyup"]},
        "bind directory": {"source": "rootfs/etc", "options": ["rbind"]},
        "bind file": {"source": "config.json", "options": ["bind"]},
    }
    entry, mounts = entries[kind], bundle.config["mounts"]
    for target in ("/data", "/data/sub", "/data/new/deep", "/data/file", "/data/../data/new2"):
        bundle.config["mounts"] = [*mounts, {"destination": target, **entry}]
        refused_or_inside(minirun, bundle)


@pytest.mark.parametrize("way", range(4))
def test_devices_directories_and_masks_stay_inside(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None, way: int
) -> None:
    put_link(bundle.rootfs / "data", links(canary)[way])
    (bundle.rootfs / "leaf").symlink_to(f"{links(canary)[way]}/file")
    linux = bundle.config["linux"]
    linux["devices"] = [{"type": "c", "path": "/data/node", "major": 1, "minor": 3, "fileMode": 0o777}]
    refused_or_inside(minirun, bundle)
    linux["devices"] = [{"type": "c", "path": "/leaf", "major": 1, "minor": 3, "fileMode": 0o777}]
    refused_or_inside(minirun, bundle)
    linux["devices"] = []
    bundle.config["process"]["cwd"] = "/data/cwd"
    refused_or_inside(minirun, bundle)
    bundle.config["process"]["cwd"] = "/"
    linux["maskedPaths"], linux["readonlyPaths"] = ["/data", "/data/file", "/leaf"], ["/data/sub", "/leaf"]
    refused_or_inside(minirun, bundle)


@pytest.mark.parametrize("way", range(4))
def test_default_devices_are_not_made_through_a_link(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None, way: int
) -> None:
    """CVE-2026-41579: no mount on /dev, and the image's /dev is a link."""
    without_mounts(bundle, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    put_link(bundle.rootfs / "dev", links(canary)[way])
    done = minirun.run(bundle)
    assert done.returncode == 125 and "config   /linux/devices in " in done.stderr, done.stderr


def test_a_node_that_is_there_gets_its_mode_without_following(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None
) -> None:
    """Nodes of the image: the right one is taken over, a link is an error, and what it names keeps its mode."""
    without_mounts(bundle, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    bundle.config["root"]["readonly"] = False
    os.mknod(bundle.rootfs / "dev" / "null", 0o020600, os.makedev(1, 3))
    assert minirun.output(bundle, "/probe", "stat", "/dev/null").startswith("char 0666 0 0 1:3")
    for name in ("zero", "full"):
        put_link(bundle.rootfs / "dev" / name, str(canary / "file"))
    done = minirun.run(bundle)
    assert done.returncode == 125 and "exists" in done.stderr


def test_copying_up_follows_nothing(minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None) -> None:
    source = bundle.rootfs / "data"
    source.mkdir()
    (source / "link").symlink_to(canary / "file")
    (source / "tree").symlink_to(canary)
    os.mkfifo(source / "fifo")
    (source / "loop").symlink_to("loop")
    bundle.config["mounts"].append({"destination": "/data", "type": "tmpfs", "options": ["tmpcopyup"]})
    out = minirun.output(bundle, "/probe", "readlink", "/data/link", "--", "ls", "/data")
    assert out.splitlines()[0] == str(canary / "file") and "fifo" in out.split()


# -- races ------------------------------------------------------------------------------------------------------------


class Swapper:
    """Exchanges two names as fast as it can, as a second container that shares the volume would."""

    def __init__(self, one: Path, other: Path) -> None:
        self.names = str(one).encode(), str(other).encode()
        self.stop = threading.Event()
        self.count = 0
        self.thread = threading.Thread(target=self.work)

    def work(self) -> None:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
        while not self.stop.is_set():
            if exchange(AT_FDCWD, self.names[0], AT_FDCWD, self.names[1], RENAME_EXCHANGE) == 0:
                self.count += 1

    def __enter__(self) -> Swapper:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize("way", [0, 1])
@pytest.mark.parametrize("entry", [{"type": "tmpfs", "source": "none"}, {"source": "config.json", "options": ["bind"]}])
def test_a_swapped_mount_target_never_leads_out(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None, entry: Json, way: int
) -> None:
    """A directory becomes a link and a directory again, while 15 containers start (60 in all)."""
    swapped, link = bundle.rootfs / "data", bundle.rootfs / "data2"
    swapped.mkdir()
    link.symlink_to(links(canary)[way])
    bundle.config["mounts"] += [{"destination": f"/data/{name}", **entry} for name in ("new", "a/b/c")]
    bundle.args("/probe", "cat", "/proc/self/mountinfo")
    with Swapper(swapped, link) as swapper:
        for _ in range(15):
            refused_or_inside(minirun, bundle)
    assert swapper.count > 50


def test_a_swapped_console_never_leads_out(minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None) -> None:
    """CVE-2025-52565: no tmpfs on /dev, and the image's /dev/console turns into a link to a file of the host's."""
    without_mounts(bundle, "/dev", "/dev/shm", "/dev/mqueue")
    (bundle.rootfs / "dev" / "pts").mkdir()
    (bundle.rootfs / "dev" / "console").write_text("")
    (bundle.rootfs / "dev" / "other").symlink_to(canary / "file")
    bundle.config["process"]["terminal"] = True
    bundle.args("/probe", "write", "/dev/console", "hello")
    with Swapper(bundle.rootfs / "dev" / "console", bundle.rootfs / "dev" / "other"):
        for _ in range(15):
            minirun.run(bundle, timeout=20)


# -- the null device, procfs (CVE-2025-31133, CVE-2025-52881, CVE-2019-19921) -----------------------------------------


@pytest.mark.parametrize("fake", ["file", "link", "other device"])
def test_masks_are_made_of_the_null_device(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None, fake: str
) -> None:
    """A directory of the bundle is bound to /dev; its "null" is something else. What masks must be char 1:3."""
    devices = bundle.path / "devices"
    devices.mkdir()
    if fake == "file":
        (devices / "null").write_text("not null")
    elif fake == "link":
        (devices / "null").symlink_to(canary / "file")
    else:
        os.mknod(devices / "null", 0o020666, os.makedev(1, 5))
    without_mounts(bundle, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    bundle.config["mounts"].append({"destination": "/dev", "source": "devices", "options": ["rbind"]})
    bundle.config["linux"]["maskedPaths"] = ["/etc/passwd", "/proc/version"]
    out = minirun.output(bundle, "/probe", "stat", "/etc/passwd", "--", "stat", "/proc/version")
    assert [line.split()[0:5:4] for line in out.splitlines()] == [["char", "1:3"]] * 2


def test_a_false_null_device_of_the_image_is_refused(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None
) -> None:
    without_mounts(bundle, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    (bundle.rootfs / "dev" / "null").symlink_to(canary / "file")
    done = minirun.run(bundle)
    assert done.returncode == 125 and "config   /linux/devices in " in done.stderr


def forwarding(pid: int) -> str:
    """The sysctl of a process's network namespace, by the host's own procfs."""
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "cat", "/proc/sys/net/ipv4/ip_forward"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("fake", ["rootfs", "bind on /proc/sys", "bind on /proc", "tmpfs on /proc"])
def test_sysctls_are_written_to_a_procfs_of_our_own(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None, fake: str
) -> None:
    tree = bundle.rootfs / "proc" if fake == "rootfs" else bundle.path / "fake"
    below = tree if fake == "bind on /proc/sys" else tree / "sys"
    (below / "net" / "ipv4").mkdir(parents=True)
    (below / "net" / "ipv4" / "ip_forward").symlink_to(canary / "file")
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.config["linux"]["maskedPaths"] = bundle.config["linux"]["readonlyPaths"] = []
    if fake == "rootfs":
        without_mounts(bundle, "/proc")
    elif fake == "tmpfs on /proc":
        bundle.config["mounts"].append({"destination": "/proc", "type": "tmpfs"})
    else:
        bundle.config["mounts"].append({"destination": fake.split()[2], "source": "fake", "options": ["rbind"]})
    name = minirun.create(bundle)
    assert forwarding(minirun.state(name)["pid"]) == "1"
    assert minirun("delete", "--force", name).returncode == 0


def test_the_hosts_null_device_is_not_handed_in(minirun: Runtime, bundle: Bundle) -> None:
    """As a standard stream it would be open inside, and root could change its mode for the whole host: fchmod(2)."""
    script = "[ /dev/null -ef /proc/self/fd/0 ] && echo own"
    done = minirun.run(bundle.args("/bin/sh", "-c", script), stdin=subprocess.DEVNULL)
    assert done.stdout == "own\n", done.stderr
    name = minirun.start(bundle.args("/bin/sleep", "100"))
    assert minirun("exec", name, "/bin/sh", "-c", script, stdin=subprocess.DEVNULL).stdout == "own\n"
