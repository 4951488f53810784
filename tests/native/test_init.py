"""minirun-init under ASan and UBSan, fed by hand: good plans, wrong ones, and good ones with wrong fields.

It answers with FAILED or ends in order; it never crashes and never reads or writes where it should not.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minirun.engine import protocol
from minirun.plan import wire
from minirun.plan.container import plan as plan_container
from minirun.plan.ops import INIT, OPS, Capabilities, Exec, MakeCgroup, Op, Rlimit, Seccomp, Wait
from minirun.spec.template import template
from native import build
from tests.conftest import BUSYBOX, Json, require, run
from tests.native.hand import NOBODY, Ended, carry_out
from tests.unit.documents import USER, asked

pytestmark = pytest.mark.needs("userns", "busybox", "compiler")
SEED, ROUNDS = 7, 250


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that an ordinary user can cross (pytest's own cannot be), with the program and a bundle."""
    for need in ("userns", "busybox", "compiler"):
        require(need)
    folder = Path(tempfile.mkdtemp(prefix="minirun-native-"))
    folder.chmod(0o755)
    build.build_asan(folder)
    for name in ("bin", "proc", "sys", "dev", "etc"):
        (folder / "rootfs" / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, folder / "rootfs" / "bin" / "busybox")
    if os.geteuid() == 0:
        for path in [folder / "rootfs", *(folder / "rootfs").rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
    yield folder
    run("rm", "-rf", folder)  # paths made by spoiled plans are deeper than shutil can go


@pytest.fixture(scope="module")
def program(place: Path) -> Path:
    return place / "minirun-init-asan"


ALLOW = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)  # BPF_RET | BPF_K, SECCOMP_RET_ALLOW


def container(place: Path, *args: str, seccomp: Json | None = None) -> list[Op]:
    """The plan of an ordinary user's container; the namespaces are there already."""
    document = template(rootless=True, uid=1000, gid=1000)
    document["process"].update(args=["/bin/busybox", *args], terminal=False, cwd="/tmp/work", env=["A=1", "HOME=/"])
    document["linux"]["namespaces"] = [n for n in document["linux"]["namespaces"] if n["type"] != "cgroup"]
    document["mounts"] = [mount for mount in document["mounts"] if mount["type"] not in ("cgroup", "none")]
    document["mounts"].append({"destination": "/etc", "type": "tmpfs", "source": "x", "options": ["tmpcopyup"]})
    document["root"]["readonly"] = False
    document["hooks"] = {
        "createContainer": [{"path": "/bin/true", "timeout": 5}],
        "startContainer": [{"path": "/bin/busybox", "args": ["true"]}],
    }
    document["linux"]["seccomp"] = seccomp
    made = asked(document, USER)
    made.bundle = str(place)
    return plan_container(made).ops


def check_sane(ended: Ended) -> None:
    """No report of a sanitizer, no signal; a failure says what it was."""
    assert "Sanitizer" not in ended.error and "runtime error" not in ended.error, ended.error
    assert 0 <= ended.code < 128 and ended.code != 99, (ended.code, ended.error)
    failure = ended.failure()
    if failure is not None:
        assert failure.call and 0 < failure.errno < 4096


def test_a_whole_container(program: Path, place: Path) -> None:
    """Every operation of an ordinary user's plan, watched by the sanitizers, up to the program's own output."""
    ops = container(place, "echo", "hello")
    ended = carry_out(program, wire.encode(ops, trace=True))
    check_sane(ended)
    assert ended.failure() is None, ended.said[-1]
    assert (ended.code, ended.output) == (0, "hello\n")
    traced = [said.step for said in ended.said if said.kind == protocol.TRACE]
    steps = [step for step, op in enumerate(ops, 1) if op.actor == INIT]
    assert traced == [step for step in steps if step in traced]
    assert set(steps) - set(traced) <= {len(ops), len(ops) - 1, len(ops) - 2}
    assert [said.kind for said in ended.said].count(protocol.READY) == 1


@pytest.mark.parametrize("argv", [(), ("",), ("x",), ("2",), ("-1",), ("3x",), ("99999999999999999999",), ("200", "1")])
def test_wrong_arguments(program: Path, argv: tuple[str, ...]) -> None:
    ended = carry_out(program, wire.encode([]), argv=argv)
    check_sane(ended)
    assert (ended.code, ended.said) == (2, [])


@pytest.mark.parametrize("action", ["SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"])
@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_filter_is_loaded_last(program: Path, place: Path, action: str, no_new_privileges: bool) -> None:
    """With a listener init waits without a system call until the host lets it go."""
    rules = [{"names": ["mkdir"], "action": action}]
    section = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": rules}
    ops = container(place, "cat", "/proc/self/status", seccomp=section)
    if not no_new_privileges:
        for op in ops:
            if isinstance(op, Capabilities):
                op.no_new_privs, op.until_exec = False, 1 << 21
    ended = carry_out(program, wire.encode(ops, program=ALLOW))
    check_sane(ended)
    assert ended.code == 0 and "\nSeccomp:\t2\n" in ended.output and "\nSeccomp_filters:\t1\n" in ended.output
    assert [said.kind for said in ended.said].count(protocol.LISTENER) == (action == "SCMP_ACT_NOTIFY")


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("listener", [0, 8])
def test_a_filter_that_the_kernel_refuses(program: Path, place: Path, at_once: bool, listener: int) -> None:
    """A program without an end; and one that is not there."""
    for bad, call in ((bytes(8), "seccomp"), (b"", "plan: no filter")):
        seccomp = Seccomp(lines=[], flags=listener, listener="", at_once=at_once)
        ops = container(place, "true")
        ops[-1:] = [seccomp, ops[-1]]
        ended = carry_out(program, wire.encode(ops, program=bad))
        check_sane(ended)
        failure = ended.failure()
        assert failure is not None and (failure.step, failure.call) == (len(ops) - 1, call)


