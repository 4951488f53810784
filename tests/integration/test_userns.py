"""A user namespace made by root: a range of the host's ids, what is owned by whom, joining one."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.seen import ask, ask_in, mark, mounts, outside, status_of, wait_for

pytestmark = pytest.mark.needs("root", "busybox")

RANGE = [{"containerID": 0, "hostID": 100000, "size": 65536}]


@pytest.fixture
def mapped(open_bundle: Bundle) -> Bundle:
    """The bundle with a user namespace; the rootfs belongs to its root, as an unpacked image's does."""
    bundle = open_bundle
    linux = bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux.update(uidMappings=RANGE, gidMappings=RANGE)
    for path in [bundle.rootfs, *bundle.rootfs.iterdir()]:
        if path.is_dir():  # the files are hard links to the master's
            os.chown(path, 100000, 100000)
    return bundle


def test_root_inside_is_nobody_outside(minirun: Runtime, mapped: Bundle, clean_host: None) -> None:
    mapped.config["root"]["readonly"] = False
    mark(mapped)
    name = minirun.start(mapped.args("/probe", "pause"))
    pid = minirun.state(name)["pid"]
    assert status_of(outside(pid, "status"))["Uid"] == "100000 100000 100000 100000"
    assert outside(pid, "uid_map").split() == outside(pid, "gid_map").split() == ["0", "100000", "65536"]
    assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
    seen = ask_in(minirun, name, "id", "write /tmp/new x", "stat /tmp/new", "caps")
    assert seen[0] == "uid=0 gid=0 groups="
    assert seen[2] == "file 0644 0 0 0:0 1"
    made = (mapped.rootfs / "tmp/new").stat()
    assert (made.st_uid, made.st_gid) == (100000, 100000)
    assert "CapEff:\t0000000020000420" in seen[3]
    minirun("delete", "--force", name)


def test_everything_of_the_default_spec_is_there(minirun: Runtime, mapped: Bundle, clean_host: None) -> None:
    seen = ask(
        minirun, mapped, "mountinfo", "stat /dev/null", "devnull-check", "openrw /dev/tty", "stat /dev/shm", "loopback",
        "stat /proc/1", "readlink /dev/fd", "stat /dev/pts/ptmx", "ns",
    )  # fmt: skip
    kinds = {mount.target: mount.fstype for mount in mounts(seen[0]).values()}
    assert {
        "/proc": "proc",
        "/sys": "sysfs",
        "/dev/pts": "devpts",
        "/sys/fs/cgroup": "cgroup2",
    }.items() <= kinds.items()
    assert seen[1].startswith("char 0666") and " 1:3 " in seen[1]
    assert seen[2:4] == ["ok", "ENXIO"]
    assert seen[4].startswith("dir 1777 0 0") and seen[5] == "up ok" and seen[6].startswith("dir 0555 0 0")
    assert seen[7] == "/proc/self/fd" and " 5:2 " in seen[8]


def test_an_ordinary_user_inside(minirun: Runtime, mapped: Bundle) -> None:
    mapped.config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5]}
    seen = ask(minirun, mapped, "id", "printenv HOME")
    assert seen == ["uid=1000 gid=1000 groups=5", "/home/guest"]


def test_limits_and_oom_score_are_set_from_outside(minirun: Runtime, mapped: Bundle) -> None:
    mapped.config["process"].update(
        oomScoreAdj=300,
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
    )
    seen = ask(minirun, mapped, "oomscore", "rlimits")
    assert seen[0] == "300"
    assert {"RLIMIT_NOFILE 64 128", "RLIMIT_CORE 0 0"} <= set(seen[1].splitlines())


def test_hostname_sysctl_and_devices_in_a_user_namespace(minirun: Runtime, mapped: Bundle) -> None:
    mapped.config.update(hostname="mapped")
    mapped.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096"}
    mapped.config["linux"]["devices"] = [{"type": "c", "path": "/dev/kmsg", "major": 1, "minor": 11}]
    seen = ask(minirun, mapped, "hostname", "sysctl net.ipv4.ip_forward", "sysctl kernel.shmmax", "stat /dev/kmsg")
    assert seen[:3] == ["mapped", "1", "4096"]
    assert " 1:11 " in seen[3]


def test_time_and_user_namespace_together(minirun: Runtime, mapped: Bundle) -> None:
    mapped.config["linux"]["namespaces"].append({"type": "time"})
    mapped.config["linux"]["timeOffsets"] = {"monotonic": {"secs": 3}}
    seen = ask(minirun, mapped, "time-offsets", "pid", "id")
    assert seen[0].split()[:3] == ["monotonic", "3", "0"]
    assert seen[1:] == ["1", "uid=0 gid=0 groups="]


def test_an_unmapped_user(minirun: Runtime, mapped: Bundle, clean_host: None) -> None:
    mapped.config["process"]["user"] = {"uid": 70000, "gid": 0}
    done = minirun.run(mapped)
    assert done.returncode == 125 and "/process/user" in done.stderr and "uidMappings" in done.stderr


def test_overlapping_mappings(minirun: Runtime, mapped: Bundle, clean_host: None) -> None:
    mapped.config["linux"]["uidMappings"] = [*RANGE, {"containerID": 5, "hostID": 300000, "size": 1}]
    done = minirun.run(mapped)
    assert done.returncode == 125 and "/linux/uidMappings" in done.stderr


