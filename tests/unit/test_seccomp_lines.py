"""/linux/seccomp in lines (plan/seccomp.py), its rules (spec/seccomp_rules.py), and where its two operations stand."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.plan import seccomp
from minirun.plan.exec import ExecAsked, plan as plan_exec
from minirun.plan.ops import HOST, INIT, Capabilities, Seccomp
from minirun.spec import seccomp_rules
from minirun.spec.rules import RAW_FILTER
from tests.unit.documents import ROOT, checked, default, planned, put

Json = dict[str, Any]
NOTIFY = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}


def section(*rules: Json, action: str = "SCMP_ACT_ALLOW", **more: Any) -> Json:
    return {"defaultAction": action, "syscalls": list(rules), **more}


def lines(*rules: Json, **more: Any) -> list[str]:
    document = put(default(), "/linux/seccomp", section(*rules, **more))
    return seccomp.lines_of(checked(document)["linux"]["seccomp"])


def problems(section: Json, **annotations: str) -> dict[str, str]:
    document = put(default(), "/linux/seccomp", section)
    document["annotations"] = annotations
    with pytest.raises(MinirunError) as caught:
        checked(document)
    return dict(caught.value.problems or [(caught.value.pointer or "", caught.value.reason)])


ARGS = [
    {"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"},
    {"index": 1, "value": 5, "op": "SCMP_CMP_NE"},
]


def test_a_profile_in_lines() -> None:
    assert lines(
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": ARGS},
        {"names": ["mkdir"], "action": "SCMP_ACT_KILL"},
        action="SCMP_ACT_ERRNO", architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
    ) == [
        "default errno 1",
        "newer errno 38",
        "architectures x86_64 x32",
        "allow read write",
        "errno 38 clone3",
        "allow clone where 0 & 0x7e020000 == 0x0 and 1 != 0x5",
        "kill_thread mkdir",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "more", "wanted"),
    [
        ("ALLOW", {}, ["default allow"]),
        ("LOG", {}, ["default log"]),
        ("TRACE", {}, ["default trace 1"]),
        ("TRACE", {"defaultErrnoRet": 7}, ["default trace 7"]),
        ("ERRNO", {"defaultErrnoRet": 38}, ["default errno 38"]),
        ("ERRNO", {"defaultErrnoRet": 1}, ["default errno 1", "newer errno 38"]),
        ("KILL", {}, ["default kill_thread", "newer errno 38"]),
        ("KILL_PROCESS", {}, ["default kill_process", "newer errno 38"]),
        ("TRAP", {}, ["default trap", "newer errno 38"]),
    ],
)
def test_newer_calls(action: str, more: Json, wanted: list[str]) -> None:
    """ENOSYS for those, unless the default lets them pass or says it already."""
    assert lines(action=f"SCMP_ACT_{action}", **more) == wanted


def test_what_says_the_same_as_the_default_is_no_rule() -> None:
    """But a name that the profile knows: it is no newer call, if there is anything to say of those."""
    same = {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    other = {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2}
    assert lines(same, other, action="SCMP_ACT_ERRNO")[2:] == ["named read", "errno 2 read"]
    allowed = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    assert lines(allowed, other) == ["default allow", "errno 2 read"]


def test_two_conditions_on_one_argument_are_two_rules() -> None:
    args = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (1, 2)]
    assert lines({"names": ["socket"], "action": "SCMP_ACT_LOG", "args": args}) == [
        "default allow", "log socket where 0 == 0x1", "log socket where 0 == 0x2",
    ]  # fmt: skip


def ops(document: Json) -> tuple[Seccomp, Seccomp]:
    made = planned(document).ops
    first, last = [op for op in made if isinstance(op, Seccomp)]
    assert made.index(first) == 0 and made[-2] == last
    assert (first.actor, last.actor) == (HOST, INIT)
    return first, last


def test_compiled_first_and_loaded_last() -> None:
    flags = [f"SECCOMP_FILTER_FLAG_{name}" for name in ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV")]
    first, last = ops(put(default(), "/linux/seccomp", section(flags=flags)))
    assert first.describe() == "compile the system call filter (0 rules, default allow)"
    assert last.describe() == "load the system call filter"
    assert last.flags == 2 | 4, "init has no other threads, and nobody to wait for"


def test_a_listener_is_said_and_asked_for() -> None:
    given = section(NOTIFY, listenerPath="/agent.sock", flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])
    _, last = ops(put(default(), "/linux/seccomp", given))
    assert last.describe() == "load the system call filter, its listener goes to /agent.sock"
    assert last.flags == 8 | 32


@pytest.mark.parametrize("names", [["CAP_SYS_PTRACE"], ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN"], []])
@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_exec_loads_before_it_comes_into_sight(names: list[str], no_new_privileges: bool) -> None:
    """Where somebody inside could take CAP_SYS_ADMIN from it, and has not got it himself."""
    document = put(put(default(), "/linux/seccomp", section()), "/process/capabilities/bounding", names)
    document["process"]["noNewPrivileges"] = no_new_privileges
    spec = checked(document)
    made = plan_exec(
        ExecAsked(spec=spec, process=spec["process"], facts=ROOT, container_id="x", config="x", cgroup="/x")
    ).ops
    kinds = [op.KIND for op in made]
    early = kinds.index("seccomp", 1) < kinds.index("capabilities")
    assert early == (names == ["CAP_SYS_PTRACE"] and not no_new_privileges)
    kept = next(op for op in made if isinstance(op, Capabilities)).until_exec
    assert kept == (0 if early or no_new_privileges else 1 << 21)


def test_exec_among_strangers_loads_early() -> None:
    document = put(put(default(), "/linux/seccomp", section()), "/process/noNewPrivileges", False)
    assert not seccomp.in_sight(checked(document), checked(document)["process"])
    document["linux"]["namespaces"][0]["path"] = "/proc/4242/ns/pid"
    assert seccomp.in_sight(checked(document), checked(document)["process"])


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_the_right_to_load(no_new_privileges: bool) -> None:
    document = put(default(), "/process/noNewPrivileges", no_new_privileges)
    for given, wanted in ((None, 0), ({}, 0), (section(), 0 if no_new_privileges else 1 << 21)):
        made = planned(put(document, "/linux/seccomp", given)).ops
        assert [op.until_exec for op in made if isinstance(op, Capabilities)] == [wanted]


def test_a_program_instead_of_a_profile() -> None:
    raw = base64.b64encode(bytes(16)).decode()
    document = put(default(), "/annotations", {RAW_FILTER: raw})
    first, last = ops(document)
    assert first.lines == [f"program {raw}"] and first.pointer == last.pointer == f"/annotations/{RAW_FILTER}"
    assert first.describe() == "take the system call filter as it is given"


@pytest.mark.parametrize("raw", ["!", "AAAA", base64.b64encode(bytes(8 * 4097)).decode(), "AAAAAAAAAAA"])
def test_what_is_no_program(raw: str) -> None:
    with pytest.raises(MinirunError) as caught:
        planned(put(default(), "/annotations", {RAW_FILTER: raw}))
    assert caught.value.pointer == f"/annotations/{RAW_FILTER}"


def test_unknown_names_may_be_an_error() -> None:
    document = put(put(default(), "/linux/seccomp", section()), "/annotations", {seccomp.STRICT: "1"})
    assert ops(document)[0].lines == ["default allow", "unknown names fail"]


# -- rules ------------------------------------------------------------------------------------------------------------

AT = "/linux/seccomp"


def test_every_problem_at_once() -> None:
    rules: list[Json] = [
        {"names": [], "action": "SCMP_ACT_ALLOW"},
        {"names": ["read", "", "a b", "x\n"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1},
        {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]},
    ]
    found = problems(section(*rules, defaultErrnoRet=1, listenerMetadata="x"))
    assert set(found) == {
        f"{AT}/defaultErrnoRet", f"{AT}/syscalls/0/names", f"{AT}/syscalls/1/names/1", f"{AT}/syscalls/1/names/2",
        f"{AT}/syscalls/1/names/3", f"{AT}/syscalls/1/errnoRet", f"{AT}/syscalls/2/args/0/index",
        f"{AT}/listenerMetadata",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("defaultAction", "SCMP_ACT_FROB"), ("defaultAction", 1), ("defaultErrnoRet", 65536),
        ("architectures", ["SCMP_ARCH_PDP11"]), ("flags", ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]), ("syscalls", {}),
        ("syscalls", [{"names": ["read"], "action": "ALLOW"}]), ("syscalls", [{"action": "SCMP_ACT_ALLOW"}]),
        ("syscalls", [{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": -1, "op": "EQ"}]}]),
    ],
)  # fmt: skip
def test_shapes(member: str, value: Any) -> None:
    assert all(pointer.startswith(f"{AT}/{member}") for pointer in problems(section(**{member: value})))


def test_a_default_action_is_needed_in_a_section_that_is_one() -> None:
    assert f"{AT}/defaultAction" in problems({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]})
    checked(put(default(), AT, {}))


@pytest.mark.parametrize(
    ("given", "annotation", "wrong"),
    [
        (section(NOTIFY), "", "listenerPath"),
        (section(action="SCMP_ACT_NOTIFY"), "", "listenerPath"),
        (section(NOTIFY, listenerPath="agent.sock"), "", "listenerPath"),
        (section(NOTIFY, listenerPath="/" + "x" * 107), "", "listenerPath"),
        (section(NOTIFY), "agent.sock", "listenerPath"),
        (section(NOTIFY, listenerPath="/agent.sock", listenerMetadata="x"), "", ""),
        (section(NOTIFY), "/agent.sock", ""),
        (section(listenerPath="/agent.sock"), "", ""),
    ],
)
def test_listeners(given: Json, annotation: str, wrong: str) -> None:
    more = {seccomp_rules.RECEIVER: annotation} if annotation else {}
    if wrong:
        assert set(problems(given, **more)) == {f"{AT}/{wrong}"}
    else:
        checked(put(put(default(), AT, given), "/annotations", more))
