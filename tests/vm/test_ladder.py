"""The ladder, on whatever /dev/kvm is here: each rung says 42, and a broken one says what is wrong."""

from __future__ import annotations

import pytest

from minirun.vm import ladder
from minirun.vm.exits import Hlt, Shutdown, Stopped
from minirun.vm.loop import Loop
from tests.conftest import ROOT
from tests.vm.hand import descriptors, threads

pytestmark = [pytest.mark.needs("kvm")]


@pytest.mark.parametrize("rung", ladder.RUNGS, ids=lambda rung: rung.name)
def test_every_rung(rung: ladder.Rung) -> None:
    result = ladder.climb(rung)
    assert result.ok(), (result.why(), result.registers, result.exits)
    assert (result.value, result.output) == (42, rung.output)
    assert isinstance(result.end, Hlt if rung.name == "hlt" else Stopped)


def test_the_page_has_every_rung() -> None:
    """docs/ladder.md: a row for each, in this order."""
    lines = (ROOT / "docs" / "ladder.md").read_text().splitlines()
    rows = [line.split("|")[1].strip(" `") for line in lines if line.startswith("| `")]
    assert rows == [rung.name for rung in ladder.RUNGS]


def test_who_answered() -> None:
    """hlt and out leave the guest; a doorbell and an interrupt do not."""
    assert ladder.climb(ladder.RUNGS[0]).exits["hlt"] == 1
    assert ladder.climb(ladder.RUNGS[1]).exits["io"] == 2
    for name in ("interrupts", "doorbell"):
        rung = ladder.find(name)
        assert rung
        found = ladder.climb(rung).exits
        assert (found["io"], found.get("hlt", 0)) == (1, 0)


def test_a_rung_that_is_wrong_says_so() -> None:
    """41, nothing at all, another letter, and no code."""
    out = ladder.RUNGS[1]
    right = ladder.read("out.bin")
    wrong = ladder.climb(out, code=right.replace(b"\x2a", b"\x29"))
    assert (wrong.ok(), wrong.why()) == (False, "it says 41, not 42")
    wrong = ladder.climb(out, code=right.replace(b"A", b"B"))
    assert (wrong.ok(), wrong.why()) == (False, "it printed 'B', not 'A'")
    wrong = ladder.climb(out, seconds=0.2, code=b"\xeb\xfe")
    assert (wrong.ok(), wrong.why()) == (False, "nothing after 0.2 seconds")


def test_a_fault_without_a_handler() -> None:
    """In protected mode without an IDT, ud2 is a triple fault: the rung's own proof, taken away."""
    rung = ladder.find("protected")
    assert rung
    broken = ladder.read("protected.bin").replace((42).to_bytes(4, "little"), b"\x2b\0\0\0")
    assert ladder.climb(rung, code=broken).value == 43
    at = ladder.read("protected.bin").index(b"\x66\xb8\x10\x00")  # mov ax, 16
    result = ladder.climb(rung, code=broken[:at] + b"\x0f\x0b" + broken[at + 2 :])
    assert isinstance(result.end, Shutdown)
    assert "triple fault" in result.why()
    assert {"rip", "rax", "cr0", "cs"} <= set(result.end.registers)
    assert result.end.rows()[-1].startswith("code ")


def test_twenty_at_once() -> None:
    """Twenty machines in 64-bit mode, all of them built before the first one starts; nothing stays."""
    rung = ladder.find("long")
    assert rung
    ladder.climb(rung)  # whatever is made once only is there now
    before = descriptors(), threads()
    loop = Loop()
    climbs = [ladder.Climb(rung, loop) for _ in range(20)]
    left = len(climbs)

    def one_less(_reason: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    locks = []
    for climb in climbs:
        climb.machine.on_end(one_less)
        locks.append(ladder.watch(climb.machine, 30))
        climb.start()
    loop.run()
    results = [climb.result() for climb in climbs]
    for climb, lock in zip(climbs, locks, strict=True):
        lock.release()
        climb.close()
    loop.close()
    assert [result.why() for result in results] == [""] * 20
    wait_until_gone(before)


def wait_until_gone(before: tuple[int, int]) -> None:
    """A thread is in /proc for a moment longer than it is in Python."""
    import time

    for _ in range(100):
        if (descriptors(), threads()) == before:
            return
        time.sleep(0.02)
    assert (descriptors(), threads()) == before
