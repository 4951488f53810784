"""virtio-console with several ports (virtio 1.2, section 5.3): byte streams to the guest, each with a name.

    console = Console()
    port = console.port("minirun")      # /sys/class/virtio-ports/vport0p1/name
    port.on_data = ...                  # what the guest has written
    port.send(b"...")                   # never blocks; waits here until the guest has opened it and has buffers
    console.resize(80, 25)              # of port 0, which is hvc0, the guest's console

Queues: 0 and 1 are port 0's (to the guest, from it), 2 and 3 the control's, then two for each further port.  The talk
on the control queues: the driver says that it is ready; we add each port; the driver is ready for the port; we name it
and open our end; the driver says when somebody has opened his (Linux throws away what comes before).
"""

from __future__ import annotations

from _struct import Struct

from minirun.vm.devices.virtio import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SIZE, MULTIPORT = 1 << 0, 1 << 1
CONTROL = Struct("<IHH")  # port, event, value
CONFIG = Struct("<HHII")  # columns, rows, ports, emergency write
WINDOW = Struct("<HH")  # rows, columns: Linux's order; the specification has them the other way round
DEVICE_READY, PORT_ADD, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME = 0, 1, 3, 4, 5, 6, 7
TO_DRIVER, FROM_DRIVER = 2, 3
PORTS = 2
WAITING = 64  # control messages that wait for a buffer; a driver that asks for more than it takes gets no more


class Port:
    """One stream."""

    def __init__(self, console: Console, number: int, name: str) -> None:
        self.console = console
        self.number = number
        self.name = name
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.on_open: Callable[[bool], None] = lambda opened: None
        self.opened = False  # by the guest
        self.held = bytearray()
        self.receive = 2 * number + 2 if number else 0
        self.transmit = self.receive + 1

    def send(self, data: bytes) -> None:
        self.held += data
        self.flush()

    def flush(self) -> None:
        """Into as many buffers as there are."""
        queue = self.console.queues[self.receive] if self.opened else None
        if queue is None or not self.held or not queue.ready:
            return
        pushed, rounds = False, 0
        while self.held and (chain := queue.pop()) is not None:
            del self.held[: chain.write(self.held[: chain.writable])]
            chain.push()
            pushed, rounds = True, rounds + 1
            if rounds == queue.size:  # others want a turn, too
                queue.kick()
                break
        if pushed:
            queue.notify()

    def set_open(self, opened: bool) -> None:
        if opened == self.opened:
            return
        self.opened = opened
        self.on_open(opened)
        self.flush()


class Console(VirtioDevice):
    ID = 3
    FEATURES = MULTIPORT | SIZE
    QUEUES = (64,) * (2 + 2 * PORTS)

    def __init__(self) -> None:
        self.ports = [Port(self, 0, "")]
        self.waiting: list[bytes] = []
        self.window = (0, 0)  # columns, rows

    def port(self, name: str) -> Port:
        """One more, before the driver comes; raises ValueError where there is no queue for it."""
        if len(self.ports) == PORTS:
            raise ValueError(f"a console of {PORTS} ports")
        made = Port(self, len(self.ports), name)
        self.ports.append(made)
        return made

    def config(self) -> bytes:
        return CONFIG.pack(*self.window, len(self.ports), 0)

    def resize(self, columns: int, rows: int) -> None:
        self.window = (columns, rows)
        if self.ports[0].opened:
            self.tell(0, RESIZE, 0, WINDOW.pack(rows, columns))

    def reset(self) -> None:
        self.waiting.clear()
        for port in self.ports:
            port.held.clear()
            port.set_open(False)

    # -- to the driver --------------------------------------------------------------------------------------------

    def tell(self, number: int, event: int, value: int, more: bytes = b"") -> None:
        if len(self.waiting) < WAITING:
            self.waiting.append(CONTROL.pack(number, event, value) + more)
        self.send_waiting()

    def send_waiting(self) -> None:
        """Each message in a buffer of its own."""
        queue = self.queues[TO_DRIVER]
        pushed = False
        while self.waiting and queue.ready and (chain := queue.pop()) is not None:
            chain.write(self.waiting.pop(0))
            chain.push()
            pushed = True
        if pushed:
            queue.notify()

    # -- from the driver ------------------------------------------------------------------------------------------

    def kick(self, index: int) -> None:
        if index == TO_DRIVER:
            self.send_waiting()
        elif index == FROM_DRIVER:
            for message in self.taken(FROM_DRIVER):
                if len(message) >= CONTROL.size:
                    self.heard(*CONTROL.unpack_from(message))
        else:
            port = next((port for port in self.ports if index in (port.receive, port.transmit)), None)
            if port is None:
                return
            if index == port.receive:
                port.flush()
                return
            for data in self.taken(port.transmit):
                port.on_data(data)

    def taken(self, index: int) -> list[bytes]:
        """What lies in a queue, given back at once; the driver may go on."""
        queue = self.queues[index]
        found = []
        for chain in queue.chains():
            found.append(chain.readable())
            chain.push(0)
        queue.notify()
        return found

    def heard(self, number: int, event: int, value: int) -> None:
        if event == DEVICE_READY and value:
            for port in self.ports:
                self.tell(port.number, PORT_ADD, 1)
        if number >= len(self.ports):
            return
        port = self.ports[number]
        if event == PORT_READY and value:
            if number == 0:
                self.tell(0, CONSOLE_PORT, 1)
            else:
                self.tell(number, PORT_NAME, 1, port.name.encode())
            self.tell(number, PORT_OPEN, 1)
        elif event == PORT_OPEN:
            port.set_open(bool(value))
