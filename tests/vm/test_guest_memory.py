"""Guest memory: pages of 2 MiB where they can be had, and nothing on the host that tells of it but /proc/PID/maps."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.linux import mountfd
from minirun.linux.kvm import ffi
from minirun.vm import memory
from minirun.vm.memory import Memory

SIZE = 16 << 20


@pytest.fixture
def guest() -> Iterator[Memory]:
    made = Memory(SIZE)
    yield made
    made.close()


def field(guest: Memory, name: str) -> int:
    """KiB, of the mapping of this guest's memory (proc_pid_smaps(5)): other tests may have left theirs."""
    parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    start = int(ffi.cast("uintptr_t", guest.native.host))
    (part,) = [part for part in parts if memory.NAME in part and int(part.partition("-")[0], 16) == start]
    return int(re.findall(rf"(?m)^{name}: +(\d+) kB", part)[0])


@pytest.mark.needs("root")
def test_pages_are_large(guest: Memory) -> None:
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip("this kernel has pages of one size")
    guest.write(5 << 20, b"x")
    assert field(guest, "Rss") >= 2048, "one byte brings a large page"
    guest.write(0, bytes(SIZE))
    assert field(guest, "ShmemPmdMapped") > 0 and guest.read(SIZE - 1, 1) == b"\0"


@pytest.mark.needs("root")
def test_no_mount_of_it_is_seen(guest: Memory) -> None:
    guest.write(0, b"x")
    assert "minirun" not in Path("/proc/self/mountinfo").read_text()
    assert os.fstat(guest.fd).st_size == SIZE and os.fstat(guest.fd).st_mode & 0o777 == 0o600


def test_who_may_not_mount_has_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(mountfd, "new", refused)
    guest = Memory(SIZE)
    guest.write(SIZE - 4, b"last")
    assert guest.read(SIZE - 4, 4) == b"last" and field(guest, "Rss") < 2048
    guest.close()
