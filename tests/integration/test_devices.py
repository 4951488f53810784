"""/linux/devices and the device filter: nodes, links, and what may really be opened."""

from __future__ import annotations

import os
import stat

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import ask, ask_in, mark

pytestmark = pytest.mark.needs("root", "busybox")

DEFAULT = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}


def rule(allow: bool, access: str = "rwm", kind: str = "", major: int | None = None, minor: int | None = None) -> Json:
    row: Json = {"allow": allow, "access": access}
    row |= {"type": kind} if kind else {}
    row |= {"major": major} if major is not None else {}
    row |= {"minor": minor} if minor is not None else {}
    return row


@pytest.fixture
def maker(bundle: Bundle) -> Bundle:
    """A container that may call mknod(2) and open /dev/kmsg (char 1:11), on a /dev/shm that takes devices."""
    bundle.config["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted"), ["CAP_MKNOD", "CAP_SYSLOG"]
    )
    for mount in bundle.config["mounts"]:
        if mount["destination"] == "/dev/shm":
            mount["options"].remove("nodev")
    return bundle


def tried(minirun: Runtime, bundle: Bundle, *nodes: str) -> dict[str, str]:
    """Make each node ("b 7:0") and open it for reading and writing."""
    asked = []
    for index, node in enumerate(nodes):
        kind, _, numbers = node.partition(" ")
        asked += [f"mknod /dev/shm/{index} {kind} {numbers.replace(':', ' ')}", f"openrw /dev/shm/{index}"]
    return dict(zip(nodes, ask(minirun, bundle, *asked)[1::2], strict=True))


