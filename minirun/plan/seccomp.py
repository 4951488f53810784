"""The system call filter: /linux/seccomp as lines, which is what --explain shows, the cache is keyed by, and the
compiler reads.

    default errno 1                      what no rule speaks of
    newer errno 38                       system calls younger than all that the profile names
    named clone3                         calls that the profile names, though only to say what the default says
    unknown names fail                   crun's annotation for it; else they are left out
    architectures x86 x32                beside the machine's own
    allow read write openat              a rule: an action, and names
    errno 38 clone3                      an action with its number
    allow clone where 0 & 0x7e020000 == 0x0 and 1 != 0x5     conditions on arguments, all of which must hold

``newer``: a program asks for a new system call and expects ENOSYS where there is none, to go on with an older one
(glibc does so with clone3; EPERM would end it).  A profile cannot name what came after it, so that what it refuses with
another errno, or kills for, is ENOSYS for those: what runc does (its libcontainer/seccomp/patchbpf).  A default that
lets calls pass, or asks somebody, keeps its word.
"""

from __future__ import annotations

from errno import ENOSYS, EPERM

from minirun.plan.ops import HOST, SECCOMP_LISTENER, Op, Seccomp
from minirun.spec.rules import RAW_FILTER, has_filter, namespace_types
from minirun.spec.seccomp_rules import listener_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minirun.plan.container import Problems
    from minirun.spec.types import Process, SeccompArgument, SeccompRule, SeccompSection, Spec

POINTER = "/linux/seccomp"
STRICT = "run.oci.seccomp_fail_unknown_syscall"  # crun's annotation: a name that libseccomp does not know is an error
MOST = 4096  # instructions (linux/bpf_common.h, BPF_MAXINSNS)
# SCMP_ACT_KILL is the thread's end, as it was when there was no other (libseccomp's seccomp.h).
WORDS = {"SCMP_ACT_KILL": "kill_thread"}
OPERATORS = {
    "SCMP_CMP_NE": "!=", "SCMP_CMP_LT": "<", "SCMP_CMP_LE": "<=", "SCMP_CMP_EQ": "==", "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">", "SCMP_CMP_MASKED_EQ": "&",
}  # fmt: skip
# linux/seccomp.h.
KERNEL_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,  # with a listener only: the kernel refuses it alone
}
# Not given to the kernel: TSYNC is for other threads, of which init has none.
LEFT_OUT = KERNEL_FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]
KEEPS_ITS_WORD = ("allow", "log", "trace", "notify")
SYS_ADMIN = 1 << 21


def compile_filter(spec: Spec, problems: Problems) -> list[Op]:
    """The host's half, first of all: what cannot be compiled has begun nothing."""
    if not has_filter(spec):
        return []
    raw = spec.get("annotations", {}).get(RAW_FILTER)
    if raw:
        check_raw(raw, problems)
        return [
            Seccomp(actor=HOST, lines=[f"program {raw}"], flags=0, listener="", pointer=f"/annotations/{RAW_FILTER}")
        ]
    lines = lines_of(spec["linux"]["seccomp"])
    if STRICT in spec.get("annotations", {}):
        lines.insert(1, "unknown names fail")
    return [Seccomp(actor=HOST, lines=lines, flags=0, listener="", pointer=POINTER)]


def in_sight(spec: Spec, process: Process) -> bool:
    """Must exec load the filter while nobody in the container can see it yet, because of the right that this needs?

    Whoever has CAP_SYS_PTRACE may trace it, and would have CAP_SYS_ADMIN, too; who is in a pid namespace that the
    container has joined, nobody can tell.  Then our own last system calls run under the filter; they are none that the
    usual profiles forbid.  (And an agent is told the pid of before the fork.)
    """
    if not kept_for_loading(spec, process):
        return False
    first: dict[str, list[str]] = spec["process"].get("capabilities", {})  # type: ignore[assignment]
    more: dict[str, list[str]] = process.get("capabilities", {})  # type: ignore[assignment]
    held = [*first.values(), *more.values()]
    traced = bool(namespace_types(spec).get("pid")) or any(has(names, "SYS_PTRACE") for names in held)
    return traced and not has(first.get("bounding", ()), "SYS_ADMIN")


