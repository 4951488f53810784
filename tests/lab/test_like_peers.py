"""runc and crun as second witnesses: the same resources give the same files, value by value.

Forty generated sections; each container is only created, its cgroup read, and deleted.  What may differ is in
``REASONS``, each with the condition under which it may; anything else that differs is a fault.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Json, run

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]

COUNT, SEED = 40, 11
ROOT = Path("/sys/fs/cgroup")
MEGA = 1 << 20
# What a file reads where nobody asked for anything; minirun does not even enable the controller then.
DEFAULTS = {
    "cpu.weight": "100", "cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.idle": "0",
    "cpuset.cpus": "", "cpuset.mems": "",
    "memory.max": "max", "memory.swap.max": "max", "memory.low": "0", "memory.high": "max", "memory.oom.group": "0",
    "pids.max": "max", "io.weight": "default 100", "io.max": "",
    "hugetlb.2MB.max": "max", "hugetlb.2MB.rsvd.max": "max",
}  # fmt: skip


def memory(chance: random.Random) -> Json:
    limit = chance.choice([16, 24, 48, 64, 100]) * MEGA
    given: Json = {"limit": chance.choice([limit, limit, limit, -1])}
    if chance.random() < 0.6:
        given["swap"] = chance.choice([given["limit"], -1, 2 * limit, limit + MEGA]) if given["limit"] > 0 else -1
    if chance.random() < 0.4:
        given["reservation"] = limit // 2
    return given | chance.choice([{}, {}, {"disableOOMKiller": False}])


def cpu(chance: random.Random) -> Json:
    given: Json = {}
    if chance.random() < 0.6:
        given["shares"] = chance.choice([0, 2, 10, 128, 512, 1024, 2048, 4096, 262144])
    if chance.random() < 0.7:
        given["quota"] = chance.choice([-1, 1000, 20000, 50000, 150000])
    if chance.random() < 0.5:
        given["period"] = chance.choice([1000, 50000, 100000, 1000000])
    if given.get("quota", 0) > 1000 and chance.random() < 0.4:
        given["burst"] = 5000
    if "shares" not in given and chance.random() < 0.3:
        given["idle"] = chance.choice([0, 1])
    if chance.random() < 0.4:
        given |= {"cpus": chance.choice(["0", "1", "0-1", "0,1"]), "mems": "0"}
    return given


def block(chance: random.Random) -> Json:
    given: Json = {"weight": chance.choice([10, 100, 333, 500, 1000])}
    if "MINIRUN_LAB_DISK" in os.environ:
        device = os.stat(os.environ["MINIRUN_LAB_DISK"]).st_dev
        for member in ("throttleReadBpsDevice", "throttleWriteIOPSDevice"):
            if chance.random() < 0.5:
                row: Json = {
                    "major": os.major(device),
                    "minor": os.minor(device),
                    "rate": chance.randrange(1, 9) * 4096,
                }
                given[member] = [row]
    return given


def section(chance: random.Random) -> Json:
    """Some of everything."""
    makers: dict[str, Callable[[random.Random], Json]] = {
        "memory": memory, "cpu": cpu, "blockIO": block,
        "pids": lambda c: {"limit": c.choice([-1, 0, 1, 7, 4096])},
        "unified": lambda c: c.choice([{"memory.high": str(40 * MEGA)}, {"memory.oom.group": "1"}, {"pids.max": "77"}]),
    }  # fmt: skip
    made: Json = {name: maker(chance) for name, maker in makers.items() if chance.random() < 0.55}
    if chance.random() < 0.3:
        made["hugepageLimits"] = [{"pageSize": "2MB", "limit": chance.choice([0, 4, 8]) * MEGA}]
    made["devices"] = [{"allow": False, "access": "rwm"}]
    return made


SECTIONS = [section(random.Random(f"{SEED}-{number}")) for number in range(COUNT)]


def old_weight(shares: int) -> str:
    return str(1 + (max(shares, 2) - 2) * 9999 // 262142)


def idle(given: Json) -> bool:
    return bool(given.get("cpu", {}).get("idle"))


# (peer, file, may it differ for these resources and this value of theirs, why)
REASONS: tuple[tuple[str, str, Callable[[Json, str], bool], str], ...] = (
    ("runc crun", "cpu.weight", lambda g, v: v == old_weight(g.get("cpu", {}).get("shares", 1024)),
     "runc before 1.3.2 and crun before 1.23 convert shares in a straight line: the default became 39"),
    ("runc", "cpu.weight", lambda g, v: idle(g), "runc before 1.2 does not know idle"),
    ("runc", "cpu.idle", lambda g, v: v == "0", "runc before 1.2 does not know idle"),
    ("runc crun", "cpu.max.burst", lambda g, v: v == "0", "runc before 1.2 and crun before 1.8.2 do not know burst"),
    ("runc crun", "pids.max", lambda g, v: g.get("pids", {}).get("limit") == 0 and v == "max",
     "0 is a limit since runtime-spec 1.3; before, it was none"),
    ("runc crun", "hugetlb.2MB.rsvd.max", lambda g, v: v == "max",
     "runc before 1.2 and crun limit pages in use only: SIGBUS instead of ENOMEM"),
)  # fmt: skip


def may_differ(peer: str, file: str, given: Json, theirs: str) -> bool:
    return any(peer in who.split() and file == name and when(given, theirs) for who, name, when, _ in REASONS)


class Peer:
    def __init__(self, name: str, program: Path | str, place: Path) -> None:
        self.name, self.argv = name, [str(program), "--root", str(place / f"{name}-state")]

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return run(*self.argv, *words)

    def files(self, bundle: Bundle, given: Json) -> dict[str, str] | str:
        """The values; or why it did not create the container."""
        name = f"{self.name}-{uuid.uuid4().hex[:8]}"
        bundle.config["linux"] |= {"resources": given, "cgroupsPath": f"/{name}"}
        bundle.write()
        with open(bundle.path / "out", "w+b") as out:
            argv = [*self.argv, "create", "--bundle", str(bundle.path), name]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
        try:
            if done.returncode:
                return (bundle.path / "out").read_text()
            pid = json.loads(self("state", name).stdout)["pid"]
            own = Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")
            return {file: read(ROOT / own / file, default) for file, default in DEFAULTS.items()}
        finally:
            self("delete", "--force", name)


def read(path: Path, default: str) -> str:
    return path.read_text().strip() if path.exists() else default


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, rootfs_master: Path) -> list[dict[str, str] | str]:
    place = tmp_path_factory.mktemp("ours")
    peer, bundle = Peer("minirun", MINIRUN, place), Bundle(place, rootfs_master)
    return [peer.files(bundle, given) for given in SECTIONS]


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("runc", "crun")])
def test_same_files(ours: list[dict[str, str] | str], bundle: Bundle, tmp_path: Path, name: str) -> None:
    peer = Peer(name, name, tmp_path)
    wrong = []
    for number, (given, mine) in enumerate(zip(SECTIONS, ours, strict=True)):
        theirs = peer.files(bundle, given)
        assert isinstance(mine, dict), f"section {number}, {given}: {mine}"
        if isinstance(theirs, str):
            wrong.append(f"{number}: {name} refuses: {theirs.strip()[-300:]}")
            continue
        wrong += [
            f"{number}, {file}: {name} {theirs[file]!r}, minirun {mine[file]!r}, from {given}"
            for file in DEFAULTS
            if mine[file] != theirs[file] and not may_differ(name, file, given, theirs[file])
        ]
    assert not wrong, "\n".join(wrong)
