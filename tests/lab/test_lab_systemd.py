"""The lab with systemd as its init: what the systemd driver of cgroups is tested against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import run

pytestmark = [pytest.mark.lab_systemd, pytest.mark.needs("root")]


def test_systemd_is_there_and_answers() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert run("busctl", "status", "org.freedesktop.systemd1").returncode == 0
    assert run("systemd-run", "--wait", "--quiet", "true").returncode == 0
