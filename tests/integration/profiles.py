"""System call filters for the tests: podman's default profile as an engine would hand it over, and small ones."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]
PODMANS = Path("/usr/share/containers/seccomp.json")
# How the profile calls an architecture, and which it may run beside it.
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def default(*capabilities: str) -> Json:
    """The profile of containers/common (podman, buildah, cri-o; docker's has the same rules), for these capabilities.

    An engine decides what depends on the machine and on the capabilities; a runtime gets what is left.
    """
    if not PODMANS.exists():
        pytest.skip(f"no {PODMANS} (package golang-github-containers-common)")
    profile = json.loads(PODMANS.read_text())
    machine = MACHINES[platform.machine()]
    held = set(capabilities)

    def wanted(rule: Json) -> bool:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        if "arches" in includes and machine not in includes["arches"]:
            return False
        if "caps" in includes and not held & set(includes["caps"]):
            return False
        return machine not in excludes.get("arches", []) and not held & set(excludes.get("caps", []))

    rules = [
        {name: rule[name] for name in ("names", "action", "errnoRet", "args") if rule.get(name) not in (None, [])}
        for rule in profile["syscalls"]
        if wanted(rule)
    ]
    names = next([row["architecture"], *row["subArchitectures"]] for row in profile["archMap"]
                  if row["architecture"].lower().endswith(platform.machine()))  # fmt: skip
    found = {"defaultAction": profile["defaultAction"], "architectures": names, "syscalls": rules}
    if "defaultErrnoRet" in profile:
        found["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return found


def rule(action: str, *names: str, args: list[Json] | None = None, errno: int | None = None) -> Json:
    made: Json = {"names": list(names), "action": f"SCMP_ACT_{action}"}
    if args:
        made["args"] = args
    if errno is not None:
        made["errnoRet"] = errno
    return made


def argument(index: int, op: str, value: int, other: int = 0) -> Json:
    made: Json = {"index": index, "op": f"SCMP_CMP_{op}", "value": value}
    if other:
        made["valueTwo"] = other
    return made


def profile(*rules: Json, action: str = "ALLOW", **more: Any) -> Json:
    return {"defaultAction": f"SCMP_ACT_{action}", "syscalls": list(rules), **more}


def number(name: str, architecture: str = "") -> str:
    """A system call's number, by libseccomp."""
    from minirun.linux import libseccomp

    return str(libseccomp.number_on(libseccomp.architecture(architecture), name))