def test_several_rows(minirun: Runtime, mapped: Bundle) -> None:
    rows = [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 1000, "hostID": 1000, "size": 1}]
    mapped.config["linux"].update(uidMappings=rows, gidMappings=rows)
    (text,) = ask(minirun, mapped, "cat /proc/self/uid_map")
    assert text.split() == ["0", "100000", "10", "1000", "1000", "1"]


def test_a_joined_user_namespace(minirun: Runtime, mapped: Bundle) -> None:
    """Another container's, with its network: the pod's second container."""
    first = minirun.start(mapped.args("/probe", "pause"))
    pid = minirun.state(first)["pid"]
    linux = mapped.config["linux"]
    for space in linux["namespaces"]:
        if space["type"] in ("user", "network"):
            space["path"] = f"/proc/{pid}/ns/{'net' if space['type'] == 'network' else 'user'}"
    del linux["uidMappings"], linux["gidMappings"]
    seen = ask(minirun, mapped, "ns", "id", "cat /proc/self/uid_map", "pid")
    found = dict(line.split() for line in seen[0].splitlines())
    assert f"user:[{found['user']}]" == os.readlink(f"/proc/{pid}/ns/user")
    assert f"net:[{found['net']}]" == os.readlink(f"/proc/{pid}/ns/net")
    assert seen[1:] == ["uid=0 gid=0 groups=", "         0     100000      65536", "1"]


def test_a_rootfs_that_the_mapped_root_cannot_reach(minirun: Runtime, mapped: Bundle, clean_host: None) -> None:
    """Said clearly: it is the commonest trouble with user namespaces."""
    os.chmod(mapped.path, 0o700)
    done = minirun.run(mapped)
    assert done.returncode == 125 and "chmod o+x" in done.stderr


def test_root_is_not_mapped(minirun: Runtime, mapped: Bundle) -> None:
    """Then the program's user makes everything; as root calls it, or as an ordinary user (test_rootless.py)."""
    rows = [{"containerID": 1000, "hostID": 100000, "size": 1}, {"containerID": 5, "hostID": 100001, "size": 2}]
    mapped.config["linux"].update(uidMappings=rows, gidMappings=rows)
    mapped.config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [6]}
    pts = next(mount for mount in mapped.config["mounts"] if mount["destination"] == "/dev/pts")
    pts["options"][-1] = "gid=6"
    seen = ask(minirun, mapped, "id", "stat /dev/shm", "loopback", "caps")
    assert seen[0] == "uid=1000 gid=1000 groups=6"
    assert seen[1].startswith("dir 1777 1000 1000") and seen[2] == "up ok" and "CapEff:\t0000000000000000" in seen[3]


def test_ids_of_exec_must_be_mapped(minirun: Runtime, mapped: Bundle) -> None:
    name = minirun.start(mapped.args("/probe", "pause"))
    done = minirun("exec", "-u", "70000", "-g", "65536", name, "/probe", "id")
    assert done.returncode == 125 and "uid 70000 is not mapped by /linux/uidMappings" in done.stderr, done.stderr
    assert "gid 65536 is not mapped by /linux/gidMappings" in done.stderr
    assert "/process/user/uid" in done.stderr and "/process/user/additionalGids/0" in done.stderr


def test_a_joined_namespace_that_denies_groups(minirun: Runtime, mapped: Bundle) -> None:
    """An ordinary user's, without newgidmap: whoever asks for no groups may come in, by exec too."""
    linux = mapped.config["linux"]
    mapped.config["mounts"] = [mount for mount in mapped.config["mounts"] if mount["destination"] != "/dev/pts"]
    with subprocess.Popen(["unshare", "-U", "-r", "sleep", "60"], user=100000, group=100000, extra_groups=[]) as other:
        try:
            wait_for(lambda: outside(other.pid, "gid_map") and outside(other.pid, "setgroups") == "deny\n")
            linux["namespaces"][-1]["path"] = f"/proc/{other.pid}/ns/user"
            del linux["uidMappings"], linux["gidMappings"]
            name = minirun.start(mapped.args("/probe", "pause"))
            assert minirun("exec", name, "/probe", "id").stdout == "uid=0 gid=0 groups=\n"
            done = minirun("exec", "-g", "0", name, "/probe", "id")
            assert done.returncode == 125 and "setgroups is denied" in done.stderr, done.stderr
            minirun("delete", "--force", name)
        finally:
            other.kill()


def test_without_mappings(minirun: Runtime, open_bundle: Bundle, clean_host: None) -> None:
    """Both are optional: root of the namespace is then the host's, in ids alone, and that is said."""
    open_bundle.config["linux"]["namespaces"].append({"type": "user"})
    done = minirun.run(open_bundle.args("/probe", "cat", "/proc/self/uid_map", "--", "id", "--", "sethostname", "x"))
    assert done.stdout.split()[:3] == ["0", "0", "4294967295"] and "uid=0 gid=0" in done.stdout
    assert "/linux/uidMappings: none are given" in done.stderr
    name = minirun.start(open_bundle.args("/probe", "pause"))
    assert minirun("exec", name, "/probe", "id").stdout.startswith("uid=0 gid=0")
