"""Scheduler, IO priority, CPUs, memory policy, personality: asked of the kernel from inside, in run and in exec."""

from __future__ import annotations

import json
import os

import pytest

from tests.conftest import MINIRUN, Bundle, Json, Runtime, run
from tests.integration.seen import ask, ask_in, mark, outside, status_of

pytestmark = pytest.mark.needs("root", "busybox")

DEADLINE = {"policy": "SCHED_DEADLINE", "runtime": 42000, "deadline": 100000, "period": 1000000}
SCHEDULERS: list[tuple[Json, str]] = [
    ({"policy": "SCHED_OTHER", "nice": 7}, "SCHED_OTHER nice=7 priority=0 flags=0"),
    ({"policy": "SCHED_OTHER", "nice": -5}, "SCHED_OTHER nice=-5 priority=0 flags=0"),
    ({"policy": "SCHED_BATCH", "nice": 19}, "SCHED_BATCH nice=19 priority=0 flags=0"),
    ({"policy": "SCHED_IDLE"}, "SCHED_IDLE nice=0 priority=0 flags=0"),
    ({"policy": "SCHED_FIFO", "priority": 9}, "SCHED_FIFO nice=0 priority=9 flags=0"),
    (
        {"policy": "SCHED_RR", "priority": 99, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        "SCHED_RR nice=0 priority=99 flags=1",
    ),
    (DEADLINE, "SCHED_DEADLINE nice=0 priority=0 flags=0 runtime=42000 deadline=100000 period=1000000"),
    (
        {**DEADLINE, "flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RESET_ON_FORK"]},
        "SCHED_DEADLINE nice=0 priority=0 flags=7 runtime=42000 deadline=100000 period=1000000",
    ),
]


def map_ids(bundle: Bundle) -> None:
    """In a user namespace of its own, by root."""
    bundle.config["linux"]["namespaces"].append({"type": "user"})
    rows = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.config["linux"]["uidMappings"] = bundle.config["linux"]["gidMappings"] = rows


@pytest.mark.parametrize(("given", "seen"), SCHEDULERS)
def test_scheduler(minirun: Runtime, bundle: Bundle, clean_host: None, given: Json, seen: str) -> None:
    """Every policy; as a user without rights, who could not have asked for it himself."""
    bundle.config["process"]["scheduler"] = given
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    assert ask(minirun, bundle, "scheduler", "id") == [seen, "uid=1000 gid=1000 groups="]


@pytest.mark.parametrize(("given", "seen"), [SCHEDULERS[1], SCHEDULERS[4], SCHEDULERS[6]])
def test_scheduler_in_a_user_namespace(minirun: Runtime, open_bundle: Bundle, given: Json, seen: str) -> None:
    """CAP_SYS_NICE in there means nothing to the scheduler: the host does it."""
    map_ids(open_bundle)
    open_bundle.config["process"].update(scheduler=given, ioPriority={"class": "IOPRIO_CLASS_RT", "priority": 3})
    assert ask(minirun, open_bundle, "scheduler", "ioprio") == [seen, "RT 3"]


