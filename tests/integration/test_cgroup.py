"""cgroupsPath, limits, update, pause and resume, events: checked in the files of the cgroup itself."""

from __future__ import annotations

import json
import os
import select
import subprocess
import uuid
from pathlib import Path

import pytest

from minirun.cgroups import tree
from minirun.cgroups.watch import Watch
from minirun.facts import find_cgroup_root
from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import ask, outside

pytestmark = pytest.mark.needs("root", "busybox")

ROOT = Path(find_cgroup_root() or "/nonexistent")
PAGES = "hugetlb.2MB.max"
TWO_MB = 2 << 20


def controllers() -> list[str]:
    return (ROOT / "cgroup.controllers").read_text().split()


def need(controller: str) -> None:
    if controller not in controllers():
        pytest.skip(f"no {controller} controller in cgroup v2 here")


def cgroup_of(pid: int) -> Path:
    line = next(line for line in outside(pid, "cgroup").splitlines() if line.startswith("0::"))
    return ROOT / line[4:]


def started(minirun: Runtime, bundle: Bundle) -> tuple[str, Path]:
    name = minirun.start(bundle.args("/probe", "pause"))
    return name, cgroup_of(minirun.state(name)["pid"])


def test_default_path(minirun: Runtime, bundle: Bundle) -> None:
    name, directory = started(minirun, bundle)
    assert directory == ROOT / "minirun" / name
    minirun("delete", "--force", name)
    assert not directory.exists()


@pytest.mark.parametrize("form", ["/{}", "/{}/deep/er", "{}", "{}/deep", "//{}/./x//"])
def test_given_paths(minirun: Runtime, bundle: Bundle, form: str) -> None:
    """Absolute from the mount, relative from minirun's own; what was made is removed, and nothing else."""
    top = f"minirun-test-{uuid.uuid4().hex[:8]}"
    bundle.config["linux"]["cgroupsPath"] = form.format(top)
    name, directory = started(minirun, bundle)
    base = ROOT if form.startswith("/") else ROOT / "minirun"
    expected = base / form.format(top).strip("/").replace("/./", "/").replace("//", "/")
    assert directory == expected
    minirun("delete", "--force", name)
    assert not (base / top).exists() and ROOT.exists()


def test_siblings_below_one_parent(minirun: Runtime, bundle: Bundle) -> None:
    """A pod's containers: the first one's deletion leaves the other's parent."""
    top = f"minirun-test-{uuid.uuid4().hex[:8]}"
    bundle.config["linux"]["cgroupsPath"] = f"/{top}/one"
    first, _ = started(minirun, bundle)
    bundle.config["linux"]["cgroupsPath"] = f"/{top}/two"
    second, directory = started(minirun, bundle)
    minirun("delete", "--force", first)
    assert directory.exists() and not (ROOT / top / "one").exists()
    minirun("delete", "--force", second)
    (ROOT / top).rmdir() if (ROOT / top).exists() else None


def test_a_parent_that_was_there_stays(minirun: Runtime, bundle: Bundle) -> None:
    top = ROOT / f"minirun-test-{uuid.uuid4().hex[:8]}"
    top.mkdir()
    try:
        bundle.config["linux"]["cgroupsPath"] = f"/{top.name}/inner"
        assert ask(minirun, bundle, "pid") == ["1"]
        assert top.exists() and not (top / "inner").exists()
    finally:
        top.rmdir()


def test_an_occupied_cgroup_is_refused(minirun: Runtime, bundle: Bundle) -> None:
    name, directory = started(minirun, bundle)
    bundle.config["linux"]["cgroupsPath"] = f"/minirun/{name}"
    done = minirun.run(bundle)
    assert done.returncode == 125 and "another container" in done.stderr
    assert minirun.state(name)["status"] == "running" and directory.exists()


def test_cgroup_namespace_and_view(minirun: Runtime, bundle: Bundle) -> None:
    seen = ask(minirun, bundle, "cgroup", "cat /sys/fs/cgroup/cgroup.procs", "openrw /sys/fs/cgroup/cgroup.procs")
    assert seen[0].splitlines()[-1] == "0::/"
    assert seen[1:] == ["1", "EROFS"]


def test_hugetlb_limit(minirun: Runtime, bundle: Bundle) -> None:
    need("hugetlb")
    bundle.config["linux"]["resources"]["hugepageLimits"] = [{"pageSize": "2MB", "limit": 4 * TWO_MB}]
    _, directory = started(minirun, bundle)
    assert (directory / PAGES).read_text() == f"{4 * TWO_MB}\n"
    assert (directory / "hugetlb.2MB.rsvd.max").read_text() == f"{4 * TWO_MB}\n"


