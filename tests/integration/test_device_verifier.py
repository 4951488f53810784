"""The kernel's verifier takes every program that rules can make: dead code and bad jumps are refused at load."""

from __future__ import annotations

import os

import pytest

from minirun.cgroups.device_program import compile_rules
from minirun.plan.devices import ALWAYS_ALLOWED

pytestmark = pytest.mark.needs("root")

LISTS = {
    "nothing": [],
    "allow all": ["allow a *:* rwm"],
    "deny all": ["deny a *:* rwm"],
    "the default": ["deny a *:* rwm", *ALWAYS_ALLOWED],
    "privileged": ["deny a *:* rwm", "allow a *:* rwm", *ALWAYS_ALLOWED],
    "one type only": ["allow b 8:* rw"],
    "partly": ["allow c 1:3 r", "deny c 1:* w", "allow a 5:1 m", "deny b *:* m"],
    "same major, both verdicts": ["allow c 1:3 rwm", "deny c 1:5 rwm", "allow c 1:7 rwm", "deny c 1:* rwm"],
    "many": [f"allow c {major}:{minor} rw" for major in range(20) for minor in range(20)],
    "largest numbers": ["allow c 4294967295:4294967295 rwm", "deny b 2147483648:* rwm"],
}


@pytest.mark.parametrize("name", LISTS)
def test_verifier_accepts(name: str) -> None:
    from minirun.linux.bpf import load_device_program

    os.close(load_device_program(compile_rules(LISTS[name])))
