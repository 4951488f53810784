"""A hostile program (hostile.c): it can do no more than end itself, and the VMM does not notice.

``HOSTILE_SEED`` and ``HOSTILE_CALLS`` in the environment make it go on where a test has no time to.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from minirun.vm.sandbox import layout
from tests.conftest import Bundle
from tests.needs import require
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox", "compiler", "kvm")
HERE = Path(__file__).parent
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
CALLS = int(os.environ.get("HOSTILE_CALLS", "20000"))
SIGNALS = {4, 5, 7, 8, 11}  # ILL, TRAP, BUS, FPE, SEGV
Attack = Callable[..., list[str]]


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("compiler")
    target = tmp_path_factory.mktemp("hostile") / "hostile"
    words: list[str | Path] = ["cc", "-O1", "-w", "-static", "-pthread", "-o", target]
    subprocess.run([*words, *sorted(HERE.glob("hostile*.c"))], check=True)
    return target


@pytest.fixture
def attack(tmp_path: Path, bundle: Bundle, hostile: Path) -> Attack:
    """What it prints; it must be there in the end, and the VMM must have nothing to say."""
    (bundle.rootfs / "hostile").write_bytes(hostile.read_bytes())
    (bundle.rootfs / "hostile").chmod(0o755)
    options = ["mode=1777", "size=32m"]
    bundle.config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options})
    runtime = Isolated(tmp_path / "state", "sandbox")

    def run(*words: str | int) -> list[str]:
        done = runtime.run(bundle.args("/hostile", *map(str, words)), errors="replace")
        lines: list[str] = done.stdout.splitlines()
        assert done.returncode == 0 and lines[-1:] == ["still here"], (done.returncode, done.stderr, lines[-9:])
        assert "minirun" not in done.stderr, done.stderr
        return lines[:-1]

    return run


def test_every_call_with_wild_arguments(attack: Attack) -> None:
    rows = attack("calls", SEED, CALLS)
    assert rows[-1].endswith("most in time: 1") and not [row for row in rows if "VMM" in row], rows


def test_instructions_of_other_levels(attack: Attack) -> None:
    """Each ends in a signal, and in none that is sent for want of a better one."""
    rows = attack("instructions")
    ends = {name: int(end) for name, _, end in (row.rpartition(": ") for row in rows)}
    assert len(ends) > 50 and not {name: end for name, end in ends.items() if end not in SIGNALS}


def test_the_system_s_part_is_not_the_program_s(attack: Attack) -> None:
    pages = [layout.GDT, layout.IDT, layout.FAULTS, layout.STATES, layout.TABLES, layout.LIMIT, layout.SIZE - 4096]
    assert {row.rpartition(": ")[2] for row in attack("system", *map(hex, pages))} == {"11"}
    rows = attack("system", hex(layout.ENTRY))  # SYSCALL goes there at level 3 where KVM is emulated
    assert [row.rpartition(": ")[2] for row in rows] == ["0", "11", "11", "11"]


def test_frames_of_garbage(attack: Attack) -> None:
    assert attack("frames", SEED, 150) == ["frames: 150"]


def test_threads_that_change_what_is_looked_at(attack: Attack) -> None:
    assert attack("races", 4) == ["escaped 0"]


def test_maps_without_end(attack: Attack) -> None:
    rows = attack("maps")
    assert rows[:5] == ["made 4000", "all of it 0", "huge 1", "big 1", "beyond 8"]
    assert {row.partition(": ")[2] for row in rows[5:]} == {"0 0"}


def test_crowds(attack: Attack) -> None:
    rows = attack("crowd")
    assert rows == ["threads 1", f"fork among them {7 << 8}", "descriptors 997", "then 1 1", "deep 11", "bombs 1"]


def test_broken_programs(attack: Attack) -> None:
    assert attack("files", SEED, 100) == ["files 100"]


@pytest.mark.parametrize("user", [0, 1000])
def test_no_name_leads_to_the_vmm(attack: Attack, bundle: Bundle, user: int) -> None:
    bundle.config["process"]["user"] = {"uid": user, "gid": user}
    assert [row for row in attack("names") if "VMM" not in row] == []


def test_options_with_addresses_in_them(attack: Attack) -> None:
    refused = "-1 Protocol not available"
    assert attack("options") == [
        "sent 4, nodelay 0", f"zerocopy {refused}", *[f"option {refused}"] * 6,
        "ioctl -1 Inappropriate ioctl for device",
    ]  # fmt: skip


def test_limits_are_the_program_s(attack: Attack, bundle: Bundle) -> None:
    """They would weigh on minirun, too, if they were the process's: of memory it has more than a program may need."""
    rows = {"RLIMIT_AS": 256 << 20, "RLIMIT_DATA": 128 << 20, "RLIMIT_NOFILE": 12}
    bundle.config["process"]["rlimits"] = [{"type": name, "soft": most, "hard": most} for name, most in rows.items()]
    assert attack("limits") == ["address space 1", "less 1", "data 1", "descriptors 9 1"]
