"""The keyboard controller without a keyboard: what is left of it is the reset line.

Our ACPI tables say that there is none (boot/acpi.py), and Linux believes them.  Who asks nevertheless gets an answer at
once, for every wait of Linux's driver ends only after half a second (drivers/input/serio/i8042.c, I8042_CTL_TIMEOUT).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DATA, COMMAND = 0, 4  # ports 0x60 and 0x64
OUTPUT_FULL, SYSTEM, UNLOCKED = 0x01, 0x04, 0x10  # status
READ_MODE, WRITE_MODE = 0x20, 0x60  # the command byte
SELF_TEST, TEST_KEYBOARD, TEST_AUX, READ_OUTPUT, WRITE_OUTPUT = 0xAA, 0xAB, 0xA9, 0xD0, 0xD1
LOOP_KEYBOARD, LOOP_AUX, WRITE_AUX = 0xD2, 0xD3, 0xD4
RESET = 0xFE
NOT_RESET = 0x01  # the output port's lowest bit is the processor's reset line, active low
ANSWERS = {SELF_TEST: 0x55, TEST_KEYBOARD: 0x00, TEST_AUX: 0xFF, READ_OUTPUT: 0xCF}
RESEND = 0xFE  # a keyboard's "what?": nobody there has understood
TAKES_DATA = (WRITE_MODE, WRITE_OUTPUT, LOOP_KEYBOARD, LOOP_AUX, WRITE_AUX)


class I8042:
    """``reset`` is called when the guest pulls the line."""

    def __init__(self, reset: Callable[[], None]) -> None:
        self.reset = reset
        self.mode = 0x30  # both devices switched off
        self.answer: int | None = None
        self.command = 0  # one that waits for its byte

    def read(self, offset: int, size: int) -> int:
        if offset == COMMAND:
            return SYSTEM | UNLOCKED | (0 if self.answer is None else OUTPUT_FULL)
        if offset == DATA:
            answer, self.answer = self.answer or 0, None
            return answer
        return 0xFF  # 0x61-0x63 are others'

    def write(self, offset: int, size: int, value: int) -> None:
        value &= 0xFF
        if offset == COMMAND:
            self.command = value if value in TAKES_DATA else 0
            if value == READ_MODE:
                self.answer = self.mode
            elif value in ANSWERS:
                self.answer = ANSWERS[value]
            elif value == RESET:
                self.reset()
        elif offset == DATA:
            command, self.command = self.command, 0
            if command == WRITE_MODE:
                self.mode = value
            elif command == WRITE_OUTPUT:
                if not value & NOT_RESET:
                    self.reset()
            elif command == LOOP_KEYBOARD:
                self.answer = value
            else:
                self.answer = RESEND
