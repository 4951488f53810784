"""A second witness for filters: every system call there is, under runc and under minirun, with the same profile."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Json
from tests.integration.profiles import argument, default, number, profile, rule
from tests.integration.test_like_runc import Runtime, run_both

pytestmark = [
    pytest.mark.needs("root", "busybox", "runc", "seccomp"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are x86_64's"),
]

# Not made: what ends or doubles the probe, returns to a signal that was none, waits for ever, or writes all disks.
LEFT_OUT = ["exit", "exit_group", "fork", "vfork", "rt_sigreturn", "pause", "sync"]
PROBES = {"335", "336"}  # uretprobe and uprobe end whoever did not come from one
LAST = 475  # beyond every call that a profile names
MINUS_ONE = "0xffffffffffffffff"


@pytest.fixture
def both(tmp_path: Path) -> tuple[Runtime, Runtime]:
    return Runtime("runc", "runc", tmp_path), Runtime("minirun", str(MINIRUN), tmp_path)


def questions() -> tuple[str, ...]:
    """With arguments that no call can do anything with."""
    left_out = {number(name) for name in LEFT_OUT} | PROBES
    numbers = [str(n) for n in range(LAST) if str(n) not in left_out]
    return tuple(f"call {n} {' '.join([MINUS_ONE] * 6)}" for n in numbers)


def small() -> Json:
    """Conditions of every kind; x86 and x32 as well.  A default that refuses would be in runc's own way."""
    low = 0xFFFFFFFF
    return profile(
        rule("ERRNO", "getppid", args=[argument(0, "EQ", (1 << 64) - 1)], errno=5),
        rule("ERRNO", "getpgrp", args=[argument(1, "GT", 1 << 63), argument(2, "NE", 1)], errno=6),
        rule("ERRNO", "getuid", args=[argument(0, "LT", 7), argument(0, "GE", low)], errno=7),
        rule("ERRNO", "getgid", args=[argument(5, "MASKED_EQ", low << 32, low << 32)], errno=8),
        rule("ALLOW", "geteuid", "statx", args=[argument(3, "LE", 5)]),
        rule("TRACE", "getegid", errno=9),
        rule("LOG", "gettid", "getsid"),
        action="LOG",
        architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    )


@pytest.mark.parametrize("kind", ["podman's", "podman's, EPERM", "small"])
@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_every_call(both: tuple[Runtime, Runtime], bundle: Bundle, kind: str, no_new_privileges: bool) -> None:
    """The second: EPERM for what the profile does not name, ENOSYS for what it cannot know yet."""
    section = default() if kind.startswith("podman") else small()
    if kind.endswith("EPERM"):
        section["defaultErrnoRet"] = 1
    bundle.config["linux"]["seccomp"] = section
    bundle.config["process"]["noNewPrivileges"] = no_new_privileges
    run_both(both, bundle, questions())
