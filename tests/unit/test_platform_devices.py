"""Serial port, reset line, ACPI power management: each driven as a guest's driver does."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from minirun.vm.devices.acpi_pm import AcpiPm
from minirun.vm.devices.i8042 import I8042
from minirun.vm.devices.serial import WAITING_MOST, Serial


class Port:
    """A serial port, what it said and how often it interrupted."""

    def __init__(self) -> None:
        self.said = b""
        self.interrupts = 0
        self.uart = Serial(self.hear, self.interrupt)

    def hear(self, data: bytes) -> None:
        self.said += data

    def interrupt(self) -> None:
        self.interrupts += 1

    def get(self, offset: int) -> int:
        return self.uart.read(offset, 1)

    def put(self, offset: int, value: int) -> None:
        self.uart.write(offset, 1, value)


def test_output_without_interrupts() -> None:
    port = Port()
    for byte in b"hello":
        assert port.get(5) & 0x20
        port.put(0, byte)
    assert port.said == b"hello" and port.interrupts == 0


def test_the_transmitter_reports_when_it_is_asked() -> None:
    port = Port()
    port.put(1, 2)  # the driver starts: empty at once
    assert port.interrupts == 1 and port.get(2) & 0xF == 2
    assert port.get(2) & 0xF == 1  # to read it was to acknowledge it
    port.put(0, ord("x"))
    assert port.interrupts == 2 and port.get(2) & 0xF == 2
    port.put(1, 0)
    port.put(0, ord("y"))
    assert port.interrupts == 2 and port.get(2) & 0xF == 1


def test_input_waits_and_interrupts() -> None:
    port = Port()
    port.uart.feed(b"ab")
    assert port.interrupts == 0 and port.get(5) & 1
    port.put(1, 1)  # it was there before anybody listened
    assert port.interrupts == 1 and port.get(2) & 0xF == 4
    assert [port.get(0), port.get(0), port.get(0)] == [ord("a"), ord("b"), 0]
    assert not port.get(5) & 1 and port.get(2) & 0xF == 1
    assert port.uart.feed(b"c") == 1 and port.interrupts == 2
    assert port.uart.feed(bytes(2 * WAITING_MOST)) == WAITING_MOST - 1
    port.put(2, 3)  # a FIFO, and empty it
    assert not port.get(5) & 1 and port.get(2) & 0xC0 == 0xC0


def test_the_divisor_hides_data_and_interrupts() -> None:
    port = Port()
    port.put(3, 0x83)
    port.put(0, 1)
    port.put(1, 2)
    assert (port.get(0), port.get(1)) == (1, 2) and port.said == b""
    port.put(3, 0x03)
    assert port.get(1) == 0 and port.get(3) == 3


def test_loop_back_as_the_kernel_probes_it() -> None:
    """drivers/tty/serial/8250: OUT1 and RTS in, RI and CTS out, upper half of the modem status."""
    port = Port()
    port.put(4, 0x1A)
    assert port.get(6) & 0xF0 == 0x90
    port.put(0, 0x55)
    assert port.get(0) == 0x55 and port.said == b""
    port.put(4, 0x0B)
    assert port.get(6) == 0xB0
    port.put(7, 0xA5)
    assert port.get(7) == 0xA5


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 7), st.integers(0, (1 << 64) - 1), st.sampled_from([1, 2, 4]))))
@settings(deadline=None)
def test_no_access_breaks_the_serial_port(accesses: list[tuple[bool, int, int, int]]) -> None:
    port = Port()
    for write, offset, value, size in accesses:
        if write:
            port.uart.write(offset, size, value)
        else:
            assert 0 <= port.uart.read(offset, size) <= 0xFF


def test_the_reset_line() -> None:
    pulls: list[int] = []
    controller = I8042(lambda: pulls.append(1))
    controller.write(4, 1, 0xFE)
    assert len(pulls) == 1
    controller.write(4, 1, 0xD1)
    controller.write(0, 1, 0xDF)
    assert len(pulls) == 1  # the line stays high
    controller.write(4, 1, 0xD1)
    controller.write(0, 1, 0xDE)
    assert len(pulls) == 2


def test_probing_is_answered_at_once() -> None:
    """In the order of drivers/input/serio/i8042.c; each answer is there at the next read of the status."""
    controller = I8042(lambda: None)

    def ask(command: int, byte: int | None = None) -> int | None:
        controller.write(4, 1, command)
        if byte is not None:
            controller.write(0, 1, byte)
        return controller.read(0, 1) if controller.read(4, 1) & 1 else None

    assert controller.read(4, 1) & 1 == 0
    assert ask(0x20) == 0x30
    assert ask(0x60, 0x45) is None and ask(0x20) == 0x45
    assert ask(0xAA) == 0x55 and ask(0xAB) == 0
    assert ask(0xD3, 0x5A) == 0xFE and ask(0xA9) == 0xFF  # no mouse
    assert ask(0xD2, 0x77) == 0x77
    controller.write(0, 1, 0xF2)  # to a keyboard that is not there
    assert controller.read(0, 1) == 0xFE
    assert controller.read(1, 1) == 0xFF


class Power:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.pm = AcpiPm(*(lambda name=name: self.calls.append(name) for name in ("off", "reset", "sci")))


def test_switching_off() -> None:
    power = Power()
    assert power.pm.read(4, 2) & 1  # ACPI is on
    power.pm.write(4, 2, 3 << 10 | 1 << 13)  # another sleep state than S5
    power.pm.write(4, 2, 5 << 10)
    assert power.calls == []
    power.pm.write(4, 2, 5 << 10 | 1 << 13)
    assert power.calls == ["off"] and not power.pm.read(4, 2) & 1 << 13


def test_restarting() -> None:
    power = Power()
    power.pm.write(8, 1, 0)
    assert power.calls == []
    power.pm.write(8, 1, 1)
    assert power.calls == ["reset"]


def test_the_power_button() -> None:
    power = Power()
    assert not power.pm.press()  # nobody listens
    power.pm.write(2, 2, 1 << 8)
    assert power.calls == ["sci"] and power.pm.read(0, 2) == 1 << 8  # it was pressed before
    power.pm.write(0, 2, 1 << 8)
    assert power.pm.read(0, 2) == 0 and power.pm.read(2, 2) == 1 << 8
    assert power.pm.press() and power.calls == ["sci", "sci"]
    assert power.pm.read(0, 4) == 1 << 8 | 1 << 24


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 15), st.sampled_from([1, 2, 4]), st.integers(0, (1 << 32) - 1)))
)
@settings(deadline=None)
def test_no_access_breaks_power_management(accesses: list[tuple[bool, int, int, int]]) -> None:
    power = Power()
    for write, offset, size, value in accesses:
        if write:
            power.pm.write(offset, size, value & (1 << 8 * size) - 1)
        else:
            assert 0 <= power.pm.read(offset, size) < 1 << 8 * size
    assert 0 <= power.pm.status < 1 << 16 and 0 <= power.pm.enabled < 1 << 16 and 0 <= power.pm.control < 1 << 16
