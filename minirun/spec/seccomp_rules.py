"""The rules of /linux/seccomp that a schema cannot say (config-linux.md, Seccomp).

A name that no system call has is no fault: the profile may be younger than this machine's libseccomp, or older than a
call that went away.  An action, operator, architecture or flag that nobody knows is one: the container would not be
confined as was meant.
"""

from __future__ import annotations

from minirun.spec.rules import RAW_FILTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.spec.check import Problems

AT = "/linux/seccomp"
ACTIONS = (
    "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY",
)  # fmt: skip
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
OPERATORS = (
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
)  # fmt: skip
ARCHITECTURES = (
    "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
)  # fmt: skip
FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)  # fmt: skip
RECEIVER = "run.oci.seccomp.receiver"  # crun's annotation: a listenerPath from outside of the section
LAST_ARGUMENT = 5  # struct seccomp_data, args[6]
LONGEST_ADDRESS = 107  # bytes of an AF_UNIX path (unix(7))


def listener_path(spec: Any) -> str:
    """Where the listener of SCMP_ACT_NOTIFY goes: the section's listenerPath, or else crun's annotation."""
    path: str = spec.get("linux", {}).get("seccomp", {}).get("listenerPath", "")
    return path or spec.get("annotations", {}).get(RECEIVER, "")


def asks_somebody(section: Any) -> bool:
    """Is SCMP_ACT_NOTIFY used?"""
    notify = "SCMP_ACT_NOTIFY"
    return section.get("defaultAction") == notify or any(
        rule["action"] == notify for rule in section.get("syscalls", ())
    )


def listener_of(spec: Any) -> str:
    """Where this container's filter has its questions answered; "" if it asks nobody.

    Nobody reads a program that is given as it is: the receiver that comes with it says that it asks.
    """
    annotations = spec.get("annotations", {})
    section = spec.get("linux", {}).get("seccomp", {})
    asks = RECEIVER in annotations if annotations.get(RAW_FILTER) else asks_somebody(section)
    return listener_path(spec) if asks else ""


def seccomp(spec: Any, problems: Problems) -> None:
    section = spec.get("linux", {}).get("seccomp")
    if not section:
        return
    if "defaultAction" not in section:
        problems.add(f"{AT}/defaultAction", "is missing")
    elif "defaultErrnoRet" in section and section["defaultAction"] not in WITH_ERRNO:
        problems.add(f"{AT}/defaultErrnoRet", f"{section['defaultAction']} returns no errno")
    for index, rule in enumerate(section.get("syscalls", ())):
        one_rule(rule, f"{AT}/syscalls/{index}", problems)
    listener(spec, section, problems)


def one_rule(rule: Any, at: str, problems: Problems) -> None:
    names = rule["names"]
    if not names:
        problems.add(f"{at}/names", "must not be empty")
    if not all(names) or not "".join(["n", *names]).replace("_", "").isalnum():  # all at once: there may be hundreds
        for index, name in enumerate(names):
            if not name.replace("_", "").isalnum():
                problems.add(f"{at}/names/{index}", f"{name!r} is not a system call's name")
    if "errnoRet" in rule and rule["action"] not in WITH_ERRNO:
        problems.add(f"{at}/errnoRet", f"{rule['action']} returns no errno")
    for index, condition in enumerate(rule.get("args", ())):
        if condition["index"] > LAST_ARGUMENT:
            problems.add(f"{at}/args/{index}/index", f"must be from 0 to {LAST_ARGUMENT}, not {condition['index']}")


def listener(spec: Any, section: Any, problems: Problems) -> None:
    """A path is needed for SCMP_ACT_NOTIFY only, and may be there without it (Seccomp, listenerPath)."""
    path = listener_path(spec)
    if "listenerMetadata" in section and not path:
        problems.add(f"{AT}/listenerMetadata", "needs listenerPath")
    if asks_somebody(section) and not path:
        problems.add(f"{AT}/listenerPath", "is missing: SCMP_ACT_NOTIFY has to ask somebody")
    elif path and not path.startswith("/"):
        problems.add(f"{AT}/listenerPath", f"must be an absolute path, not {path!r}")
    elif len(path.encode()) > LONGEST_ADDRESS:
        problems.add(f"{AT}/listenerPath", f"is longer than {LONGEST_ADDRESS} bytes, the most that a socket's can be")


ALL = (seccomp,)
