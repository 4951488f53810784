"""Lists of CPUs, and the plans of what few configurations have: who does it, when, and what a host must have."""

from __future__ import annotations

from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.plan.exec import ExecAsked, plan as plan_exec
from minirun.plan.ops import HOST, INIT
from minirun.plan.resctrl import own
from minirun.spec import rare
from minirun.spec.check import rare_rules
from tests.unit.documents import ROOT, USER, Json, checked, default, host, planned, put

USERNS = {"type": "user"}
ROWS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
LABEL = "system_u:object_r:container_file_t:s0:c1,c2"


@pytest.mark.parametrize(
    ("text", "found"), [("", []), ("0", [0]), ("0-3,7", [0, 1, 2, 3, 7]), (" 2 ,1,, 1-1", [1, 2]), ("8191", [8191])]
)
def test_lists(text: str, found: list[int]) -> None:
    assert rare.numbers(text, rare.MOST_CPUS) == found


@pytest.mark.parametrize("text", ["x", "1-", "-1", "1-2-3", "0x1", "1.5", "٣", "3-1", "8192", "9" * 40, "1 2"])
def test_no_lists(text: str) -> None:
    with pytest.raises(ValueError):
        rare.numbers(text, rare.MOST_CPUS)


def test_the_rules_are_fetched_by_need() -> None:
    assert rare_rules(default()) == ()
    assert rare_rules(put(default(), "/linux/netDevices", {"eth0": {}})) == rare.ALL


def mapped(document: Json) -> Json:
    document["linux"]["namespaces"].append(USERNS)
    document["linux"]["uidMappings"] = document["linux"]["gidMappings"] = ROWS
    return document


def kinds(document: Json, **facts: Any) -> list[tuple[str, str]]:
    return [(op.KIND, op.actor) for op in planned(document, host(**facts)).ops]


def test_priorities_are_set_by_whoever_may() -> None:
    """After the pivot and its hooks, before the user is another."""
    for made, actor in ((default(), INIT), (mapped(default()), HOST)):
        found = kinds(put(made, "/process/scheduler", {"policy": "SCHED_FIFO", "priority": 1}))
        at = found.index(("tune", actor))
        assert found.index(("pivot", INIT)) < at < found.index(("bounding", INIT))


def test_a_pinned_runtime_sets_its_container_free() -> None:
    assert ("tune", INIT) not in kinds(default())
    assert ("tune", INIT) in kinds(default(), pinned=True)


def test_the_container_s_init_knows_nothing_of_exec_s_cpus() -> None:
    assert ("tune", INIT) not in kinds(put(default(), "/process/execCPUAffinity", {"initial": "0", "final": "1"}))


def refused(document: Json, facts: Any = ROOT) -> dict[str, str]:
    with pytest.raises(MinirunError) as caught:
        planned(document, facts)
    return dict(caught.value.problems or [(caught.value.pointer or "", caught.value.reason)])


def test_what_the_host_must_have() -> None:
    document = default()
    document["process"].update(apparmorProfile="x", selinuxLabel=LABEL)
    document["linux"].update(mountLabel=LABEL, intelRdt={})
    assert refused(document) == {
        "/process/apparmorProfile": "AppArmor is not in force on this host",
        "/process/selinuxLabel": "SELinux is not in force on this host",
        "/linux/mountLabel": "SELinux is not in force on this host",
        "/linux/intelRdt": "no resctrl file system is mounted on this host",
    }


@pytest.mark.parametrize("profile", ["", "unconfined"])
def test_without_apparmor_everybody_is_unconfined(profile: str) -> None:
    assert ("write_proc", INIT) not in kinds(put(default(), "/process/apparmorProfile", profile))


def test_labels_of_mounts() -> None:
    """Those that label themselves are left alone."""
    made = planned(put(default(), "/linux/mountLabel", LABEL), host(selinux=True))
    labelled = {op.target: f'context="{LABEL}"' in op.data for op in made.ops if op.KIND == "mount"}  # type: ignore[attr-defined]
    assert labelled == {
        "/proc": False, "/dev": True, "/dev/pts": True, "/dev/shm": True, "/dev/mqueue": False, "/sys": False,
        "/sys/fs/cgroup": False,
    }  # fmt: skip


def test_interfaces_are_root_s_to_give() -> None:
    document = put(mapped(default()), "/linux/netDevices", {"eth0": {}})
    document["linux"]["uidMappings"] = document["linux"]["gidMappings"] = [
        {"containerID": 0, "hostID": 1000, "size": 1}
    ]
    assert refused(document, USER)["/linux/netDevices"].startswith("only root can give")


@pytest.mark.parametrize(
    ("given", "groups"),
    [
        ({}, [("/web", [], False)]),
        ({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=9", "schemata": ["L2:0=1"]},
         [("/web", ["L3:0=f", "MB:0=9", "L2:0=1"], False)]),
        ({"closID": "gold"}, [("/gold", [], True)]),
        ({"closID": "gold", "schemata": ["L3:0=f"]}, [("/gold", ["L3:0=f"], False)]),
        ({"closID": "/", "enableMonitoring": True}, [("/", [], True), ("/mon_groups/web", [], False)]),
        ({"closID": "/", "schemata": ["L3:0=f"]}, [("/", ["L3:0=f"], False)]),
        ({"closID": "gold", "enableCMT": True}, [("/gold", [], True), ("/gold/mon_groups/web", [], False)]),
    ],
)  # fmt: skip
def test_resctrl(given: Json, groups: list[tuple[str, list[str], bool]]) -> None:
    made = planned(put(default(), "/linux/intelRdt", given), host(resctrl="/r"))
    found: list[Any] = [op for op in made.ops if op.KIND == "make_cgroup" and op.pointer.startswith("/linux/intelRdt")]
    assert [(op.path, op.properties, op.existing) for op in found] == groups
    assert own(made.ops, "web") == ["/r" + path for path, _, _ in reversed(groups) if path.endswith("/web")]
    assert made.unit == ""


@pytest.mark.parametrize(("facts", "actor", "later"), [(ROOT, HOST, True), (USER, INIT, False)])
def test_exec_s_scheduler(facts: Any, actor: str, later: bool) -> None:
    """By root after the last fork; by an ordinary user while the process is still his."""
    document = put(mapped(default()), "/process/scheduler", {"policy": "SCHED_OTHER", "nice": 3})
    asked = ExecAsked(
        spec=checked(document), process=document["process"], facts=facts, container_id="web", config="c", cgroup=""
    )
    found = [(op.KIND, op.actor) for op in plan_exec(asked).ops]
    assert (found.index(("tune", actor)) > found.index(("find_program", INIT))) == later


def test_exec_joins_the_group_as_it_is() -> None:
    document = put(default(), "/linux/intelRdt", {"l3CacheSchema": "L3:0=f", "enableMonitoring": True})
    asked = ExecAsked(
        spec=checked(document),
        process=document["process"],
        facts=host(resctrl="/r"),
        container_id="web",
        config="c",
        cgroup="/x",
    )
    found: list[Any] = [op for op in plan_exec(asked).ops if op.KIND == "make_cgroup"]
    assert [(op.path, op.properties, op.existing, op.resctrl) for op in found] == [
        ("/web", [], True, "/r"), ("/web/mon_groups/web", [], True, "/r"),
    ]  # fmt: skip
