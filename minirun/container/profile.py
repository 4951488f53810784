"""A seccomp profile as docker's --security-opt seccomp=FILE has it -> /linux/seccomp of config.json.  PURE.

docker's form is config.json's with ``archMap``, and for each rule ``includes`` and ``excludes``: architectures,
capabilities and a least kernel for which it holds.  config.json's own form is taken, too.
"""

from __future__ import annotations

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}
KEPT = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


def section(document: Any, held: list[str], machine: str, kernel: tuple[int, int], path: str) -> dict[str, Any]:
    if not isinstance(document, dict) or not isinstance(document.get("defaultAction"), str):
        raise broken(path, "it has no defaultAction")
    made = {member: document[member] for member in KEPT if document.get(member) is not None}
    short, arch = NAMES.get(machine, (machine, ""))
    if document.get("architectures"):
        made["architectures"] = document["architectures"]
    for entry in listed(document, "archMap", path):
        if entry.get("architecture") == arch:
            made["architectures"] = [arch, *(entry.get("subArchitectures") or [])]
    made["syscalls"] = [
        plain(rule, path)
        for rule in listed(document, "syscalls", path)
        if holds(rule, short, held, kernel, path)
    ]  # fmt: skip
    return made


def listed(document: dict[str, Any], member: str, path: str) -> list[dict[str, Any]]:
    found = document.get(member) or []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise broken(path, f"{member} is not a list of objects")
    return found


def holds(rule: dict[str, Any], arch: str, held: list[str], kernel: tuple[int, int], path: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if not isinstance(includes, dict) or not isinstance(excludes, dict):
        raise broken(path, "includes and excludes must be objects")
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if any(name.removeprefix("CAP_") not in held for name in includes.get("caps") or ()):
        return False
    if includes.get("minKernel") and kernel < version(str(includes["minKernel"]), path):
        return False
    if arch in (excludes.get("arches") or ()):
        return False
    if excludes.get("minKernel") and kernel >= version(str(excludes["minKernel"]), path):
        return False
    return not any(name.removeprefix("CAP_") in held for name in excludes.get("caps") or ())


def version(text: str, path: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    minor = minor.partition(".")[0]
    if not major.isdigit() or not minor.isdigit():
        raise broken(path, f"{text!r} is not a kernel's version")
    return int(major), int(minor)


def plain(rule: dict[str, Any], path: str) -> dict[str, Any]:
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
    if not names or not rule.get("action"):
        raise broken(path, "a rule has no names or no action")
    made = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        made["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        made["args"] = rule["args"]
    return made


def broken(path: str, reason: str) -> MinirunError:
    return MinirunError(f"cannot use the seccomp profile {path}", reason=reason)
