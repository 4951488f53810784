"""From samples to rows, to a table: with a container and a machine that were never run; what watches real ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from minirun.lab import compare, figures, isolations, watch
from minirun.lab.figures import Cell, Measured, shown
from minirun.lab.runs import Timed
from minirun.lab.watch import Process, descendants, system_calls
from minirun.vm import probe
from tests.conftest import require
from tests.unit.compared import invented


@pytest.fixture
def data() -> dict[str, Any]:
    return invented()


def cells(data: dict[str, Any], name: str) -> dict[str, str]:
    (row,) = [row for row in compare.again(data)[1] if row.name == name]
    return {isolation: shown(cell, row.unit) for isolation, cell in row.cells.items()}


def test_rows_say_what_was_measured(data: dict[str, Any]) -> None:
    assert cells(data, "first_ms") == {
        "container": "11 (10-12) ms",
        "sandbox": "16.5 (15-18) ms",
        "vm": "600 (500-700) ms",
    }
    assert cells(data, "program_kib") == {"container": "40 KiB", "sandbox": "", "vm": ""}
    assert cells(data, "guest_kib") == {"container": "", "sandbox": "200 KiB", "vm": "78.1 MiB"}
    assert cells(data, "vmm_kib")["vm"] == "9.77 MiB"
    assert cells(data, "syscall_ns")["vm"] == "130 (120-140) ns"
    assert cells(data, "caused_calls") == {"container": "1000", "sandbox": "2000", "vm": "0.50"}
    assert cells(data, "exits_mmio") == {"container": "", "sandbox": "", "vm": "300"}
    assert cells(data, "capabilities")["vm"] == "3 of 41"
    assert cells(data, "processes")["vm"] == "2"
    assert cells(data, "devices")["vm"] == "3: null tty*"
    assert cells(data, "host_processes") == {"container": "1: measure", "sandbox": "1: measure", "vm": "1: minirun-vmm"}
    assert cells(data, "may_ask") == {"container": "362: all", "sandbox": "190: its filter", "vm": ""}
    assert cells(data, "uptime")["vm"] == "0.51 s"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.4, "ns", "0.40 ns"), (1234, "ns", "1.23 µs"), (99.94, "ms", "99.9 ms"), (1500, "ms", "1.50 s"),
     (2048, "KiB", "2 MiB"), (7, "", "7"), (0, "KiB", "0 KiB")],
)  # fmt: skip
def test_numbers_have_three_digits_and_a_unit(value: float, unit: str, text: str) -> None:
    assert figures.number(value, unit) == text


def test_spread_is_in_the_unit_of_the_median() -> None:
    assert shown(Cell(values=(900.0, 1500.0, 2000.0)), "ms") == "1.50 (0.90-2) s"


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_the_table_keeps_to_its_columns(data: dict[str, Any], columns: int) -> None:
    text = compare.show(data, columns, coloured=False)
    assert max(len(line) for line in text.splitlines()) <= columns
    assert "x 54.5" in text and "A note." in text and "real" in text


def test_one_that_cannot_run_says_why(data: dict[str, Any]) -> None:
    found = [Measured(name="container", title="c", timed=[Timed(first=1, whole=2, code=0, output=b"")]),
             Measured(name="vm", title="v", lacking="there is no /dev/kvm")]  # fmt: skip
    rows = figures.rows(found)
    assert {row.name for row in rows} == {"first_ms", "whole_ms", "code"}
    assert rows[0].cells["vm"] == Cell()


@pytest.mark.parametrize(
    ("found", "kernel", "why"),
    [
        (probe.Probe(kind=probe.REAL), True, ""),
        (probe.Probe(kind=probe.EMULATED, rate=1.5), True, "1.5 million instructions"),
        (probe.Probe(kind="", error=FileNotFoundError(2, "No such file", "/dev/kvm")), True, "cannot open /dev/kvm"),
        (probe.Probe(kind=probe.REAL), False, "make guest-kernel"),
    ],
)
def test_why_there_is_no_machine(found, kernel: bool, why: str, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF")
    monkeypatch.setattr(probe, "look", lambda: found)
    monkeypatch.setattr("minirun.vm.kernel.CHECKOUT", str(tmp_path if kernel else tmp_path / "nowhere"))
    monkeypatch.setattr("minirun.vm.kernel.INSTALLED", str(tmp_path / "nowhere"))
    monkeypatch.setattr("minirun.vm.kernel.exists", lambda path: path.startswith(str(tmp_path)) and Path(path).exists())
    said = isolations.no_vm()
    assert why in said if why else not said


def test_a_bare_guest_stands_in_for_linux() -> None:
    bare = [isolations.Bare(build=1.0 + n, whole=2.0 + n, exits={"io": 1}) for n in range(3)]
    found = [
        Measured(name="container", title="c"),
        Measured(name="vm", title="v", lacking="KVM is emulated", bare=bare),
    ]
    rows = {row.name: shown(row.cells["vm"], row.unit) for row in figures.rows(found)}
    assert rows == {"bare_build_ms": "2 (1-3) ms", "bare_whole_ms": "3 (2-4) ms", "bare_exits_io": "1"}


@pytest.mark.needs("kvm")
def test_the_ladders_guest_is_measured_on_any_kvm() -> None:
    found = isolations.climbs(2)
    assert len(found) == 2 and all(0 < bare.build < bare.whole and bare.exits for bare in found)


def test_what_each_may_ask_of_the_host_is_counted() -> None:
    container, sandbox, vm = (int(row.asks().partition(":")[0]) for row in isolations.ISOLATIONS)
    assert (
        vm < sandbox < container and isolations.allowed(["default errno 1", "allow a b", "allow b where 0 == 1"]) == 3
    )


@pytest.mark.needs("kvm")
def test_a_sandbox_runs_on_any_kvm() -> None:
    assert isolations.no_kvm() == ""


def test_a_sandboxs_reservation_is_found_among_the_mappings() -> None:
    rows = [
        (0x1000, 0x2000),
        (0x10000, 0x20000),
        (0x20000, 0x20000 + (31 << 30)),
        (0x20000 + (31 << 30), 0x10000 + (32 << 30)),
    ]
    maps = "".join(f"{start:x}-{end:x} rw-p 00000000 00:00 0 \n" for start, end in [*rows, (40 << 30, 41 << 30)])
    assert watch.reservation(maps) == range(0x10000, 0x10000 + (32 << 30))
    assert not watch.reservation(maps.replace("rw-p", "r--p").partition("\n")[0])


def test_isolations_are_a_table() -> None:
    assert [row.name for row in isolations.chosen(())] == ["container", "sandbox", "vm"]
    assert [row.name for row in isolations.chosen(["vm"])] == ["vm"]
    with pytest.raises(KeyError):
        isolations.chosen(["sandbok"])


def test_descendants_are_found_with_their_memory() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    try:
        found: list[Process] = []
        while "sleep" not in {process.name for process in found}:
            found = descendants(os.getpid())
        assert {process.pid for process in found} >= {os.getpid(), child.pid}
        assert all(process.pss > 0 and process.guest == 0 for process in found if process.name == "sleep")
    finally:
        for process in descendants(child.pid):
            os.kill(process.pid, 9)
        child.wait()


def test_guest_memory_is_told_from_the_vmm() -> None:
    program = (
        "import os, mmap, sys; fd = os.memfd_create('minirun-guest'); os.truncate(fd, 64 << 20)\n"
        "m = mmap.mmap(fd, 64 << 20); m[: 8 << 20] = bytes(8 << 20); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(["python3", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        whole, guest = watch.memory(child.pid)
    assert 8 << 10 <= guest < 9 << 10 and guest < whole


def test_straces_table_is_read() -> None:
    require("strace")
    done = subprocess.run(["strace", "-f", "-qq", "-c", "-o", "/dev/stderr", "true"], capture_output=True, text=True)
    calls = system_calls(done.stderr)
    assert calls["execve"] == 1 and "total" not in calls
