"""minirun compare with a real machine and a sandbox: one run of each, and what must differ between them does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bundle, Runtime, require

pytestmark = [pytest.mark.needs("root", "busybox", "kvm")]


def compared(minirun: Runtime, bundle: Bundle, page: Path, other: str) -> Any:
    """A function from a row's name to the answers of the container and of ``other``."""
    words = ["--runs", "1", "--json", "--html", str(page), "--isolation", f"container,{other}"]
    done = minirun("compare", str(bundle.write()), *words, "--", "sh", "-c", "echo one; exit 3", timeout=280)
    assert done.returncode == 0, done.stderr
    assert other in page.read_text()
    data = json.loads(done.stdout)
    assert data["notes"][0] == "Output and exit code are the same in all runs."

    def cells(name: str) -> tuple[Any, Any]:
        (row,) = [row for row in data["rows"] if row["name"] == name]
        container, second = (row["cells"][isolation] for isolation in ("container", other))
        return container["values"] or container["text"], second["values"] or second["text"]

    return cells


def test_the_same_bundle_in_a_sandbox(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    cells = compared(minirun, bundle, tmp_path / "page.html", "sandbox")
    assert cells("code") == ("3", "3") and cells("kernel")[0] == cells("kernel")[1]
    assert cells("pid1") == ("minirun-measure", "minirun-measure") and cells("processes") == ("3", "3")
    assert cells("host_processes")[0] == cells("host_processes")[1], "a process of the program's is one of the host's"
    assert not cells("guest_kib")[0] and 0 < cells("guest_kib")[1][0] < 4 << 10
    assert 1 << 10 < cells("vmm_kib")[1][0] < 40 << 10
    assert cells("syscall_ns")[0][0] < cells("syscall_ns")[1][0]
    assert int(cells("may_ask")[1].partition(":")[0]) < int(cells("may_ask")[0].partition(":")[0])
    require("strace")
    container, sandbox = cells("caused_calls")
    assert container[0] > 900 and sandbox[0] > 900, "each is at least an exit of the VM: an ioctl"


@pytest.mark.lab
@pytest.mark.needs("guest")
def test_the_same_bundle_in_both(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """One test, because a machine's boot is slow in the lab."""
    cells = compared(minirun, bundle, tmp_path / "page.html", "vm")

    assert cells("code") == ("3", "3")
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
