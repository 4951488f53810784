"""virtio-console with several ports (virtio 1.2, section 5.3): byte streams to the guest, each with a name.

    console = Console()
    port = console.port("minirun")      # /sys/class/virtio-ports/vport0p1/name
    port.on_data = ...                  # what the guest has written
    port.send(b"...")                   # never blocks; waits here for the guest's buffers

Port 0 is hvc0, the guest's console.  Queues: 0 and 1 are port 0's (to the guest, from it), 2 and 3 the control's,
then two for each further port.
"""

from __future__ import annotations

from _struct import Struct

from minirun.vm.devices.virtio import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MULTIPORT = 1 << 1
CONTROL = Struct("<IHH")  # port, event, value
CONFIG = Struct("<HHII")  # columns, rows, ports, emergency write
DEVICE_READY, PORT_ADD, PORT_READY, CONSOLE_PORT, PORT_OPEN, PORT_NAME = 0, 1, 3, 4, 6, 7
TO_DRIVER, FROM_DRIVER = 2, 3
PORTS = 2


class Port:
    """One stream."""

    def __init__(self, console: Console, number: int, name: str) -> None:
        self.console = console
        self.number = number
        self.name = name
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.held = bytearray()
        self.receive = 2 * number + 2 if number else 0
        self.transmit = self.receive + 1

    def send(self, data: bytes) -> None:
        self.held += data
        self.flush()

    def flush(self) -> None:
        self.console.fill(self.receive, self.held)


class Console(VirtioDevice):
    ID = 3
    FEATURES = MULTIPORT
    QUEUES = (64,) * (2 + 2 * PORTS)

    def __init__(self) -> None:
        self.ports = [Port(self, 0, "")]
        self.control = bytearray()

    def port(self, name: str) -> Port:
        made = Port(self, len(self.ports), name)
        self.ports.append(made)
        return made

    def config(self) -> bytes:
        return CONFIG.pack(0, 0, len(self.ports), 0)

    def fill(self, index: int, held: bytearray) -> None:
        queue = self.queues[index]
        if not held or not queue.ready:
            return
        pushed = False
        while held:
            chain = queue.pop()
            if chain is None:
                break
            done = chain.write(held[: chain.writable])
            del held[:done]
            chain.push()
            pushed = True
        if pushed:
            queue.notify()

    def tell(self, number: int, event: int, value: int, more: bytes = b"") -> None:
        """A control message; they are few, and the driver has room for them."""
        chain = self.queues[TO_DRIVER].pop()
        if chain is None:
            return
        chain.write(CONTROL.pack(number, event, value) + more)
        chain.push()
        self.queues[TO_DRIVER].notify()

    def kick(self, index: int) -> None:
        if index == FROM_DRIVER:
            self.controlled()
        elif index != TO_DRIVER:
            port = next((port for port in self.ports if index in (port.receive, port.transmit)), None)
            if port is None:
                return
            if index == port.receive:
                port.flush()
            else:
                self.received(port)

    def received(self, port: Port) -> None:
        queue = self.queues[port.transmit]
        for chain in queue.chains():
            data = chain.readable()
            chain.push(0)
            port.on_data(data)
        queue.notify()

    def controlled(self) -> None:
        queue = self.queues[FROM_DRIVER]
        for chain in queue.chains():
            message = chain.readable()
            chain.push(0)
            if len(message) >= CONTROL.size:
                self.heard(*CONTROL.unpack_from(message))
        queue.notify()

    def heard(self, number: int, event: int, value: int) -> None:
        if event == DEVICE_READY and value:
            for port in self.ports:
                self.tell(port.number, PORT_ADD, 1)
        elif event == PORT_READY and value and number < len(self.ports):
            port = self.ports[number]
            if number == 0:
                self.tell(0, CONSOLE_PORT, 1)
            else:
                self.tell(number, PORT_NAME, 1, port.name.encode())
            self.tell(number, PORT_OPEN, 1)
        elif event == PORT_OPEN and value and number < len(self.ports):
            self.ports[number].flush()