def test_a_policy_that_linux_lacks(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["process"]["scheduler"] = {"policy": "SCHED_ISO"}
    done = minirun.run(bundle)
    assert done.returncode == 125
    assert "cannot be scheduled as SCHED_ISO: Invalid argument\n  config   /process/scheduler in " in done.stderr


@pytest.mark.parametrize(("name", "word"), [("RT", "RT"), ("BE", "BE"), ("IDLE", "IDLE")])
def test_io_priority(minirun: Runtime, bundle: Bundle, name: str, word: str) -> None:
    bundle.config["process"]["ioPriority"] = {"class": f"IOPRIO_CLASS_{name}", "priority": 4}
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    assert ask(minirun, bundle, "ioprio") == [f"{word} 4"]


def test_io_priority_without_a_number(minirun: Runtime, bundle: Bundle) -> None:
    """The class alone, as runc's callers have it."""
    bundle.config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE"}
    assert ask(minirun, bundle, "ioprio") == ["IDLE 0"]


@pytest.mark.parametrize(("domain", "value", "machine"), [("LINUX32", "00000008", "i686"), ("LINUX", "00000000", "")])
def test_personality(minirun: Runtime, bundle: Bundle, domain: str, value: str, machine: str) -> None:
    """In exec, too: it is the container's."""
    bundle.config["linux"]["personality"] = {"domain": domain, "flags": []}
    mark(bundle)
    name = minirun.start(bundle.args("/probe", "pause"))
    expected = machine if machine and os.uname().machine == "x86_64" else os.uname().machine
    assert ask_in(minirun, name, "personality", "machine")[:1] == [value]
    if os.uname().machine == "x86_64":
        assert ask_in(minirun, name, "machine") == [expected]
    assert outside(minirun.state(name)["pid"], "personality") == value + "\n"


# linux/mempolicy.h
POLICIES: list[tuple[Json, str]] = [
    ({"mode": "MPOL_BIND", "nodes": "0"}, "2 flags=0 nodes=0x1"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": " 0-0, "}, "3 flags=0 nodes=0x1"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "1 flags=0 nodes=0x1"),
    ({"mode": "MPOL_PREFERRED"}, "4 flags=0 nodes=0"),  # the kernel's word for preferring the node one is on is local
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "5 flags=0 nodes=0x1"),
    ({"mode": "MPOL_LOCAL"}, "4 flags=0 nodes=0"),
    ({"mode": "MPOL_DEFAULT", "nodes": ""}, "0 flags=0 nodes=0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "2 flags=0x8000 nodes=0x1"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "3 flags=0x4000 nodes=0x1"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "2 flags=0x2000 nodes=0x1"),
]


@pytest.mark.parametrize(("given", "seen"), POLICIES)
def test_memory_policy(minirun: Runtime, bundle: Bundle, given: Json, seen: str) -> None:
    bundle.config["linux"]["memoryPolicy"] = given
    assert ask(minirun, bundle, "mempolicy") == [seen]


def test_exec_has_the_container_s_own(minirun: Runtime, bundle: Bundle) -> None:
    """What its process document does not say; what it says is its own (runc has it so)."""
    bundle.config["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 19}
    bundle.config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 4}
    bundle.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    mark(bundle)
    name = minirun.start(bundle.args("/probe", "pause"))
    asked = ("scheduler", "ioprio", "mempolicy")
    assert ask_in(minirun, name, *asked) == ["SCHED_BATCH nice=19 priority=0 flags=0", "BE 4", "2 flags=0 nodes=0x1"]
    document = {"cwd": "/", "scheduler": DEADLINE, "ioPriority": {"class": "IOPRIO_CLASS_IDLE"}}
    seen = exec_document(minirun, bundle, name, {**document, "args": ["/probe", "scheduler", "--", "ioprio"]})
    assert seen.splitlines() == [SCHEDULERS[6][1], "IDLE 0"]


def exec_document(minirun: Runtime, bundle: Bundle, name: str, document: Json) -> str:
    path = bundle.path / "process.json"
    path.write_text(json.dumps(document))
    done = minirun("exec", "--process", path, name)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_exec_in_a_user_namespace(minirun: Runtime, open_bundle: Bundle) -> None:
    map_ids(open_bundle)
    mark(open_bundle)
    name = minirun.start(open_bundle.args("/probe", "pause"))
    document = {"cwd": "/", "args": ["/probe", "scheduler"], "scheduler": {"policy": "SCHED_RR", "priority": 2}}
    assert exec_document(minirun, open_bundle, name, document) == "SCHED_RR nice=0 priority=2 flags=0\n"


# -- CPUs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_cpus() -> None:
    if not {0, 1} <= os.sched_getaffinity(0):
        pytest.skip("needs CPUs 0 and 1")


def test_exec_affinity(minirun: Runtime, bundle: Bundle, two_cpus: None) -> None:
    """initial is where it begins, final where it stays; neither is the container's init's."""
    bundle.config["process"]["execCPUAffinity"] = {"initial": "0", "final": "1"}
    mark(bundle)
    name = minirun.start(bundle.args("/probe", "pause"))
    every = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    assert status_of(outside(minirun.state(name)["pid"], "status"))["Cpus_allowed_list"].replace("-", ",") == every
    assert ask_in(minirun, name, "affinity") == ["1"]
    for affinity, seen in (({"initial": "1"}, "1"), ({"final": "0"}, "0"), ({"initial": "0", "final": "0-1"}, "0,1")):
        document = {"cwd": "/", "args": ["/probe", "affinity"], "execCPUAffinity": affinity}
        assert exec_document(minirun, bundle, name, document) == seen + "\n"


def test_a_caller_s_cpus_are_its_own(minirun: Runtime, bundle: Bundle, two_cpus: None) -> None:
    """A runtime that was started on one CPU does not keep the container there (nor does runc since 1.4)."""
    every = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    words = ("--root", minirun.root, "run", "-b", bundle.args("/probe", "affinity").write(), minirun.name())
    done = run("taskset", "-c", "0", MINIRUN, *words)
    assert (done.returncode, done.stdout) == (0, every + "\n"), done.stderr
    name = minirun.start(bundle.args("/probe", "pause"))
    done = run("taskset", "-c", "1", MINIRUN, "--root", minirun.root, "exec", name, "/probe", "affinity")
    assert (done.returncode, done.stdout) == (0, every + "\n"), done.stderr


def test_cpus_that_are_not_there(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    name = minirun.start(bundle.args("/probe", "pause"))
    for member, actor in (("initial", "host"), ("final", "init")):
        (bundle.path / "p.json").write_text(
            json.dumps({"cwd": "/", "args": ["/probe", "pid"], "execCPUAffinity": {member: "8191"}})
        )
        done = minirun("exec", "--process", bundle.path / "p.json", name)
        assert done.returncode == 125 and "cannot run on CPUs 8191: Invalid argument" in done.stderr
        assert f"config   /execCPUAffinity/{member} in " in done.stderr and f", {actor}, " in done.stderr
