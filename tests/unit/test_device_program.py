"""The eBPF device filter: interpreted here, instruction by instruction, and compared with the rules read naively."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from minirun.cgroups.device_program import INSN, compile_rules, parse
from minirun.plan.devices import ALWAYS_ALLOWED, rules

KINDS = {1: "b", 2: "c"}
LETTERS = {1: "m", 2: "r", 4: "w"}
MASK = 0xFFFFFFFF


def interpret(program: bytes, access: int, kind: int, major: int, minor: int) -> int:
    """Run the program as the kernel does: context in r1, verdict in r0.  The few instructions that are used."""
    context = {0: access << 16 | kind, 4: major, 8: minor}
    register: dict[int, int] = {}
    code = [INSN.unpack_from(program, at) for at in range(0, len(program), 8)]
    at = steps = 0
    while True:
        op, registers, offset, immediate = code[at]
        dst, src, immediate = registers & 15, registers >> 4, immediate & MASK
        at += 1
        steps += 1
        assert steps < 10_000
        if op == 0x61:  # LDX word
            assert src == 1
            register[dst] = context[offset]
        elif op == 0xBC:  # MOV32 register
            register[dst] = register[src]
        elif op == 0xB4:  # MOV32 immediate
            register[dst] = immediate
        elif op == 0x54:  # AND32
            register[dst] &= immediate
        elif op == 0x74:  # RSH32
            register[dst] >>= immediate
        elif op == 0x05:  # JA
            at += offset
        elif op in (0x56, 0x16, 0x46):  # JNE32, JEQ32, JSET32
            value = register[dst]
            taken = {0x56: value != immediate, 0x16: value == immediate, 0x46: bool(value & immediate)}[op]
            at += offset * taken
        elif op == 0x95:  # EXIT
            return register[0]
        else:
            raise AssertionError(f"instruction {op:#x}")


def decides(line: str, bit: int, kind: int, major: int, minor: int) -> bool:
    """Does the rule speak of this one access?"""
    _, what, numbers, access = line.split()
    a, b = numbers.split(":")
    return (
        what in ("a", KINDS[kind]) and a in ("*", str(major)) and b in ("*", str(minor)) and LETTERS[bit] in access
    )  # fmt: skip


def naive(lines: list[str], access: int, kind: int, major: int, minor: int) -> bool:
    """Every wanted bit on its own: the last rule that speaks of it decides; nobody: refused."""
    for bit in LETTERS:
        if access & bit:
            verdicts = [line.startswith("allow") for line in lines if decides(line, bit, kind, major, minor)]
            if not verdicts or not verdicts[-1]:
                return False
    return True


NUMBER = st.sampled_from(["*", "0", "1", "5", "4294967295"])
LINE = st.builds(
    lambda verb, kind, major, minor, access: f"{verb} {kind} {major}:{minor} {access}",
    st.sampled_from(["allow", "deny"]),
    st.sampled_from(["a", "b", "c"]),
    NUMBER,
    NUMBER,
    st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"]),
)
ACCESS = st.integers(1, 7)
VALUE = st.sampled_from([0, 1, 5, 7, MASK])


@settings(max_examples=400)
@given(st.lists(LINE, max_size=8), ACCESS, st.sampled_from([1, 2]), VALUE, VALUE)
def test_the_program_decides_as_the_rules_say(lines: list[str], access: int, kind: int, major: int, minor: int) -> None:
    program = compile_rules(lines)
    assert interpret(program, access, kind, major, minor) == naive(lines, access, kind, major, minor)


@given(st.lists(LINE, max_size=6))
def test_jumps_stay_inside_and_go_forward(lines: list[str]) -> None:
    """What the verifier demands."""
    program = compile_rules(lines)
    count = len(program) // 8
    for index in range(count):
        op, _, offset, _ = INSN.unpack_from(program, index * 8)
        if op in (0x05, 0x56, 0x16, 0x46):
            assert offset >= 0 and index + 1 + offset < count
    assert INSN.unpack_from(program, (count - 1) * 8)[0] == 0x95


def test_nothing_is_allowed_without_rules() -> None:
    assert not any(interpret(compile_rules([]), access, 2, 1, 3) for access in range(1, 8))


def test_a_rule_about_everything_ends_the_program() -> None:
    """What lies before it cannot matter: containerd's hundreds of rules after "deny all" are kept, ours before not."""
    long = ["allow c 1:3 rwm"] * 50
    assert compile_rules([*long, "deny a *:* rwm"]) == compile_rules(["deny a *:* rwm"])
    assert len(compile_rules(["deny a *:* rwm", *long])) > len(compile_rules(["deny a *:* rwm"]))


@pytest.mark.parametrize(
    ("device", "access", "verdict"),
    [
        ((2, 1, 3), 7, 1), ((2, 1, 9), 2, 1), ((2, 5, 0), 6, 1), ((2, 5, 2), 6, 1), ((2, 136, 77), 6, 1),
        ((2, 5, 1), 6, 0), ((1, 8, 0), 2, 0), ((1, 8, 0), 1, 1), ((2, 10, 200), 6, 0), ((2, 10, 200), 1, 1),
        ((2, 1, 1), 2, 0), ((2, 1, 11), 2, 0),
    ],
)  # fmt: skip
def test_the_default_device_list(device: tuple[int, int, int], access: int, verdict: int) -> None:
    """null and its kin, ptys: yes; /dev/console, /dev/mem, /dev/kmsg, disks, tun: no; mknod: harmless."""
    lines = rules({"devices": [{"allow": False, "access": "rwm"}]})
    assert interpret(compile_rules(lines), access, *device) == verdict


def test_rules_of_a_document() -> None:
    lines = rules(
        {
            "devices": [
                {"allow": True, "type": "u", "major": 7, "minor": -1, "access": "r"},
                {"allow": False, "type": "", "access": ""},
                {"allow": True},
            ]
        }
    )
    assert lines == ["deny a *:* rwm", "allow c 7:* r", "deny a *:* rwm", "allow a *:* rwm", *ALWAYS_ALLOWED]
    assert parse("allow c 7:* r") == (True, "c", "7", "*", 2)
