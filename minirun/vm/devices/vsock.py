"""virtio-vsock (virtio 1.2, section 5.10): streams between guest and host without a network, over unix sockets.

The host's side is Firecracker's, so that its clients work here, too:

    host to guest   connect to PATH, say "CONNECT 1024\\n"; once the guest's program has accepted, "OK 1073741824\\n"
                    (the host's port) comes back, and from there on it is a stream; without a listener, its end
    guest to host   a connection to port 1024 of CID 2 becomes one to PATH_1024, where somebody should be listening

All streams share two queues and the loop's one thread.  Nothing a guest sends is stored beyond what it was allowed
(``vsock_stream.BUFFER`` for each of STREAMS streams), and as long as answers wait for buffers of its own, no more
of its packets are taken.  A packet that makes no sense is answered by RST, one that is not from this guest by nothing.

To be made while PATH can still be reached: its directory is kept open (``vsock_host``).
"""

from __future__ import annotations

import _socket
import posix

from minirun.linux import unix
from minirun.vm.devices.virtio import VirtioDevice
from minirun.vm.devices.vsock_host import Place
from minirun.vm.devices.vsock_stream import (
    ASKED,
    CREDIT_REQUEST,
    CREDIT_UPDATE,
    GREETING,
    GREETING_MOST,
    HEADER,
    HOST,
    MASK,
    OPEN,
    PACKET_MOST,
    REQUEST,
    RESPONSE,
    RST,
    RW,
    RX,
    SHUTDOWN,
    STREAM,
    TX,
    Stream,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.devices.virtio import Chain, Transport
    from minirun.vm.loop import Loop

STREAMS = 256
ANSWERS = 256  # that may wait for buffers
FIRST_PORT = 1 << 30  # of ours, for streams that the host began


class Vsock(VirtioDevice):
    """``cid`` is the guest's address, 3 or more; ``path`` the unix socket to listen at (``folder``: see ``Place``)."""

    ID = 19
    QUEUES = (128, 128, 8)

    loop: Loop

    def __init__(self, cid: int, path: str, folder: int = -1) -> None:
        if not 3 <= cid < MASK:
            raise ValueError(f"CID {cid} is not a guest's")
        self.cid = cid
        self.place = Place(path, folder)
        self.listener = self.place.listen()
        self.streams: dict[tuple[int, int], Stream] = {}
        self.greeted: set[Stream] = set()  # connected, but have not said a port yet
        self.answers: list[tuple[int, int, bytes | None, int, int]] = []
        self.next_port = FIRST_PORT
        self.alive = self.waiting = False

    def attach(self, transport: Transport) -> None:
        super().attach(transport)
        assert transport.loop is not None
        self.loop = transport.loop

    def config(self) -> bytes:
        return self.cid.to_bytes(8, "little")

    # -- its life

    def activate(self) -> None:
        self.alive = True
        self.loop.add(self.listener, self.knock)

    def reset(self) -> None:
        self.alive = self.waiting = False
        self.loop.remove(self.listener)
        for stream in [*self.streams.values(), *self.greeted]:
            stream.close()
        self.streams.clear()
        self.greeted.clear()
        self.answers.clear()

    def close(self) -> None:
        self.reset()
        posix.close(self.listener)
        self.place.close()

    def kick(self, index: int) -> None:
        if index == RX:
            for stream in list(self.streams.values()):
                if stream.starved:
                    stream.starved = False
                    stream.arm()
            self.deliver()
            if self.waiting:
                self.waiting = False
                self.take()
        elif index == TX:
            self.take()

    # -- to the guest

    def buffer(self) -> Chain | None:
        """For data: after all answers."""
        self.deliver()
        return None if self.answers else self.queues[RX].pop()

    def tell(self, stream: Stream, op: int, flags: int = 0) -> None:
        self.answers.append((stream.host, stream.guest, None, op, flags))
        self.deliver()

    def reset_of(self, host: int, guest: int, kind: int = STREAM) -> None:
        header = HEADER.pack(HOST, self.cid, host, guest, 0, kind, RST, 0, 0, 0)
        self.answers.append((host, guest, header, RST, 0))
        self.deliver()

    def deliver(self) -> None:
        """Answers into buffers, as far as there are any."""
        queue = self.queues[RX]
        while self.answers:
            chain = queue.pop()
            if chain is None:
                break
            host, guest, header, op, flags = self.answers.pop(0)
            stream = self.streams.get((host, guest))
            if header is None and stream is None:
                chain.undo()  # it ended meanwhile
                continue
            chain.write(header or stream.header(op, 0, flags))  # type: ignore[union-attr]
            chain.push()
        queue.notify()

    def refuse(self, stream: Stream) -> None:
        """The end of a stream, told to the guest."""
        self.drop(stream)
        self.reset_of(stream.host, stream.guest)

    def drop(self, stream: Stream) -> None:
        stream.close()
        self.streams.pop((stream.host, stream.guest), None)
        self.greeted.discard(stream)

    def half_close(self, stream: Stream) -> None:
        end = _socket.socket(fileno=stream.fd)
        try:
            end.shutdown(_socket.SHUT_WR)
        except OSError:
            pass
        end.detach()

    # -- from the guest

    def take(self) -> None:
        queue = self.queues[TX]
        for _ in range(queue.size):
            if len(self.answers) >= ANSWERS:
                self.waiting = True
                break
            chain = queue.pop()
            if chain is None:
                break
            self.packet(chain)
            chain.push(0)
        else:
            queue.kick()
        queue.notify()

    def packet(self, chain: Chain) -> None:
        if chain.unread < HEADER.size:
            return
        source, target, guest, host, length, kind, op, flags, buf_alloc, fwd_cnt = HEADER.unpack(
            chain.read(HEADER.size)
        )
        if (source, target) != (self.cid, HOST) or op == 0:
            return
        stream = self.streams.get((host, guest))
        if kind != STREAM or length > min(chain.unread, PACKET_MOST) or op > CREDIT_REQUEST:
            if stream is not None:
                self.drop(stream)
            if op != RST:
                self.reset_of(host, guest, kind)
        elif op == REQUEST:
            self.asked(host, guest, buf_alloc, fwd_cnt)
        elif stream is None:
            if op != RST:
                self.reset_of(host, guest)
        else:
            stream.credit(buf_alloc, fwd_cnt)
            self.speak(stream, op, flags, chain, length)
            if stream.fd >= 0:
                stream.arm()

    def speak(self, stream: Stream, op: int, flags: int, chain: Chain, length: int) -> None:
        if op == RW:
            stream.receive(chain, length)
        elif op == RST:
            self.drop(stream)
        elif op == SHUTDOWN:
            stream.shut(flags)
        elif op == CREDIT_REQUEST:
            self.tell(stream, CREDIT_UPDATE)
        elif op == RESPONSE:
            self.accepted(stream)

    # -- a stream begins

    def asked(self, host: int, guest: int, buf_alloc: int, fwd_cnt: int) -> None:
        """By the guest: somebody must be listening at PATH_PORT."""
        old = self.streams.get((host, guest))
        if old is not None or len(self.streams) >= STREAMS:
            if old is not None:
                self.drop(old)
            self.reset_of(host, guest)
            return
        try:
            fd = self.place.connect(f"_{host}")
        except OSError:
            self.reset_of(host, guest)
            return
        stream = self.streams[host, guest] = Stream(self, fd, host, guest, OPEN)
        stream.credit(buf_alloc, fwd_cnt)
        self.tell(stream, RESPONSE)
        stream.arm()

    def knock(self, events: int) -> None:
        """From the host."""
        try:
            fd = unix.accept(self.listener)
        except OSError:
            return
        if len(self.streams) + len(self.greeted) >= STREAMS:
            posix.close(fd)
            return
        stream = Stream(self, fd, 0, 0, GREETING)
        self.greeted.add(stream)
        stream.arm()

    def greet(self, stream: Stream) -> None:
        """ "CONNECT PORT", a line; what follows it is data already, so it is read byte by byte."""
        try:
            while not stream.greeting.endswith(b"\n"):
                one = posix.read(stream.fd, 1)
                stream.greeting += one
                if not one or len(stream.greeting) > GREETING_MOST:
                    self.drop(stream)
                    return
        except BlockingIOError:
            return
        except OSError:
            self.drop(stream)
            return
        word, _, number = stream.greeting[:-1].partition(b" ")
        if word.upper() != b"CONNECT" or not number.isdigit() or int(number) >= MASK:
            self.drop(stream)
            return
        self.greeted.discard(stream)
        stream.host, stream.guest, stream.state = self.free_port(), int(number), ASKED
        self.streams[stream.host, stream.guest] = stream
        stream.arm()
        self.tell(stream, REQUEST)

    def free_port(self) -> int:
        taken = {host for host, _ in self.streams}
        while self.next_port in taken:
            self.next_port = FIRST_PORT + (self.next_port + 1) % FIRST_PORT
        port = self.next_port
        self.next_port = FIRST_PORT + (port + 1) % FIRST_PORT
        return port

    def accepted(self, stream: Stream) -> None:
        if stream.state != ASKED:
            self.refuse(stream)
            return
        stream.state = OPEN
        try:
            posix.write(stream.fd, b"OK %d\n" % stream.host)
        except OSError:
            self.refuse(stream)
