"""The plan of a container in a machine: what is asked for, what is refused, and what is the same as in a container."""

from __future__ import annotations

from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.plan import hardware, machine, machine_rules
from minirun.plan.container import plan as plan_container
from minirun.plan.hardware import MIB, Hardware
from minirun.plan.ops import INIT, WriteCgroup
from minirun.spec.rules import isolation_of
from tests.unit.documents import Json, asked, checked, default, put

PREFIX = "/annotations/dev.minirun.vm."


def of(document: Json) -> Hardware:
    plan = machine.plan(asked(document))
    return hardware.from_words(next(op.machine for op in plan.ops if op.KIND == "spawn"))  # type: ignore[attr-defined]


def refused(document: Json, **options: Any) -> dict[str, str]:
    with pytest.raises(MinirunError) as caught:
        machine.plan(asked(document, **options))
    error = caught.value
    return dict(error.problems) or {error.pointer or "": error.reason}


def annotated(**values: str) -> Json:
    document = default()
    document["annotations"] = {f"dev.minirun.vm.{name}": value for name, value in values.items()}
    return document


def test_a_plain_bundle_has_a_plain_machine() -> None:
    found = of(default())
    assert (found.memory, found.vcpus, found.kernel, found.cmdline) == (256 * MIB, 1, "", "")
    assert [(share.name, share.path) for share in found.shares] == [("root", "/bundle/rootfs")]


def test_limits_make_the_machine() -> None:
    """What the program may have is its own: the guest's kernel comes on top."""
    document = put(default(), "/linux/resources/memory/limit", 100 * MIB + 1)
    put(document, "/linux/resources/cpu/quota", 250000)
    found = of(document)
    assert (found.memory, found.vcpus) == (197 * MIB, 3)
    plan = machine.plan(asked(document))
    writes = {
        (op.file, op.inside): int(op.value)
        for op in plan.ops
        if isinstance(op, WriteCgroup) and op.file == "memory.max"
    }
    assert writes == {("memory.max", True): 100 * MIB + 1, ("memory.max", False): 197 * MIB + machine.OF_THE_VMM}


def test_the_section_of_config_json() -> None:
    document = default()
    document["vm"] = {
        "kernel": {"path": "vmlinux", "parameters": ["quiet", "loglevel=3"], "initrd": "/boot/initrd"},
        "hwConfig": {"vcpus": 4, "memory": 512 * MIB},
    }
    found = of(document)
    assert (found.kernel, found.initrd, found.cmdline) == ("/bundle/vmlinux", "/boot/initrd", "quiet loglevel=3")
    assert (found.vcpus, found.memory) == (4, 512 * MIB)
    document["annotations"] = {
        "dev.minirun.vm.vcpus": "2",
        "dev.minirun.vm.memory": "1g",
        "dev.minirun.vm.cmdline": "x",
    }
    found = of(document)
    assert (found.vcpus, found.memory, found.cmdline) == (2, 1024 * MIB, "quiet loglevel=3 x")


def test_interfaces_are_brought_up_with_their_addresses() -> None:
    plan = machine.plan(asked(annotated(net="tap0,address=10.0.0.2/20,gateway=10.0.0.1 tap1")))
    found = [op for op in plan.ops if op.KIND == "interface"]
    assert [op.describe() for op in found] == ["bring up lo", "bring up eth0 as 10.0.0.2", "bring up eth1"]
    assert found[1].mask == 0x00F0FFFF and found[1].gateway == 0x0100000A  # type: ignore[attr-defined]


def test_krun() -> None:
    document = default()
    document["annotations"] = {"run.oci.handler": "krun", "krun.cpus": "2", "krun.ram_mib": "300"}
    found = of(document)
    assert (found.vcpus, found.memory) == (2, 300 * MIB)


def test_words_are_the_whole_machine() -> None:
    document = annotated(
        disk="a.img /b.img,ro", net="tap0 tap1,mac=02:00:00:00:00:01", vsock="v", console="/c", balloon="true"
    )
    document["mounts"].append({"destination": "/d", "source": "/a b=c", "options": ["bind", "ro"]})
    found = of(document)
    assert hardware.from_words(found.words()) == found
    assert found.disks == ["/bundle/a.img", "/b.img,ro"]
    assert found.nets == ["tap0", "tap1,mac=02:00:00:00:00:01"]
    assert (found.shares[1].path, found.shares[1].read_only) == ("/a b=c", True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("memory", "much", "must be a number of bytes, or one as 512m, not 'much'"),
        ("memory", "1m", "a machine has from 32 MiB to 1 TiB, not 1048576 bytes"),
        ("vcpus", "0", "must be a number, at least 1, not '0'"),
        ("vcpus", "33", "a machine has from 1 to 32 CPUs, not 33"),
        ("balloon", "yes", "must be true or false, not 'yes'"),
        ("emulated", "true", "must be allow or false, not 'true'"),
        ("cmdline", "a\nb", "must be one line of at most 1024 bytes"),
        ("disk", "a b c d e", "names 5: a machine has at most 4"),
        ("net", "tap0,address=10.0.0.2", "'address=10.0.0.2' is none of mac=, address=A.B.C.D/N, gateway="),
        ("net", "tap0,mac=1", "'mac=1' is none of mac="),
        ("net", f"tap0,address=10.0.0.2/{'9' * 5000}", "'address=10.0.0.2/999"),
        ("net", f"tap0,gateway={'9' * 5000}.0.0.2", "'gateway=999"),
        ("vsock", "sockets/", "must be the path of a socket, not of a directory"),
        ("color", "red", "a machine has no 'color', only kernel, "),
    ],
)
def test_wrong_annotations(name: str, value: str, message: str) -> None:
    assert refused(annotated(**{name: value}))[f"{PREFIX}{name}"].startswith(message)


