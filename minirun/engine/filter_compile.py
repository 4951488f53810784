"""From the lines of ``plan.seccomp`` to a BPF program: libseccomp's, and in front of it what makes newer calls ENOSYS.

Only what no cache has comes here: this imports the extension for libseccomp.
"""

from __future__ import annotations

from _struct import Struct
from errno import E2BIG

from minirun.linux import libseccomp
from minirun.linux.libseccomp import ACTIONS, OPERATORS, Filter
from minirun.plan.seccomp import MOST

# struct sock_filter (linux/filter.h): code, jump if true, jump if false, operand
INSTRUCTION = Struct("=HBBI")
LOAD, JUMP, EQUAL, GREATER, RETURN = 0x20, 0x05, 0x15, 0x25, 0x06  # BPF_LD|BPF_W|BPF_ABS; JA, JEQ, JGT; RET
NUMBER, ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
X32_BIT = 0x40000000  # of a system call's number (asm/unistd.h, __X32_SYSCALL_BIT)


def compile_lines(lines: list[str]) -> bytes:
    """The program.  Raises OSError with what libseccomp says, MinirunError if it is not there."""
    kind, _, text = lines[0].partition(" ")
    if kind == "program":
        from binascii import a2b_base64

        return a2b_base64(text)
    made = Filter(action(text)[0])
    tokens = [libseccomp.architecture("")]
    rules: list[tuple[int, str, list[tuple[int, int, int, int]]]] = []
    named: set[str] = set()
    newer, strict = 0, False
    for line in lines[1:]:
        word, _, rest = line.partition(" ")
        if word == "newer":
            newer = action(rest)[0]
        elif word == "named":
            named.update(rest.split())
        elif word == "unknown":
            strict = True
        elif word == "architectures":
            tokens += more_architectures(made, rest)
        else:
            rules += rules_of(line)
    for rule in rules:
        made.add_rule(*rule, strict=strict)
    program = made.export()
    before = stub(newer, newest(tokens, named | {name for _, name, _ in rules})) if newer else b""
    return fitting(before + program)


def fitting(program: bytes) -> bytes:
    """The kernel takes BPF_MAXINSNS instructions (linux/bpf_common.h).  Raises OSError (E2BIG)."""
    size = len(program) // INSTRUCTION.size
    if size > MOST:
        raise OSError(E2BIG, f"it has {size} instructions, and the kernel takes {MOST} at most", "")
    return program


def action(text: str) -> tuple[int, str]:
    """An action at the beginning of ``text``, as the kernel's number; and what follows it."""
    word, _, rest = text.partition(" ")
    if word not in ("errno", "trace"):
        return ACTIONS[word], rest
    number, _, rest = rest.partition(" ")
    return ACTIONS[word] | int(number), rest


def more_architectures(made: Filter, names: str) -> list[int]:
    """Those that this machine can have, added; a program of any other cannot run here."""
    tokens = [libseccomp.architecture(name) for name in names.split()]
    return [token for token in tokens if token and made.add_architecture(token)]


def rules_of(line: str) -> list[tuple[int, str, list[tuple[int, int, int, int]]]]:
    number, rest = action(line)
    names, _, where = rest.partition(" where ")
    conditions = [condition(text) for text in where.split(" and ")] if where else []
    return [(number, name, conditions) for name in names.split()]


def condition(text: str) -> tuple[int, int, int, int]:
    """0 == 0x5; 1 & 0xff == 0x1."""
    words = text.split()
    return int(words[0]), OPERATORS[words[1]], int(words[2], 16), int(words[4], 16) if len(words) > 3 else 0


def newest(tokens: list[int], names: set[str]) -> dict[int, int]:
    """The highest number that the profile names, for each architecture; none where it names nothing."""
    found = {}
    for token in dict.fromkeys(tokens):
        highest = max([libseccomp.number_on(token, name) for name in names], default=-1)
        if highest >= 0:
            found[token] = highest
    return found


def stub(result: int, highest: dict[int, int]) -> bytes:
    """In front of the filter: return ``result`` for numbers above the highest of their architecture.

    For x86_64 and x32 the kernel says the same architecture, and the number has a bit more: they are two ranges.
    """
    code: list[tuple[int, int, int, int]] = [(LOAD, 0, 0, ARCHITECTURE)]
    wide = libseccomp.lib.SCMP_ARCH_X86_64
    x32 = highest.get(libseccomp.lib.SCMP_ARCH_X32)
    for token, number in highest.items():
        if token == libseccomp.lib.SCMP_ARCH_X32:
            continue
        tests = [(LOAD, 0, 0, NUMBER), *above(number, X32_BIT if token == wide else 0, result)]
        if token == wide and x32 is not None:
            tests += above(x32 | X32_BIT, 0, result)
        code += [(EQUAL, 0, len(tests) + 1, token), *tests, (JUMP, 0, 0, 0)]
    # Every architecture's last jump leads behind the end, to the filter itself.
    ends = [(op, yes, no, len(code) - at - 1 if op == JUMP else value) for at, (op, yes, no, value) in enumerate(code)]
    return b"".join([INSTRUCTION.pack(*row) for row in ends])


def above(number: int, end: int, result: int) -> list[tuple[int, int, int, int]]:
    """Return ``result`` if the number is greater, but (``end`` not 0) less than ``end``."""
    if end:
        return [(GREATER, 0, 2, number), (GREATER, 1, 0, end - 1), (RETURN, 0, 0, result)]
    return [(GREATER, 0, 1, number), (RETURN, 0, 0, result)]