def test_a_limit_without_its_controller(minirun: Runtime, bundle: Bundle) -> None:
    """An error that names it: running without the limit would be a lie."""
    absent = [name for name in ("pids", "memory", "cpu", "io") if name not in controllers()]
    members: Json = {
        "pids": {"pids": {"limit": 5}}, "memory": {"memory": {"limit": 1 << 26}}, "cpu": {"cpu": {"shares": 100}},
        "io": {"blockIO": {"weight": 100}},
    }  # fmt: skip
    for name in absent:
        bundle.config["linux"]["resources"] = members[name]
        done = minirun.run(bundle)
        assert done.returncode == 125 and f"the {name} controller" in done.stderr, done.stderr
        assert "/linux/resources/" in done.stderr


def test_unified(minirun: Runtime, bundle: Bundle) -> None:
    need("hugetlb")
    bundle.config["linux"]["resources"]["unified"] = {PAGES: str(TWO_MB)}
    _, directory = started(minirun, bundle)
    assert (directory / PAGES).read_text() == f"{TWO_MB}\n"


@pytest.mark.parametrize("key", ["cgroup.procs", "hugetlb/../x", "nodot", "nothere.max", "hugetlb.nothere"])
def test_unified_refusals(minirun: Runtime, bundle: Bundle, key: str) -> None:
    bundle.config["linux"]["resources"]["unified"] = {key: "1"}
    done = minirun.run(bundle)
    assert done.returncode == 125 and "/linux/resources/unified/" in done.stderr


def test_a_value_the_kernel_refuses(minirun: Runtime, bundle: Bundle) -> None:
    need("hugetlb")
    bundle.config["linux"]["resources"]["unified"] = {PAGES: "many"}
    done = minirun.run(bundle)
    assert done.returncode == 125 and "EINVAL" in done.stderr and PAGES in done.stderr
    assert not (ROOT / "minirun" / minirun.used[-1]).exists()


@pytest.mark.parametrize("form", ["-r -", "--resources=-", "-r FILE"])
def test_update_from_a_document(minirun: Runtime, bundle: Bundle, form: str) -> None:
    """Also where create had not enabled the controller."""
    need("hugetlb")
    name, directory = started(minirun, bundle)
    document = json.dumps({"hugepageLimits": [{"pageSize": "2MB", "limit": TWO_MB}], "unknown": 1})
    (bundle.path / "FILE").write_text(document)
    words = form.replace("FILE", str(bundle.path / "FILE")).split()
    with open(bundle.path / "FILE") as source:
        done = minirun("update", *words, name, stdin=source)
    assert done.returncode == 0, done.stderr
    assert (directory / PAGES).read_text() == f"{TWO_MB}\n"
    assert minirun.state(name)["status"] == "running"


def test_update_by_flags(minirun: Runtime, bundle: Bundle) -> None:
    """Every flag reaches its file, or the error names the controller that is not there."""
    name, directory = started(minirun, bundle)
    flags = {
        "--pids-limit=7": {"pids.max": "7"}, "--memory=67108864": {"memory.max": "67108864"},
        "--cpu-share=2": {"cpu.weight": "1"}, "--cpuset-cpus=0": {"cpuset.cpus": "0"},
        "--blkio-weight=50": {"io.bfq.weight": "default 50", "io.weight": "default 405"},  # the first that is there
    }  # fmt: skip
    for flag, files in flags.items():
        done = minirun("update", flag, name)
        controller = next(iter(files)).partition(".")[0]
        if controller in controllers():
            assert done.returncode == 0, done.stderr
            file = next(file for file in files if (directory / file).exists())
            assert (directory / file).read_text().strip() == files[file]
        else:
            assert done.returncode == 125 and controller in done.stderr, flag


@pytest.mark.parametrize("flag", ["--memory=1x", "--pids-limit=", "--cpu-share=-1", "--cpu-quota=0x10", "--no-such=1"])
def test_update_refuses_odd_values(minirun: Runtime, bundle: Bundle, flag: str) -> None:
    name, _ = started(minirun, bundle)
    assert minirun("update", flag, name).returncode == 2


def test_update_of_what_does_not_run(minirun: Runtime, bundle: Bundle) -> None:
    done = minirun("update", "--pids-limit=1", "nobody")
    assert done.returncode == 125 and "does not exist" in done.stderr
    bad = minirun("update", "-r", "/no/such/file", "nobody")
    assert bad.returncode == 125 and "/no/such/file" in bad.stderr


def test_pause_and_resume(minirun: Runtime, bundle: Bundle) -> None:
    name, directory = started(minirun, bundle)
    assert minirun("pause", name).returncode == 0
    assert "frozen 1" in (directory / "cgroup.events").read_text()
    assert minirun.state(name)["status"] == "paused"
    again = minirun("pause", name)
    assert again.returncode == 125 and "paused" in again.stderr
    refused = minirun("exec", name, "/probe", "pid")
    assert refused.returncode == 125 and "paused" in refused.stderr
    assert minirun("resume", name).returncode == 0
    assert "frozen 0" in (directory / "cgroup.events").read_text()
    assert minirun.state(name)["status"] == "running"
    assert minirun("resume", name).returncode == 125
    assert minirun("exec", name, "/probe", "pid").returncode == 0


