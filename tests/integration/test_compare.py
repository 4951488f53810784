"""minirun compare with real containers: what it prints, what it measures, and that it leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bundle, Runtime, require

pytestmark = pytest.mark.needs("root", "busybox")


def compared(minirun: Runtime, bundle: Bundle, *words: str) -> subprocess.CompletedProcess[str]:
    return minirun("compare", str(bundle.write()), "--isolation", "container", *words)


@pytest.fixture
def data(minirun: Runtime, bundle: Bundle, clean_host: None) -> dict[str, Any]:
    done = compared(minirun, bundle, "--runs", "2", "--json", "--", "sh", "-c", "echo one two; exit 3")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cell(data: dict[str, Any], name: str) -> Any:
    (row,) = [row for row in data["rows"] if row["name"] == name]
    return row["cells"]["container"]["values"] or row["cells"]["container"]["text"]


def test_what_is_measured_is_what_there_is(data: dict[str, Any]) -> None:
    (one,) = data["isolations"]
    assert [run["output"] for run in one["timed"]] == ["one two\n"] * 2 and cell(data, "code") == "3"
    assert len(cell(data, "first_ms")) == len(cell(data, "whole_ms")) == 2
    assert all(0 < first < whole for first, whole in zip(cell(data, "first_ms"), cell(data, "whole_ms"), strict=True))
    assert cell(data, "kernel") == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert cell(data, "pid1") == "minirun-measure" and cell(data, "own_pid") == "1"
    assert cell(data, "processes") == "3" and cell(data, "host_processes").startswith("3: minirun-measure ")
    assert cell(data, "capabilities") == "3 of 41"
    assert len(cell(data, "syscall_ns")) == 10 and min(cell(data, "syscall_ns")) > 10
    assert cell(data, "process_ns")[0] > cell(data, "read_ns")[0] > cell(data, "syscall_ns")[0]
    assert 0 < cell(data, "program_kib")[0] < cell(data, "total_kib")[0]


def test_system_calls_of_the_program_are_the_hosts(data: dict[str, Any]) -> None:
    require("strace")
    assert 900 < cell(data, "caused_calls")[0] < 1300
    assert cell(data, "host_calls")[0] > 100 and "openat2" in data["isolations"][0]["traced"]["0"]


def test_a_bundle_that_is_for_a_machine_is_compared_as_a_container(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"run.oci.handler": "krun"}
    done = compared(minirun, bundle, "--runs", "1", "--", "true")
    assert done.returncode == 0, done.stderr


def test_a_page_that_cannot_be_written_is_known_at_once(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    done = compared(minirun, bundle, "--html", str(tmp_path / "nowhere" / "page.html"))
    assert done.returncode == 125 and done.stderr.splitlines()[0].startswith("minirun: cannot write "), done.stderr


def test_the_table_and_the_page(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    done = compared(minirun, bundle, "--runs", "1", "--html", str(tmp_path / "page.html"), "--", "true")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "to its first" in text and "of 1 runs in turns" in text
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_the_bundle_is_not_written_to(minirun: Runtime, bundle: Bundle) -> None:
    bundle.write()
    before = {path: path.lstat().st_mtime_ns for path in bundle.path.rglob("*")}
    assert compared(minirun, bundle, "--runs", "1", "--", "true").returncode == 0
    assert {path: path.lstat().st_mtime_ns for path in bundle.path.rglob("*") if path.name != "config.json"} == {
        path: time for path, time in before.items() if path.name != "config.json"
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--isolation", "sandbok"), "there is no isolation 'sandbok'"),
        (("--runs", "0"), "--runs must be a number"),
        (("--", "/no/such/program"), "under container: there is no such program"),
    ],
)
def test_what_cannot_be_is_said(minirun: Runtime, bundle: Bundle, words: tuple[str, ...], message: str) -> None:
    done = minirun("compare", str(bundle.write()), *words)
    assert done.returncode in (2, 125) and message in done.stderr


def test_a_bundle_without_dev_is_refused(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/dev"]
    done = compared(minirun, bundle)
    assert done.returncode == 125 and "mounts no /dev" in done.stderr