def test_an_empty_plan_is_done_at_once(program: Path) -> None:
    ended = carry_out(program, wire.encode([]))
    check_sane(ended)
    assert (ended.code, ended.said) == (0, [])


@pytest.mark.parametrize(
    ("data", "call"),
    [
        (b"", ""),
        (b"x", "plan: not a plan"),
        (b"\0" * 200, "plan: not a plan"),
        (wire.encode([Wait()])[:40], "plan: sizes"),
        (wire.encode([Wait()]).replace(wire.VERSION.to_bytes(4, "little"), b"\x7f\0\0\0", 1), "plan: another version"),
        (wire.encode([Wait()]) + b"\0", "plan: sizes"),
    ],
)
def test_what_is_no_plan(program: Path, data: bytes, call: str) -> None:
    ended = carry_out(program, data)
    check_sane(ended)
    failure = ended.failure()
    assert ended.code == 1 and failure is not None and failure.step == 0
    assert not call or failure.call == call


def test_an_operation_of_the_host_s(program: Path) -> None:
    """It cannot come from our encoder; a plan that has one was tampered with."""
    plan = wire.encode([MakeCgroup(actor=INIT, path="/x", controllers=[])])
    ended = carry_out(program, plan)
    check_sane(ended)
    failure = ended.failure()
    assert failure is not None and failure.call == "plan: the host's"


def test_a_host_that_hangs_up(program: Path, place: Path) -> None:
    """Nothing half-built goes on living."""
    ended = carry_out(program, wire.encode(container(place, "sleep", "60")), silent=True)
    check_sane(ended)
    assert ended.code != 0


def test_the_failure_names_its_step(program: Path) -> None:
    ops: list[Op] = [Rlimit(resource=99, soft=1, hard=1, name="RLIMIT_X"), Exec(args=["x"], env=[], flags=0)]
    ended = carry_out(program, wire.encode(ops))
    failure = ended.failure()
    assert failure is not None
    assert (failure.step, failure.call, failure.detail, failure.errno) == (1, "prlimit64", "RLIMIT_X", 22)


NUMBERS = [0, 1, 2, 7, 255, 256, 257, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1]
WORDS = [
    "", ".", "..", "x", "/x", "a=b", "=", "a=" + "b" * 5000, "//", "/../..", "/proc/self/fd/0", "/proc", "/dev/null/x",
    "x" * 255, "/" + "x" * 300, "/x" * 2040, "/x" * 3000, "tmpfs", "proc", "-1", "99999999999999999999", "\x7f\r\n",
]  # fmt: skip


def other(value: Any, chance: random.Random) -> Any:
    """Something of the same type that the planner would not say."""
    if isinstance(value, list):
        pool = [*value, *chance.choices(WORDS, k=3)]
        return chance.choices(pool, k=chance.choice([0, 1, 2, 300])) if value and isinstance(value[0], str) else value
    if isinstance(value, str):
        return chance.choice(WORDS)
    return chance.choice([*NUMBERS, int(value) ^ 1 << chance.randrange(64)])


def spoiled(ops: list[Op], chance: random.Random) -> list[Op]:
    """Fields changed, operations doubled, dropped and moved.  The rootfs stays the one that is there."""
    made = list(ops)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(made))
        op, what = made[at], chance.randrange(10)
        if what < 7 and len(op.FIELDS) > 2 and op.KIND != "root":
            name = chance.choice(op.FIELDS[2:])
            made[at] = type(op)(**{**op.__dict__, name: other(getattr(op, name), chance)})
        elif what == 7:
            made.insert(at, op)
        elif what == 8:
            del made[at]
        else:
            made.insert(chance.randrange(len(made)), made.pop(at))
    return made


def test_spoiled_plans_end_in_order(program: Path, place: Path) -> None:
    """The decoder takes them, so that the handlers get to see what no planner would write."""
    chance = random.Random(SEED)
    ops = [op for op in container(place, "true") if op.actor == INIT]
    failed: set[str] = set()
    for number in range(ROUNDS):
        made = spoiled(ops, chance)
        ended = carry_out(program, wire.encode(made))
        try:
            check_sane(ended)
        except AssertionError as error:
            raise AssertionError(f"round {number} of seed {SEED}") from error
        failure = ended.failure()
        if failure is not None and 0 < failure.step <= len(made):
            failed.add(made[failure.step - 1].KIND)
    assert len(failed) >= 10, f"only {sorted(failed)} were made to fail: too gentle"


def test_every_operation_alone(program: Path) -> None:
    """Without what usually comes before it: no rootfs, no gate, no terminal."""
    chance = random.Random(SEED)
    for cls in OPS:
        if cls.ACTOR != INIT or cls.KIND == "root":
            continue
        for _ in range(3):
            values: dict[str, Any] = {
                name: {"int": chance.choice(NUMBERS), "bool": True, "str": chance.choice(WORDS)}.get(
                    wire.field_type(cls, name), chance.choices(WORDS[:6], k=2)
                )
                for name in cls.FIELDS[2:]
            }
            check_sane(carry_out(program, wire.encode([cls(**values)])))