def test_a_paused_container_can_be_killed_and_deleted(minirun: Runtime, bundle: Bundle) -> None:
    name, directory = started(minirun, bundle)
    minirun("pause", name)
    assert minirun("kill", name, "KILL").returncode == 0
    assert minirun("delete", "--force", name).returncode == 0
    assert not directory.exists()


def test_events_stats(minirun: Runtime, bundle: Bundle) -> None:
    """The shape that containerd and runc's users read."""
    name, _ = started(minirun, bundle)
    row = json.loads(minirun("events", "--stats", name).stdout)
    assert (row["type"], row["id"]) == ("stats", name)
    assert {"cpu", "memory", "pids", "blkio", "hugetlb"} <= set(row["data"])
    assert set(row["data"]["cpu"]["usage"]) >= {"total", "kernel", "user"} and row["data"]["cpu"]["usage"]["total"] > 0
    assert set(row["data"]["memory"]["usage"]) == {"limit", "usage", "max", "failcnt"}
    assert row["data"]["pids"] == {"current": 1, "limit": 0}, "counted where there is no controller"
    psi = row["data"]["cpu"]["psi"]["some"]
    assert set(psi) == {"avg10", "avg60", "avg300", "total"} and isinstance(psi["total"], int)
    assert {"cpuset", "intel_rdt", "network_interfaces"} <= set(row["data"])


def test_events_follow(minirun: Runtime, bundle: Bundle) -> None:
    """A line every interval until the container ends."""
    name, _ = started(minirun, bundle)
    argv = [str(minirun.program), "--root", str(minirun.root), "events", "--interval", "50ms", name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline()) for _ in range(2)]
        minirun("kill", name, "KILL")
        assert process.wait(10) == 0
    assert [row["type"] for row in rows] == ["stats", "stats"]
    assert minirun("events", "--interval", "soon", name).returncode == 2


def test_threads_are_found(minirun: Runtime, bundle: Bundle) -> None:
    """A threaded child has no cgroup.procs to read: ps and kill --all see its processes all the same."""
    name, directory = started(minirun, bundle)
    pid = minirun.state(name)["pid"]
    (directory / "threads").mkdir()
    (directory / "threads" / "cgroup.type").write_text("threaded")
    (directory / "threads" / "cgroup.threads").write_text(str(pid))
    with pytest.raises(OSError):
        (directory / "threads" / "cgroup.procs").read_text()
    assert tree.processes(str(directory / "threads")) == [pid]
    assert json.loads(minirun("ps", "-f", "json", name).stdout) == [pid]


def test_exec_among_threads(minirun: Runtime, bundle: Bundle) -> None:
    """A child beside a threaded one is of no valid type until it is made threaded itself: explained."""
    name, directory = started(minirun, bundle)
    (directory / "threads").mkdir()
    (directory / "threads" / "cgroup.type").write_text("threaded")
    (directory / "other").mkdir()
    assert (directory / "other" / "cgroup.type").read_text() == "domain invalid\n"
    done = minirun("exec", "--cgroup", "other", name, "/probe", "pid")
    assert done.returncode == 125 and "ENOTSUP" in done.stderr and "of an invalid type" in done.stderr, done.stderr


def test_a_frozen_cgroup_is_refused(minirun: Runtime, bundle: Bundle) -> None:
    """Itself, or a directory above: init would stop before its first instruction, and create with it."""
    top = ROOT / f"minirun-test-{uuid.uuid4().hex[:8]}"
    top.mkdir()
    try:
        (top / "cgroup.freeze").write_text("1")
        for path in (top.name, f"{top.name}/inner"):
            bundle.config["linux"]["cgroupsPath"] = f"/{path}"
            done = minirun.run(bundle)
            assert done.returncode == 125 and "it is frozen" in done.stderr and "/linux/cgroupsPath" in done.stderr
            assert top.exists() and not (top / "inner").exists()
    finally:
        top.rmdir()


def test_a_counter_is_waited_for(minirun: Runtime, bundle: Bundle) -> None:
    """As events waits for memory.events: woken by the kernel, not by a clock."""
    name, directory = started(minirun, bundle)
    watch = Watch(str(directory), "cgroup.events", "frozen")
    assert watch.fd >= 0 and not watch.grown()
    poller = select.poll()
    poller.register(watch.fd, select.POLLPRI)
    assert poller.poll(50) == []
    minirun("pause", name)
    assert poller.poll(5000) and watch.grown() and not watch.grown()
    assert poller.poll(50) == []
    minirun("delete", "--force", name)
    assert poller.poll(5000) and not watch.grown() and watch.gone
    os.close(watch.fd)
    assert Watch(str(directory), "memory.events", "oom_kill").fd == -1