def test_default_devices_and_links(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    asked = [f"stat /dev/{name}" for name in DEFAULT]
    links = {"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1",
             "/dev/stderr": "/proc/self/fd/2", "/dev/ptmx": "pts/ptmx"}  # fmt: skip
    seen = ask(minirun, bundle, *asked, *(f"readlink {name}" for name in links), "ls /dev", "stat /dev/pts/ptmx")
    assert seen[:6] == [f"char 0666 0 0 {numbers} 0" for numbers in DEFAULT.values()]
    assert seen[6:11] == list(links.values())
    names = {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
             "urandom", "zero"}  # fmt: skip
    assert set(seen[11].split()) | {"core"} == names
    assert seen[12].startswith("char 0666 0 0 5:2")


def test_listed_nodes(minirun: Runtime, bundle: Bundle) -> None:
    """With type, numbers, mode and owner; in directories that are made; outside /dev as well; instead of a default."""
    bundle.config["linux"]["devices"] = [
        {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 5, "gid": 6},
        {"type": "b", "path": "/dev/deep/loop0", "major": 7, "minor": 0, "fileMode": 0o640},
        {"type": "p", "path": "/dev/pipe", "fileMode": 0o622},
        {"type": "u", "path": "/dev/unbuffered", "major": 1, "minor": 11},
        {"type": "c", "path": "/srv/big", "major": 10, "minor": 0xFFFFF},
        {"type": "c", "path": "/dev/full", "major": 1, "minor": 7, "fileMode": 0o444},
    ]
    paths = [device["path"] for device in bundle.config["linux"]["devices"]]
    assert ask(minirun, bundle, *(f"stat {path}" for path in paths)) == [
        "char 0600 5 6 10:229 0", "block 0640 0 0 7:0 0", "fifo 0622 0 0 0:0 0", "char 0666 0 0 1:11 0",
        "char 0666 0 0 10:1048575 0", "char 0444 0 0 1:7 0",
    ]  # fmt: skip


def test_something_else_is_there(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """An error (config-linux.md, Devices); the same node is fine."""
    (bundle.rootfs / "srv").mkdir()
    (bundle.rootfs / "srv/x").write_text("")
    bundle.config["linux"]["devices"] = [{"type": "c", "path": "/srv/x", "major": 1, "minor": 3}]
    done = minirun.run(bundle)
    assert done.returncode == 125 and "/linux/devices/0" in done.stderr
    (bundle.rootfs / "srv/x").unlink()
    assert minirun.run(bundle).returncode == 0
    assert minirun.run(bundle).returncode == 0, "the node that the first run made is as it should be"


@pytest.mark.parametrize(
    ("there", "device"),
    [
        ("file", {"type": "p", "path": "/srv/x"}),
        ("fifo", {"type": "b", "path": "/srv/x", "major": 7, "minor": 0}),
        ("null", {"type": "c", "path": "/srv/x", "major": 1, "minor": 5}),
        ("null", {"type": "b", "path": "/srv/x", "major": 1, "minor": 3}),
        ("directory", {"type": "p", "path": "/srv/x"}),
    ],
)
def test_another_kind_or_another_number_is_there(minirun: Runtime, bundle: Bundle, there: str, device: Json) -> None:
    place = bundle.rootfs / "srv/x"
    place.parent.mkdir()
    if there == "null":
        os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    else:
        {"file": place.touch, "fifo": lambda: os.mkfifo(place), "directory": place.mkdir}[there]()
    bundle.config["linux"]["devices"] = [device]
    done = minirun.run(bundle)
    assert done.returncode == 125 and "File exists" in done.stderr and "  config   /linux/devices/0 in " in done.stderr


def test_in_a_user_namespace(minirun: Runtime, open_bundle: Bundle) -> None:
    """The host's nodes are bound, as they are; a fifo is made."""
    linux = open_bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    linux["devices"] = [
        {"type": "p", "path": "/dev/pipe", "fileMode": 0o622, "uid": 5, "gid": 6},
        {"type": "u", "path": "/dev/zero", "major": 1, "minor": 5},
        {"type": "c", "path": "/dev/full", "major": 1, "minor": 7, "fileMode": 0o600},
    ]
    asked = [f"stat {device['path']}" for device in linux["devices"]]
    assert ask(minirun, open_bundle, *asked) == [
        "fifo 0622 5 6 0:0 0", "char 0666 0 0 1:5 0", "char 0666 0 0 1:7 0",
    ]  # fmt: skip


def test_the_filter_denies_what_is_not_listed(minirun: Runtime, maker: Bundle) -> None:
    seen = tried(minirun, maker, "b 7:0", "c 1:1", "c 1:11", "c 10:229", "c 1:3", "c 1:5", "c 1:8")
    assert seen == {
        "b 7:0": "EPERM", "c 1:1": "EPERM", "c 1:11": "EPERM", "c 10:229": "EPERM",
        "c 1:3": "ok", "c 1:5": "ok", "c 1:8": "ok",
    }  # fmt: skip


def test_a_listed_device_is_there_and_the_rules_decide(minirun: Runtime, maker: Bundle) -> None:
    """As under runc and crun: to be listed is no permission."""
    maker.config["linux"]["devices"] = [{"type": "c", "path": "/dev/mem2", "major": 1, "minor": 11}]
    assert ask(minirun, maker, "openrw /dev/mem2") == ["EPERM"]
    maker.config["linux"]["resources"]["devices"].append(rule(True, "rw", "c", 1, 11))
    assert ask(minirun, maker, "openrw /dev/mem2") == ["ok"]


def test_rules_in_order(minirun: Runtime, maker: Bundle) -> None:
    """A later rule overrides an earlier one, for the numbers and accesses it speaks of."""
    maker.config["linux"]["resources"]["devices"] = [
        rule(False), rule(True, "rwm", "c", 1), rule(False, "rw", "c", 1, 11), rule(True, "r", "c", 10, 229),
        rule(True, "rwm", "b", 7, -1), rule(False, "w", "b", 7, 3),
    ]  # fmt: skip
    asked = ["mknod /dev/shm/a c 1 11", "openrw /dev/shm/a", "mknod /dev/shm/b c 10 229", "openrw /dev/shm/b",
             "mknod /dev/shm/c b 7 3", "openrw /dev/shm/c"]  # fmt: skip
    assert ask(minirun, maker, *asked)[1::2] == ["EPERM", "EPERM", "EPERM"]
    maker.config["linux"]["resources"]["devices"] = [
        rule(False),
        rule(False, "rw", "c", 1, 11),
        rule(True, "rwm", "c", 1),
    ]
    assert tried(minirun, maker, "c 1:11") == {"c 1:11": "ok"}


def test_reading_alone_may_be_allowed(minirun: Runtime, maker: Bundle) -> None:
    maker.config["linux"]["resources"]["devices"] = [rule(False), rule(True, "r", "c", 1, 11)]
    script = (
        "/probe mknod /dev/shm/k c 1 11; (exec 3</dev/shm/k) && echo read; (exec 4>/dev/shm/k) && echo written; true"
    )
    done = minirun.run(maker.args("/bin/sh", "-c", script))
    assert done.stdout == "read\n" and "not permitted" in done.stderr


def test_everything_allowed(minirun: Runtime, maker: Bundle) -> None:
    """As a privileged container has it."""
    maker.config["linux"]["resources"]["devices"] = [rule(True)]
    assert tried(minirun, maker, "c 1:11", "c 1:3") == {"c 1:11": "ok", "c 1:3": "ok"}


def test_without_resources_the_filter_is_there_all_the_same(minirun: Runtime, maker: Bundle) -> None:
    del maker.config["linux"]["resources"]
    assert tried(minirun, maker, "c 1:11", "c 1:3") == {"c 1:11": "EPERM", "c 1:3": "ok"}


def test_exec_is_under_the_filter_too(minirun: Runtime, maker: Bundle) -> None:
    mark(maker)
    name = minirun.start(maker.args("/probe", "pause"))
    seen = ask_in(minirun, name, "mknod /dev/shm/x c 1 11", "openrw /dev/shm/x", "openrw /dev/null")
    assert seen[1:] == ["EPERM", "ok"]
