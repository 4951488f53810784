"""The seccomp profile that podman hands to a runtime if nobody says otherwise; docker's has the same rules."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

Json = dict[str, Any]
PODMANS = Path("/usr/share/containers/seccomp.json")  # package golang-github-containers-common
# How the profile calls an architecture.
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def profile(*capabilities: str) -> Json | None:
    """/linux/seccomp for a process with these capabilities; None if the package is not here.

    An engine decides what depends on the machine and on the capabilities; a runtime gets what is left.
    """
    if not PODMANS.exists():
        return None
    whole = json.loads(PODMANS.read_text())
    machine = MACHINES[platform.machine()]
    held = set(capabilities)

    def wanted(rule: Json) -> bool:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        if "arches" in includes and machine not in includes["arches"]:
            return False
        if "caps" in includes and not held & set(includes["caps"]):
            return False
        return machine not in excludes.get("arches", []) and not held & set(excludes.get("caps", []))

    names = ("names", "action", "errnoRet", "args")
    rules = [{n: rule[n] for n in names if rule.get(n) not in (None, [])} for rule in whole["syscalls"] if wanted(rule)]
    own = next(row for row in whole["archMap"] if row["architecture"].lower().endswith(platform.machine()))
    found = {
        "defaultAction": whole["defaultAction"],
        "architectures": [own["architecture"], *own["subArchitectures"]],
        "syscalls": rules,
    }
    if "defaultErrnoRet" in whole:
        found["defaultErrnoRet"] = whole["defaultErrnoRet"]
    return found
