"""The machine: accesses reach devices whole, vCPUs stop where they should, and every end has its reason."""

from __future__ import annotations

import time
from _thread import start_new_thread

import pytest

from minirun.linux.kvm import ffi
from minirun.vm import exits
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from tests.vm.hand import HLT, MMIO, Notes, machine, run

pytestmark = [pytest.mark.needs("kvm")]

# again: mov cx, 0x400; more: inc eax; loop more; out 0x80, al; jmp again.  Without the port, two of these take both
# CPUs of the lab for many seconds: its interrupts hardly get through to a guest that never exits.
SPIN = b"\xb9\x00\x04\x66\x40\xe2\xfc\xe6\x80\xeb\xf5"
HAMMER = b"\xe6\x10\xeb\xfc"  # out 0x10, al; jmp back


def test_ports_of_every_width() -> None:
    code = b"\x66\xb8\x44\x33\x22\x11\xe6\x10\xe7\x10\x66\xe7\x10\xe4\x10\xe5\x10\x66\xe5\x10" + HLT
    with machine(code) as made:
        notes = Notes(0xAABBCCDDEEFF)
        made.ports.add(0x10, 4, notes)
        assert isinstance(run(made), exits.Hlt)
        assert notes.seen[:3] == [("write", 0, 1, 0x44), ("write", 0, 2, 0x3344), ("write", 0, 4, 0x11223344)]
        assert [what[:3] for what in notes.seen[3:]] == [("read", 0, 1), ("read", 0, 2), ("read", 0, 4)]
        assert made.vcpus[0].get_regs().rax == 0xCCDDEEFF


def test_a_string_instruction_is_single_accesses() -> None:
    """rep outsb of five bytes, rep insb of three; es and cs begin at 0."""
    code = b"\xbe\x00\x20\xbf\x00\x30\xba\x10\x00\xb9\x05\x00\xf3\x2e\x6e\xb9\x03\x00\xf3\x6c" + HLT
    with machine(code) as made:
        notes = Notes(0x5A)
        made.ports.add(0x10, 1, notes)
        made.memory.write(0x2000, b"hello")
        assert isinstance(run(made), exits.Hlt)
        assert bytes(value for what, _, _, value in notes.seen if what == "write") == b"hello"
        assert [what for what, *_ in notes.seen] == ["write"] * 5 + ["read"] * 3
        assert made.memory.read(0x3000, 4) == b"\x5a\x5a\x5a\0"


def test_a_port_that_nobody_owns_stays_in_c() -> None:
    with machine(b"\x66\x31\xc0\xe6\x80\x66\xe5\x84" + HLT) as made:  # xor eax, eax; out 0x80, al; in eax, 0x84
        run(made)
        assert made.vcpus[0].get_regs().rax == 0xFFFFFFFF
        found = made.exits()
        assert (found["io"], found["in-c"], found["in-python"]) == (2, 2, 1)


def test_device_memory() -> None:
    code = b"\x66\xb8\x44\x33\x22\x11\x66\xa3\x70\x00\x66\xa1\x74\x00\x66\xa3\x78\x00\xa0\x00\x80" + HLT
    with machine(code) as made:
        notes = Notes(0x1_99887766)
        made.mmio.add(MMIO, 0x1000, notes)
        assert isinstance(run(made), exits.Hlt)
        assert notes.seen == [("write", 0x70, 4, 0x11223344), ("read", 0x74, 4, 0), ("write", 0x78, 4, 0x99887766)]
        assert made.vcpus[0].get_regs().rax & 0xFF == 0xFF  # nobody is at 0xd0008000


def test_interrupt_words_stay_in_c() -> None:
    """mov eax, [InterruptStatus]; mov [InterruptACK], eax: the bits that were read are gone."""
    with machine(b"\x66\xa1\x60\x00\x66\xa3\x64\x00\x66\xa1\x64\x00" + HLT) as made:
        status = ffi.new("uint32_t *", 0b111)
        notes = Notes(7)
        made.mmio.add(MMIO, 0x1000, notes)
        made.fast_status(MMIO, status)
        run(made)
        assert status[0] == 0
        assert notes.seen == [("read", 0x64, 4, 0)]  # reading ACK is nobody's business but the device's
        assert made.exits()["in-c"] == 2
        with pytest.raises(ValueError, match="shares its place"):
            made.fast_status(MMIO + 64 * 0x1000, status)