def has(names: Iterable[str], wanted: str) -> bool:
    """However a capability is spelled (``process.capability_mask``)."""
    return any(name.upper().removeprefix("CAP_") == wanted for name in names)


def load_filter(spec: Spec, *, at_once: bool = False) -> list[Op]:
    """Init's half, right before execve(2)."""
    if not has_filter(spec):
        return []
    section: SeccompSection = spec["linux"].get("seccomp", {})
    raw = bool(spec.get("annotations", {}).get(RAW_FILTER))
    listener = listener_of(spec)
    flags = SECCOMP_LISTENER if listener else 0
    for name in section.get("flags", ()):
        flags |= KERNEL_FLAGS[name] & ~LEFT_OUT
    if not listener:
        flags &= ~KERNEL_FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    pointer = f"/annotations/{RAW_FILTER}" if raw else POINTER
    return [Seccomp(lines=[], flags=flags, listener=listener, at_once=at_once, pointer=pointer)]


def kept_for_loading(spec: Spec, process: Process) -> int:
    """The capability that seccomp(2) wants of whoever has not given up gaining rights."""
    return SYS_ADMIN if has_filter(spec) and not process.get("noNewPrivileges") else 0


def check_raw(text: str, problems: Problems) -> None:
    from binascii import Error, a2b_base64

    try:
        size = len(a2b_base64(text, strict_mode=True))
    except (Error, ValueError) as error:
        problems.add(f"/annotations/{RAW_FILTER}", f"must be base64: {error}".lower())
        return
    if not size or size % 8 or size > MOST * 8:
        problems.add(f"/annotations/{RAW_FILTER}", f"must be 1 to {MOST} instructions of 8 bytes, not {size} bytes")


def lines_of(section: SeccompSection) -> list[str]:
    """The section in lines.  What says what the default says is no rule, as under runc, but none of ``newer``."""
    default = action(section["defaultAction"], section.get("defaultErrnoRet"))
    lines = [f"default {default}"]
    rules: list[str] = []
    named: list[str] = []
    if default != f"errno {ENOSYS}" and default.partition(" ")[0] not in KEEPS_ITS_WORD:
        lines.append(f"newer errno {ENOSYS}")
    listed = [name.removeprefix("SCMP_ARCH_").lower() for name in section.get("architectures", ())]
    if listed:
        lines.append("architectures " + " ".join(listed))
    for rule in section.get("syscalls", ()):
        word = action(rule["action"], rule.get("errnoRet"))
        if word == default:
            named += rule["names"]
        else:
            rules += [f"{word} {' '.join(rule['names'])}{where}" for where in wheres(rule)]
    if named and lines[1:2] == [f"newer errno {ENOSYS}"]:
        lines.append("named " + " ".join(named))
    return lines + rules


def word_of(name: str) -> str:
    return WORDS.get(name) or name.removeprefix("SCMP_ACT_").lower()


def action(name: str, number: int | None) -> str:
    word = word_of(name)
    return f"{word} {EPERM if number is None else number}" if word in ("errno", "trace") else word


def wheres(rule: SeccompRule) -> list[str]:
    """The conditions of a rule.  Two on one argument cannot both be of one rule: each has its own then (runc, crun)."""
    words = [condition(argument) for argument in rule.get("args", ())]
    if not words:
        return [""]
    if len({argument["index"] for argument in rule["args"]}) < len(words):
        return [f" where {word}" for word in words]
    return [" where " + " and ".join(words)]


def condition(argument: SeccompArgument) -> str:
    sign = OPERATORS[argument["op"]]
    start = f"{argument['index']} {sign} {argument['value']:#x}"
    return start if sign != "&" else f"{start} == {argument.get('valueTwo', 0):#x}"
