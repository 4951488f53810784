"""What every machine has besides virtio: a serial port, the reset line, ACPI's power management; and how it ended.

    reset      the guest restarts: by ACPI's reset register, by the keyboard controller, or by a triple fault of its own
    panic      it does so because its kernel panicked
    shutdown   it switched itself off
    triple fault   a processor ran into one, and it was not Linux's way to restart

Linux says why it restarts: with ``reboot=panic_warm`` (cmdline.py) the word at 0x472 is 0x1234 after a panic, and 0 at
any other restart (arch/x86/kernel/reboot.c, native_machine_emergency_restart); we put something else there beforehand.
"""

from __future__ import annotations

import posix

from minirun.vm import layout
from minirun.vm.devices.acpi_pm import AcpiPm
from minirun.vm.devices.i8042 import I8042
from minirun.vm.devices.serial import Serial
from minirun.vm.exits import Shutdown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.exits import Exit
    from minirun.vm.machine import Machine

RESET, PANIC, SHUTDOWN, TRIPLE_FAULT = "reset", "panic", "shutdown", "triple fault"
WARM, COLD, UNTOUCHED = 0x1234, 0, 0xA55A


class Platform:
    """Puts the devices on the machine's ports.  ``output`` gets what the guest writes to its serial port."""

    def __init__(self, machine: Machine, output: Callable[[bytes], None]) -> None:
        self.machine = machine
        self.events: list[int] = []
        self.serial = Serial(output, self.line(layout.SERIAL_GSI))
        self.i8042 = I8042(self.reset)
        self.pm = AcpiPm(self.off, self.reset, self.line(layout.SCI_GSI))
        machine.ports.add(layout.SERIAL, layout.SERIAL_PORTS, self.serial)
        machine.ports.add(layout.I8042, layout.I8042_PORTS, self.i8042)
        machine.ports.add(layout.PM, layout.PM_PORTS, self.pm)
        machine.memory.write(layout.RESET_WORD, UNTOUCHED.to_bytes(2, "little"))

    def line(self, gsi: int) -> Callable[[], None]:
        """An interrupt that an eventfd raises: nobody has to be in a vCPU's thread for it."""
        event = posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)
        self.events.append(event)
        self.machine.vm.irqfd(event, gsi)
        return lambda: posix.eventfd_write(event, 1)

    def reset(self) -> None:
        self.machine.stop(PANIC if self.word() == WARM else RESET)

    def off(self) -> None:
        self.machine.stop(SHUTDOWN)

    def word(self) -> int:
        return int.from_bytes(self.machine.memory.read(layout.RESET_WORD, 2), "little")

    def reason(self, end: Exit) -> str:
        """How the machine ended, in a word or two.  With ``reboot=t`` Linux restarts by a triple fault of its own."""
        if isinstance(end, Shutdown):
            return {WARM: PANIC, COLD: RESET}.get(self.word(), TRIPLE_FAULT)
        return end.describe()

    def close(self) -> None:
        for event in self.events:
            posix.close(event)
        self.events.clear()