def test_pause_stands_still_and_resume_goes_on() -> None:
    with machine(SPIN, vcpus=2) as made:
        second = made.vcpus[1]
        second.set_sregs(made.vcpus[0].get_sregs())
        second.set_regs(made.vcpus[0].get_regs())
        seen = []

        def poke() -> None:
            for _ in range(20):
                made.pause()
                first = [vcpu.get_regs().rax for vcpu in made.vcpus]
                time.sleep(0.005)
                seen.append((first, [vcpu.get_regs().rax for vcpu in made.vcpus]))
                made.resume()
                time.sleep(0.005)
            made.pause()
            made.stop("enough")  # also while it stands

        start_new_thread(poke, ())
        assert run(made) == exits.Stopped(why="enough")
        assert all(before == after for before, after in seen)
        assert len({tuple(before) for before, _ in seen}) > 10


def test_pause_from_a_callback_while_a_device_is_busy() -> None:
    """The loop holds the lock that the vCPU is waiting for: pause must not wait for ever."""
    with machine(HAMMER) as made:
        made.ports.add(0x10, 1, Notes())
        import posix

        bell = posix.eventfd(1, 0)
        count = 0

        def callback(_events: int) -> None:
            nonlocal count
            made.pause()
            made.resume()
            count += 1
            if count == 50:
                posix.eventfd_read(bell)
                made.stop("enough")

        made.loop.add(bell, callback)
        assert run(made) == exits.Stopped(why="enough")
        made.loop.remove(bell)
        posix.close(bell)
        assert count == 50


def test_pause_before_the_start_holds_and_does_not_spoil_the_next_one() -> None:
    with machine(SPIN) as made:
        made.pause()
        made.start()
        time.sleep(0.05)
        assert (made.exits()["in-c"], made.vcpus[0].get_regs().rax & 0xFFFF) == (0, 0)
        made.resume()
        for _ in range(5):
            time.sleep(0.02)
            made.pause()
            before = made.vcpus[0].get_regs().rax
            time.sleep(0.01)
            assert made.vcpus[0].get_regs().rax == before
            made.resume()
        assert made.exits()["in-c"] > 0
        made.pause()
        made.stop("enough")
        made.loop.run()
        assert made.end == exits.Stopped(why="enough")


def test_a_device_ends_the_machine_and_the_first_reason_counts() -> None:
    class Switch(Notes):
        def write(self, offset: int, size: int, value: int) -> None:
            made.stop("reset")
            made.stop("too late")

    with machine(HAMMER, vcpus=2, irqchip=True) as made:
        made.ports.add(0x10, 1, Switch())
        told: list[exits.Exit] = []
        made.on_end(told.append)
        assert run(made) == exits.Stopped(why="reset")
        assert told == [exits.Stopped(why="reset")]


def test_a_defect_of_a_device_ends_the_machine() -> None:
    class Defect(Notes):
        def read(self, offset: int, size: int) -> int:
            raise KeyError("descriptor")

    with machine(b"\xe4\x10" + HLT) as made:
        made.ports.add(0x10, 1, Defect())
        end = run(made)
        assert isinstance(end, exits.Broken)
        assert end.describe() == "KeyError: 'descriptor'"


def test_code_where_there_is_no_memory() -> None:
    """ljmp 0xffff:0x10 is 0x100000, just above what this machine has: KVM would fetch instructions from a device."""
    with machine(b"\xea\x10\x00\xff\xff") as made:
        end = run(made)
        assert isinstance(end, exits.InternalError | exits.Shutdown), end
        assert end.registers["rip"] == 0x10 or isinstance(end, exits.Shutdown)
        if isinstance(end, exits.InternalError):
            assert end.describe().startswith("an instruction that KVM cannot emulate at rip 0x10")


def test_the_instruction_in_the_exit_data() -> None:
    flags, size, code = 1, b"\x02", b"\x0f\x77" + bytes(13)
    raw = size + code
    data = (flags, int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little"))
    assert exits.told(data) == b"\x0f\x77"
    assert exits.told((0, *data[1:])) == b""
    assert exits.told(data[:2]) == b""
    entry = exits.FailEntry(registers={"rip": 1}, instruction=b"", reason=0x80000021)
    assert entry.describe() == "the processor refused to enter the guest: hardware reason 0x80000021"
    assert entry.rows() == ["rip    0000000000000001", "code   not to be read"]


def test_never_started_is_closed_all_the_same() -> None:
    with machine(HLT) as made:
        assert isinstance(made, Machine)
        assert isinstance(made.loop, Loop)
        made.stop("not wanted")
        made.loop.run()
        assert made.end == exits.Stopped(why="not wanted")
