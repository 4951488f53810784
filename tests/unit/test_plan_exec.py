"""The plan of exec: who sets which limit, and when."""

from __future__ import annotations

import pytest

from minirun.plan.exec import ExecAsked, plan
from minirun.plan.ops import Op
from tests.unit.documents import ROOT, USER, checked, default, host

LIMITS = [{"type": f"RLIMIT_{name}", "soft": 20, "hard": 30} for name in ("NOFILE", "NPROC")]


def order(*, mapped: bool, euid: int = 0, most: int = 1000) -> list[str]:
    document = default()
    document["process"]["rlimits"] = LIMITS
    if mapped:
        rows = [{"containerID": 0, "hostID": 100000, "size": 1000}]
        document["linux"]["namespaces"].append({"type": "user"})
        document["linux"].update(uidMappings=rows, gidMappings=rows)
    spec = checked(document)
    facts = host(USER if euid else ROOT, euid=euid, most_processes=most)
    asked = ExecAsked(
        spec=spec, process=spec["process"], facts=facts, container_id="c", config="config.json", cgroup="/minirun/c"
    )
    return [word(op) for op in plan(asked).ops if op.KIND in ("spawn", "join", "user", "session", "rlimit")]


def word(op: Op) -> str:
    name: str = getattr(op, "name", "")
    return f"{op.actor} {name}" if op.KIND == "rlimit" else op.KIND


def test_init_sets_them_with_all_its_rights() -> None:
    """That on processes last: the fork would count as one of the user's."""
    expected = ["spawn", "join", "session", "init RLIMIT_NOFILE", "user", "session", "init RLIMIT_NPROC"]
    assert order(mapped=False) == expected


def test_in_a_user_namespace_the_host_does() -> None:
    """Before it is joined: there nobody may raise one, not even root (prlimit(2), CAP_SYS_RESOURCE)."""
    expected = ["spawn", "host RLIMIT_NOFILE", "join", "user", "session", "user", "session", "init RLIMIT_NPROC"]
    assert order(mapped=True) == expected


@pytest.mark.parametrize(("mapped", "actor"), [(False, "init"), (True, "host")])
def test_to_raise_that_on_processes_takes_the_rights_of_the_beginning(mapped: bool, actor: str) -> None:
    found = order(mapped=mapped, most=29)
    assert found.index(f"{actor} RLIMIT_NPROC") == found.index(f"{actor} RLIMIT_NOFILE") + 1


def test_an_ordinary_user_s_init_lowers_its_own() -> None:
    assert not any(row.startswith("host") for row in order(mapped=True, euid=1000))
