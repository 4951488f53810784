"""A 16550A serial port (National Semiconductor's PC16550D data sheet): the console that every kernel has at once.

    0  receive and transmit; with DLAB the divisor's low byte      4  modem control
    1  interrupt enable; with DLAB the divisor's high byte         5  line status
    2  what interrupted (read), FIFO control (written)             6  modem status
    3  line control: DLAB is bit 7                                 7  scratch

What is written is out at once: the transmitter is always empty, at any speed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

RX_ENABLE, TX_ENABLE = 0x01, 0x02  # IER: received data, transmitter empty
IER_MASK = 0x0F
NOTHING, TX_EMPTY, RX_READY = 0x01, 0x02, 0x04  # IIR
FIFOS = 0xC0
FIFO_ENABLE, CLEAR_RX = 0x01, 0x02  # FCR
DLAB = 0x80
LOOP = 0x10  # MCR
DATA_READY, THR_EMPTY, ALL_SENT = 0x01, 0x20, 0x40  # LSR
CONNECTED = 0xB0  # MSR: carrier, DSR, CTS
WAITING_MOST = 65536  # bytes of input that wait for the guest


class Serial:
    """``output`` gets what the guest writes; ``interrupt`` raises its line for an instant (it is edge-triggered)."""

    def __init__(self, output: Callable[[bytes], None], interrupt: Callable[[], None]) -> None:
        self.output = output
        self.interrupt = interrupt
        self.waiting = bytearray()
        self.enabled = self.line = self.modem = self.scratch = 0
        self.fifo = 0
        self.divisor = 12  # 9600 baud
        self.sent = False  # "transmitter empty" is to be reported

    def feed(self, data: bytes) -> int:
        """Input for the guest; how many bytes were taken."""
        taken = data[: WAITING_MOST - len(self.waiting)]
        self.waiting += taken
        if taken and self.enabled & RX_ENABLE:
            self.interrupt()
        return len(taken)

    def cause(self) -> int:
        """The most urgent reason for an interrupt."""
        if self.waiting and self.enabled & RX_ENABLE:
            return RX_READY
        if self.sent and self.enabled & TX_ENABLE:
            return TX_EMPTY
        return NOTHING

    def read(self, offset: int, size: int) -> int:
        if self.line & DLAB and offset < 2:
            return self.divisor >> 8 * offset & 0xFF
        return (
            self.received, lambda: self.enabled, self.identify, lambda: self.line, lambda: self.modem,
            self.line_status, self.modem_status, lambda: self.scratch,
        )[offset]()  # fmt: skip

    def received(self) -> int:
        if not self.waiting:
            return 0
        byte = self.waiting[0]
        del self.waiting[0]
        return byte

    def identify(self) -> int:
        cause = self.cause()
        if cause == TX_EMPTY:
            self.sent = False  # reading it is its acknowledgement
        return cause | self.fifo

    def line_status(self) -> int:
        return THR_EMPTY | ALL_SENT | (DATA_READY if self.waiting else 0)

    def modem_status(self) -> int:
        """In loop-back modem control's outputs come back: RTS as CTS, DTR as DSR, OUT1 as RI, OUT2 as carrier."""
        if not self.modem & LOOP:
            return CONNECTED
        return (self.modem & 2) << 3 | (self.modem & 1) << 5 | (self.modem & 4) << 4 | (self.modem & 8) << 4

    def write(self, offset: int, size: int, value: int) -> None:
        value &= 0xFF
        if self.line & DLAB and offset < 2:
            keep = 0xFF00 if offset == 0 else 0x00FF
            self.divisor = self.divisor & keep | value << 8 * offset
        elif offset == 0:
            self.transmit(value)
        elif offset == 1:
            self.enable(value & IER_MASK)
        elif offset == 2:
            self.fifo = FIFOS if value & FIFO_ENABLE else 0
            if value & CLEAR_RX:
                self.waiting.clear()
        elif offset == 3:
            self.line = value
        elif offset == 4:
            self.modem = value & 0x1F
        elif offset == 7:
            self.scratch = value

    def transmit(self, value: int) -> None:
        if self.modem & LOOP:
            self.feed(bytes([value]))
        else:
            self.output(bytes([value]))
        self.sent = True
        if self.enabled & TX_ENABLE:
            self.interrupt()

    def enable(self, value: int) -> None:
        """Enabling "transmitter empty" while it is reports it at once: drivers start their first transmission so."""
        if value & TX_ENABLE & ~self.enabled:
            self.sent = True
        self.enabled = value
        if self.cause() != NOTHING:
            self.interrupt()
