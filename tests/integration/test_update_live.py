"""update: all of it or nothing, and the device filter of a running container, replaced in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from minirun.facts import find_cgroup_root
from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import ask_in, mark

pytestmark = pytest.mark.needs("root", "busybox")

ROOT = Path(find_cgroup_root() or "/nonexistent")
TWO_MB = 2 << 20
KMSG: Json = {"type": "c", "major": 1, "minor": 11, "access": "rwm"}


@pytest.fixture
def running(minirun: Runtime, bundle: Bundle) -> str:
    """A container that may make nodes and read the kernel's log, if the filter lets it."""
    mark(bundle)
    sets = dict.fromkeys(("bounding", "effective", "permitted"), ["CAP_MKNOD", "CAP_SYSLOG"])
    bundle.config["process"]["capabilities"] = sets
    for mount in bundle.config["mounts"]:
        if mount["destination"] == "/dev/shm":
            mount["options"].remove("nodev")
    return minirun.start(bundle.args("/probe", "pause"))


def updated(minirun: Runtime, name: str, tmp_path: Path, document: Json) -> tuple[int, str]:
    (tmp_path / "resources").write_text(json.dumps(document))
    done = minirun("update", "-r", tmp_path / "resources", name)
    return done.returncode, done.stderr


def programs(name: str) -> int:
    """How many device programs are attached to the container's cgroup."""
    from minirun.linux import ffi, lib

    fd = os.open(ROOT / "minirun" / name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return int(lib.minirun_bpf_query(fd, ffi.new("uint32_t[64]"), 64))
    finally:
        os.close(fd)


def test_device_rules(minirun: Runtime, running: str, tmp_path: Path) -> None:
    """Denied, allowed, denied again; there is one program all the time."""
    ask_in(minirun, running, "mknod /dev/shm/k c 1 11")
    assert ask_in(minirun, running, "openrw /dev/shm/k") == ["EPERM"]
    allowed: Json = {"devices": [{"allow": False, "access": "rwm"}, {"allow": True, **KMSG}]}
    assert updated(minirun, running, tmp_path, allowed) == (0, "")
    assert ask_in(minirun, running, "openrw /dev/shm/k", "openrw /dev/null") == ["ok", "ok"]
    assert programs(running) == 1
    assert updated(minirun, running, tmp_path, {"devices": [], "cpu": {"quota": 0}}) == (0, "")
    assert ask_in(minirun, running, "openrw /dev/shm/k") == ["ok"], "no rules are no change, as in runc"
    assert updated(minirun, running, tmp_path, {"devices": [{"allow": False}]}) == (0, "")
    assert ask_in(minirun, running, "openrw /dev/shm/k", "openrw /dev/null") == ["EPERM", "ok"]
    assert programs(running) == 1


def test_anothers_program_stays(minirun: Runtime, running: str, tmp_path: Path) -> None:
    """Somebody else (systemd, a GPU's hook) attached one to the same cgroup: it is not ours to replace."""
    from minirun.cgroups.device_program import compile_rules
    from minirun.linux import bpf

    bpf.NAME, own = b"somebody_else", bpf.NAME
    try:
        program = bpf.load_device_program(compile_rules(["allow a *:* rwm", "deny c 1:5 rwm"]))
    finally:
        bpf.NAME = own
    cgroup = os.open(ROOT / "minirun" / running, os.O_RDONLY | os.O_DIRECTORY)
    try:
        bpf.attach_device_program(cgroup, program)
    finally:
        os.close(cgroup)
        os.close(program)
    assert updated(minirun, running, tmp_path, {"devices": [{"allow": True}]}) == (0, "")
    assert programs(running) == 2
    assert ask_in(minirun, running, "openrw /dev/zero", "openrw /dev/null") == ["EPERM", "ok"]


def test_all_or_nothing(minirun: Runtime, running: str, tmp_path: Path) -> None:
    """The third write is refused: the first two are undone, and the filter is not touched."""
    if "hugetlb" not in (ROOT / "cgroup.controllers").read_text().split():
        pytest.skip("no hugetlb controller in cgroup v2 here")
    pages: Json = {"hugepageLimits": [{"pageSize": "2MB", "limit": TWO_MB}]}
    assert updated(minirun, running, tmp_path, pages)[0] == 0
    wrong: Json = {
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 * TWO_MB}],
        "unified": {"hugetlb.1GB.max": "many"},
        "devices": [{"allow": True}],
    }
    code, said = updated(minirun, running, tmp_path, wrong)
    assert code == 125 and "cannot set hugetlb.1GB.max = many" in said and "3 of 4, host, write(2) -> EINVAL" in said
    cgroup = ROOT / "minirun" / running
    assert (cgroup / "hugetlb.2MB.max").read_text() == (cgroup / "hugetlb.2MB.rsvd.max").read_text() == f"{TWO_MB}\n"
    ask_in(minirun, running, "mknod /dev/shm/k c 1 11")
    assert ask_in(minirun, running, "openrw /dev/shm/k") == ["EPERM"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--memory=64m", "memory.max needs the memory controller"),
        ("--memory=1mm", "wants a size"),
        ("--memory-swap=-2", "wants a size"),
        ("--memory=99999999p", "must be from"),
    ],
)
def test_sizes(minirun: Runtime, running: str, flag: str, words: str) -> None:
    """Units as runc reads them; on a host with the memory controller the first is simply done."""
    done = minirun("update", flag, running)
    if "memory" in (ROOT / "cgroup.controllers").read_text().split() and "64m" in flag:
        assert (ROOT / "minirun" / running / "memory.max").read_text() == f"{64 << 20}\n"
    else:
        assert done.returncode in (2, 125) and words in done.stderr