def bound(source: str, *options: str) -> Json:
    return {"/mounts/-": {"destination": "/x", "source": source, "options": ["bind", *options]}}


SDA = [{"type": "b", "path": "/dev/sda", "major": 8, "minor": 0}]
ASKING = {
    "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s",
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
}  # fmt: skip
NAMESPACES = "/linux/namespaces"
REFUSED: list[tuple[Json, str, str]] = [
    ({f"{NAMESPACES}/1/path": "/run/netns/x"}, f"{NAMESPACES}/1/path", "a machine cannot join a network"),
    ({f"{NAMESPACES}/-": {"type": "user"}}, f"{NAMESPACES}/6", "a machine has no user namespace"),
    ({f"{NAMESPACES}/1": {"type": "time"}}, NAMESPACES, "a machine cannot share the host's network"),
    ({"/linux/rootfsPropagation": "shared"}, "/linux/rootfsPropagation", "what a machine mounts"),
    (bound("/x", "rshared"), "/mounts/7/options", "what a machine mounts"),
    (bound("/x", "idmap=uids=0-1-1;gids=0-1-1"), "/mounts/7", "a machine cannot map the ids"),
    (bound("/dev/null"), "/mounts/7/source", "/dev/null is the host's own"),
    (bound("/x", "copy-symlink"), "/mounts/7/options", "links are not bound"),
    ({"/linux/devices": SDA}, "/linux/devices/0", "/dev/sda is a device of the host's"),
    ({"/hooks": {"createContainer": [{"path": "/bin/true"}]}}, "/hooks/createContainer", "a machine has none"),
    ({"/linux/intelRdt": {"closID": "x"}}, "/linux/intelRdt", "the groups of resctrl"),
    ({"/linux/netDevices": {"eth0": {}}}, "/linux/netDevices", "an interface of the host's"),
    ({"/process/selinuxLabel": "x:y:z"}, "/process/selinuxLabel", "the guest's kernel has no profiles"),
    ({"/linux/seccomp": ASKING}, "/linux/seccomp", "nobody on the host can answer"),
]


@pytest.mark.parametrize(("changes", "pointer", "message"), REFUSED, ids=[row[1] + " " + row[2] for row in REFUSED])
def test_what_no_machine_can_do_is_refused_by_name(changes: Json, pointer: str, message: str) -> None:
    document = default()
    for place, value in changes.items():
        put(document, place, value)
    assert refused(document)[pointer].startswith(message)


@pytest.mark.parametrize("name", [*machine_rules.SHARED])
def test_no_namespace_is_shared_with_the_host(name: str) -> None:
    document = default()
    document.pop("hostname", None)
    document["linux"]["namespaces"] = [each for each in document["linux"]["namespaces"] if each["type"] != name]
    assert f"cannot share the host's {name} namespace" in refused(document)["/linux/namespaces"]


@pytest.mark.parametrize("options", [{"preserve_fds": 1}, {"notify_socket": "/run/x"}])
def test_descriptors_and_sockets_of_the_host_s(options: Json) -> None:
    assert "/process" in refused(default(), **options)


def test_the_same_program_in_the_same_way() -> None:
    """From the first mount on both plans are the same, but for where the rootfs is."""
    document = default("id", "-u")
    document["process"].update(user={"uid": 1000, "gid": 1000}, cwd="/tmp")
    document["hooks"] = {"createRuntime": [{"path": "/bin/logger"}], "startContainer": [{"path": "/bin/true"}]}
    here, there = (
        [op.describe() for op in plan.ops if op.actor == INIT]
        for plan in (plan_container(asked(document)), machine.plan(asked(document)))
    )
    start = here.index("open the rootfs /bundle/rootfs")
    assert there[there.index("open the rootfs /run/share/root") + 1 :] == here[start + 1 :]


def test_who_decides_the_isolation() -> None:
    document = default()
    assert isolation_of(checked(document)) == "container"
    assert isolation_of(checked({**document, "vm": {}})) == "vm"
    assert isolation_of(checked({**document, "vm": {}}), "container") == "container"
    document["annotations"] = {"run.oci.handler": "krun"}
    assert isolation_of(checked(document)) == "vm"
    document["annotations"]["dev.minirun.isolation"] = "container"
    assert isolation_of(checked(document)) == "container"
