"""/root, the names, masked and read-only paths, sysctls, annotations, rootfsPropagation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.seen import ask, mounts, outside

pytestmark = pytest.mark.needs("root", "busybox")


def test_readonly_root(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    seen = ask(minirun, bundle, "openrw /bin/busybox", "mountinfo", "openrw /dev/null", "write /dev/shm/x y")
    assert seen[0] == "EROFS"
    assert "ro" in mounts(seen[1])["/"].options
    assert seen[2] == "ok"


def test_writable_root(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = False
    assert "rw" in mounts(ask(minirun, bundle, "write /tmp/new hello", "mountinfo")[1])["/"].options
    assert (bundle.rootfs / "tmp/new").read_text() == "hello"


def test_absolute_root_path(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["path"] = str(bundle.rootfs)
    assert ask(minirun, bundle, "pid") == ["1"]


def test_the_old_root_is_gone(minirun: Runtime, bundle: Bundle) -> None:
    """Nothing of the host's mounts is left, and chroot's classic escape leads nowhere."""
    bundle.config["process"]["capabilities"]["bounding"].append("CAP_SYS_CHROOT")
    seen = ask(minirun, bundle, "mountinfo", "ls /", "chroot-escape")
    wanted = {"/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"}
    protected = set(bundle.config["linux"]["maskedPaths"]) | set(bundle.config["linux"]["readonlyPaths"])
    assert wanted <= set(mounts(seen[0])) <= wanted | protected
    assert seen[1].splitlines() == sorted(seen[1].splitlines()) and "probe" in seen[1]
    assert seen[2].startswith("contained")


def test_names(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    before = Path("/proc/sys/kernel/hostname").read_text()
    bundle.config.update(hostname="box", domainname="example.test")
    assert ask(minirun, bundle, "hostname", "domainname") == ["box", "example.test"]
    assert Path("/proc/sys/kernel/hostname").read_text() == before


def test_masked_paths(minirun: Runtime, bundle: Bundle) -> None:
    """A file reads empty and takes nothing; a directory is empty and read-only; what is absent is no trouble."""
    (bundle.rootfs / "etc/secret").write_text("secret")
    (bundle.rootfs / "home/inner").mkdir()
    bundle.config["root"]["readonly"] = False
    bundle.config["linux"]["maskedPaths"] = ["/etc/secret", "/home", "/absent", "/etc/passwd/below", "/proc/keys"]
    seen = ask(
        minirun,
        bundle,
        "cat /etc/secret",
        "ls /home",
        "openrw /etc/secret",
        "mountinfo",
        "cat /proc/keys",
        "devnull-check",
    )
    assert (seen[0], seen[1], seen[4], seen[5]) == ("", "", "", "ok")
    found = mounts(seen[3])
    assert (found["/home"].fstype, "ro" in found["/home"].options) == ("tmpfs", True)
    assert "ro" in found["/etc/secret"].options
    assert (bundle.rootfs / "etc/secret").read_text() == "secret"


def test_masked_directories_cannot_be_written(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = False
    bundle.config["linux"]["maskedPaths"] = ["/home", "/root"]
    bundle.args("/bin/sh", "-c", "echo x > /home/x; echo x > /root/x; /bin/mount -o remount,rw /home; echo end")
    done = minirun.run(bundle)
    assert done.stdout == "end\n" and done.stderr.count("Read-only file system") == 2
    assert list((bundle.rootfs / "home").iterdir()) == []


def test_readonly_paths(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = False
    bundle.config["linux"]["readonlyPaths"] = ["/etc", "/bin/busybox", "/absent", "/proc/sys"]
    names = ("/etc/group", "/bin/busybox", "/proc/sys/kernel/domainname")
    assert ask(minirun, bundle, *(f"openrw {name}" for name in names)) == ["EROFS"] * 3


def test_a_path_both_readonly_and_masked_is_masked(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["linux"].update(maskedPaths=["/etc"], readonlyPaths=["/etc"])
    assert ask(minirun, bundle, "ls /etc") == [""]


def test_sysctls(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    wanted = {
        "net.ipv4.ip_forward": "1" if before.strip() == "0" else "0",
        "net/ipv4/conf/lo/rp_filter": "2",
        "kernel.shmmax": "123456",
        "kernel.msgmax": "4096",
        "fs.mqueue.msg_max": "7",
    }
    bundle.config["linux"]["sysctl"] = wanted
    names = [name.replace("/", ".") for name in wanted]
    assert ask(minirun, bundle, *(f"sysctl {name}" for name in names)) == list(wanted.values())
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_a_sysctl_of_the_host_is_refused(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["linux"]["sysctl"] = {"vm.swappiness": "1"}
    done = minirun.run(bundle)
    assert done.returncode == 125 and "/linux/sysctl/vm.swappiness" in done.stderr


def test_annotations_are_in_the_state(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.example": "yes", "empty": "", "ü": "ö"}
    name = minirun.create(bundle)
    assert minirun.state(name)["annotations"] == bundle.config["annotations"]


PROPAGATION = {
    "private": (), "rprivate": (), "slave": ("master",), "rslave": ("master",), "shared": ("shared",),
    "rshared": ("shared",), "unbindable": ("unbindable",), "runbindable": ("unbindable",),
}  # fmt: skip


@pytest.mark.parametrize("word", PROPAGATION)
def test_rootfs_propagation(minirun: Runtime, bundle: Bundle, clean_host: None, word: str) -> None:
    """As mountinfo shows it; r... speaks of everything below as well; nothing ever reaches the host."""
    bundle.config["linux"]["rootfsPropagation"] = word
    found = mounts(ask(minirun, bundle, "mountinfo")[0])
    root = found["/"].propagation
    if "slave" in word:  # of a private host mount there is no master: private is all it can be
        assert root in (("master",), ())
    elif "shared" in word:
        assert "shared" in root
    else:
        assert root == PROPAGATION[word]
    if word == "rshared":
        assert "shared" in found["/dev/pts"].propagation
    if word == "runbindable":
        assert found["/dev/pts"].propagation == ("unbindable",)


def test_mounts_of_a_shared_rootfs_stay_inside(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["linux"]["rootfsPropagation"] = "rshared"
    bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), ["CAP_SYS_ADMIN"])
    seen = ask(minirun, bundle, "mount none /tmp tmpfs 0", "mountinfo")
    assert mounts(seen[1])["/tmp"].fstype == "tmpfs"


def test_the_host_sees_the_container_root_only_through_proc(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.start(bundle.args("/probe", "pause"))
    pid = minirun.state(name)["pid"]
    assert str(bundle.rootfs) not in Path("/proc/self/mountinfo").read_text()
    assert mounts(outside(pid, "mountinfo"))["/"].root.endswith("/rootfs")
