"""ACPI's fixed hardware (ACPI 6.4, 4.8.3): switching off, restarting, and the power button.

+0  PM1 status, 16 bits: a one that is written clears it      +4  PM1 control, 16 bits: SLP_TYP, SLP_EN
+2  PM1 enable, 16 bits                                       +8  reset register, a byte
"""

from __future__ import annotations

from minirun.vm.boot.acpi import RESET_VALUE, SLEEP_OFF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

POWER_BUTTON = 1 << 8  # in status and enable
SCI_ENABLED = 1 << 0  # in control: ACPI is on
SLEEP_TYPE, SLEEP_ENABLE = 10, 1 << 13
STATUS, ENABLE, CONTROL, RESET = 0, 2, 4, 8


class AcpiPm:
    """``off`` and ``reset`` are called when the guest asks for it; ``interrupt`` raises the SCI for an instant."""

    def __init__(self, off: Callable[[], None], reset: Callable[[], None], interrupt: Callable[[], None]) -> None:
        self.off = off
        self.reset = reset
        self.interrupt = interrupt
        self.status = self.enabled = self.control = 0

    def press(self) -> bool:
        """The power button.  False if the guest does not listen to it: then it will not switch off either."""
        self.status |= POWER_BUTTON
        if not self.enabled & POWER_BUTTON:
            return False
        self.interrupt()
        return True

    def read(self, offset: int, size: int) -> int:
        words = self.status | self.enabled << 16 | (self.control | SCI_ENABLED) << 32
        return words >> 8 * offset & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == RESET:
            if value & 0xFF == RESET_VALUE:
                self.reset()
            return
        # Registers may be written by byte, and two at once: what is written lands where it belongs.
        mask = ((1 << 8 * size) - 1) << 8 * offset
        words = value << 8 * offset & mask
        self.status &= ~(words & 0xFFFF)
        self.enabled = self.enabled & ~(mask >> 16 & 0xFFFF) | words >> 16 & 0xFFFF
        if self.status & self.enabled:
            self.interrupt()
        self.control = self.control & ~(mask >> 32 & 0xFFFF) | words >> 32 & 0xFFFF
        if self.control & SLEEP_ENABLE:
            self.control &= ~SLEEP_ENABLE  # reads as zero
            if self.control >> SLEEP_TYPE & 7 == SLEEP_OFF:
                self.off()
