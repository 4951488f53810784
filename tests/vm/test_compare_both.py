"""minirun compare with a real machine: one run of each, and what must differ between them does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bundle, Runtime, require

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox", "guest")]


@pytest.fixture
def data(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> dict[str, Any]:
    page = str(tmp_path / "page.html")
    words = ["--runs", "1", "--json", "--html", page, "--", "sh", "-c", "echo one; exit 3"]
    done = minirun("compare", str(bundle.write()), *words, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "vm" in (tmp_path / "page.html").read_text()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_same_bundle_in_both(data: dict[str, Any]) -> None:
    """One test, because a machine's boot is slow in the lab."""

    def cells(name: str) -> tuple[Any, Any]:
        (row,) = [row for row in data["rows"] if row["name"] == name]
        container, vm = (row["cells"][isolation] for isolation in ("container", "vm"))
        return container["values"] or container["text"], vm["values"] or vm["text"]

    assert cells("code") == ("3", "3") and data["notes"][0] == "Output and exit code are the same in all runs."
    assert cells("pid1") == ("minirun-measure", "minirun-measure") and cells("processes") == ("3", "3")
    assert cells("host_processes")[0].startswith("3: minirun-measure")
    assert cells("host_processes")[1] == "1: minirun-vmm"
    assert cells("capabilities")[0] == cells("capabilities")[1]
    assert cells("memory")[0] != cells("memory")[1]
    assert not cells("guest_kib")[0] and 10 << 10 < cells("guest_kib")[1][0] < 300 << 10
    assert 1 << 10 < cells("vmm_kib")[1][0] < 40 << 10
    assert cells("exits_mmio")[1][0] > 10
    assert cells("first_ms")[0][0] < cells("first_ms")[1][0]
    require("strace")
    container, machine = cells("caused_calls")
    assert container[0] > 900 and machine[0] < 500, "a program's system calls are the guest kernel's"
