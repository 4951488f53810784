"""Device rules -> an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE (linux/bpf.h). PURE.

The kernel asks with struct bpf_cgroup_dev_ctx { access_type: (access << 16) | type, major, minor }.  The program
has one part for character and one for block devices, and walks the rules from the last to the first.  Whatever
part of the access a rule speaks of is decided by it: a matching *deny* with any wanted bit refuses; a matching
*allow* takes its bits off what is still wanted; when nothing is wanted any more, the access is allowed.  What no rule
decides is refused.

    r2 = type    r3 = access still wanted    r4 = major    r5 = minor

Loading costs what the verifier has to walk: 80 instructions take it 300 us, 30 take 100.  So a rule about every
access, which is nearly every rule, decides at once, and neighbours with the same major share the question for it.
"""

from __future__ import annotations

from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    # code, register, immediate, where to jump ("" for no jump, "next" for the next rule, else a label)
    Draft = tuple[int, int, int, str]
    Rule = tuple[bool, str, str, str, int]

INSN = Struct("<BBhi")
TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*
EVERY = 7

LDX_W, MOV32_IMM, MOV32_REG, EXIT, JA = 0x61, 0xB4, 0xBC, 0x95, 0x05
AND32_IMM, RSH32_IMM = 0x54, 0x74
JNE32_IMM, JEQ32_IMM, JSET32_IMM = 0x56, 0x16, 0x46
TYPE, WANTED, MAJOR, MINOR = 2, 3, 4, 5  # registers


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return INSN.pack(code, src << 4 | dst, off, imm - (1 << 32) if imm >= 1 << 31 else imm)


PROLOGUE = [
    insn(LDX_W, TYPE, 1, 0),
    insn(MOV32_REG, WANTED, TYPE),
    insn(AND32_IMM, TYPE, imm=0xFFFF),
    insn(RSH32_IMM, WANTED, imm=16),
    insn(LDX_W, MAJOR, 1, 4),
    insn(LDX_W, MINOR, 1, 8),
]
REFUSE = [insn(MOV32_IMM, 0, imm=0), insn(EXIT)]
ALLOW = [insn(MOV32_IMM, 0, imm=1), insn(EXIT)]


def parse(line: str) -> Rule:
    """("allow c 1:* rw") -> (allow, type, major, minor, access bits)."""
    verb, kind, numbers, access = line.split()
    major, _, minor = numbers.partition(":")
    bits = 0
    for letter in access:
        bits |= ACCESS[letter]
    return verb == "allow", kind, major, minor, bits


def compile_rules(lines: list[str]) -> bytes:
    """The program's bytes, 8 an instruction."""
    rules = [parse(line) for line in reversed(lines)]
    chars = section([rule for rule in rules if rule[1] in ("a", "c")])
    blocks = section([rule for rule in rules if rule[1] in ("a", "b")])
    code = [*PROLOGUE, insn(JNE32_IMM, TYPE, off=len(chars), imm=TYPES["c"]), *chars]
    code += [insn(JNE32_IMM, TYPE, off=len(blocks), imm=TYPES["b"]), *blocks]
    return b"".join(code + REFUSE)


def section(rules: list[Rule]) -> list[bytes]:
    """The instructions for one type of device; the first of ``rules`` that speaks of something decides it."""
    drafts: list[list[Draft]] = []
    previous = ""
    for allow, _, major, minor, bits in rules:
        verdict = "allow" if allow else "refuse"
        if bits != EVERY:
            drafts.append(tests(major, minor) + partly(allow, bits))
            previous = ""
        elif major == "*" and minor == "*":
            drafts.append([(JA, 0, 0, verdict)])
            break  # it decides everything: no rule before it can matter
        elif minor == "*":
            drafts.append([(JEQ32_IMM, MAJOR, int(major), verdict)])
            previous = ""
        else:
            last = (JEQ32_IMM, MINOR, int(minor), verdict)
            if major == previous:
                drafts[-1].append(last)
            else:
                drafts.append([*tests(major, "*"), last])
            previous = major
    return link(drafts)


def tests(major: str, minor: str) -> list[Draft]:
    """Go on to the next rule unless the numbers are these."""
    wanted = ((MAJOR, major), (MINOR, minor))
    return [(JNE32_IMM, register, int(word), "next") for register, word in wanted if word != "*"]


def partly(allow: bool, bits: int) -> list[Draft]:
    """A rule about some of r, w and m: what it leaves is for the rules behind it."""
    if not allow:
        return [(JSET32_IMM, WANTED, bits, "refuse")]
    return [(AND32_IMM, WANTED, ~bits & EVERY, ""), (JEQ32_IMM, WANTED, 0, "allow")]


def link(drafts: list[list[Draft]]) -> list[bytes]:
    """Jumps get their distances; the verdicts stand behind the rules, "refuse" first: who gets there is refused.

    The verifier takes no instruction that cannot be reached: a verdict that nothing leads to is left out.
    """
    lines = [line for draft in drafts for line in draft]
    named = {target for *_, target in lines}
    falls_through = not lines or lines[-1][0] != JA
    refuse = REFUSE if falls_through or "refuse" in named else []
    labels = {"refuse": len(lines), "allow": len(lines) + len(refuse)}
    code: list[bytes] = []
    behind = 0
    for draft in drafts:
        behind += len(draft)
        for operation, register, value, target in draft:
            goal = behind if target == "next" else labels.get(target, len(code) + 1)
            code.append(insn(operation, register, off=goal - len(code) - 1, imm=value))
    return code + refuse + (ALLOW if "allow" in named else [])
