"""System call filters for the tests: podman's default profile as an engine would hand it over, and small ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench import usual

Json = dict[str, Any]


def default(*capabilities: str) -> Json:
    """What podman would hand over for these capabilities."""
    found = usual.profile(*capabilities)
    if found is None:
        pytest.skip(f"no {usual.PODMANS} (package golang-github-containers-common)")
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
