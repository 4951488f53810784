"""Device rules -> an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE (linux/bpf.h). PURE.

The kernel asks with struct bpf_cgroup_dev_ctx { access_type: (access << 16) | type, major, minor }.  The program
walks the rules from the last to the first.  Whatever part of the access a rule speaks of is decided by it: a
matching *deny* with any wanted bit refuses; a matching *allow* takes its bits off what is still wanted; when
nothing is wanted any more, the access is allowed.  What no rule decides is refused.

    r2 = type    r3 = access still wanted    r4 = major    r5 = minor
"""

from __future__ import annotations

from _struct import Struct

INSN = Struct("<BBhi")
TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*

LDX_W, MOV32_IMM, MOV32_REG, EXIT = 0x61, 0xB4, 0xBC, 0x95
AND32_IMM, RSH32_IMM = 0x54, 0x74
JNE32_IMM, JEQ32_IMM, JSET32_IMM = 0x56, 0x16, 0x46


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return INSN.pack(code, src << 4 | dst, off, imm - (1 << 32) if imm >= 1 << 31 else imm)


PROLOGUE = [
    insn(LDX_W, 2, 1, 0),  # r2 = access_type
    insn(MOV32_REG, 3, 2),  # r3 = access_type
    insn(AND32_IMM, 2, imm=0xFFFF),
    insn(RSH32_IMM, 3, imm=16),
    insn(LDX_W, 4, 1, 4),  # r4 = major
    insn(LDX_W, 5, 1, 8),  # r5 = minor
]
REFUSE = [insn(MOV32_IMM, 0, imm=0), insn(EXIT)]
ALLOW = [insn(MOV32_IMM, 0, imm=1), insn(EXIT)]


def parse(line: str) -> tuple[bool, str, str, str, int]:
    """("allow c 1:* rw") -> (allow, type, major, minor, access bits)."""
    verb, kind, numbers, access = line.split()
    major, _, minor = numbers.partition(":")
    bits = 0
    for letter in access:
        bits |= ACCESS[letter]
    return verb == "allow", kind, major, minor, bits


def rule(line: str) -> list[bytes]:
    """One rule's instructions: the tests jump over the verdict when they do not match."""
    allow, kind, major, minor, bits = parse(line)
    if allow:
        verdict = [insn(AND32_IMM, 3, imm=~bits & 7), insn(JNE32_IMM, 3, off=2, imm=0), *ALLOW]
    else:
        verdict = [insn(JSET32_IMM, 3, off=1, imm=bits), insn(0x05, off=2), *REFUSE]
    tests: list[tuple[int, int]] = []
    if kind != "a":
        tests.append((2, TYPES[kind]))
    if major != "*":
        tests.append((4, int(major)))
    if minor != "*":
        tests.append((5, int(minor)))
    code = []
    for index, (register, value) in enumerate(tests):
        behind = len(tests) - index - 1 + len(verdict)
        code.append(insn(JNE32_IMM, register, off=behind, imm=value))
    return code + verdict


def compile_rules(lines: list[str]) -> bytes:
    """The program's bytes, 8 an instruction.

    A rule that speaks of every device and every access decides all: nothing before it can matter.
    """
    code = list(PROLOGUE)
    for line in reversed(lines):
        code += rule(line)
        if line in ("allow a *:* rwm", "deny a *:* rwm"):
            break
    return b"".join(code + REFUSE)
