"""One stream between a port of the guest's and a unix socket of the host's: credit, order, and both ends' farewells.

    guest  ──RW──▶  receive ──▶ socket      what the socket does not take at once waits in ``pending``, BUFFER at most:
                                            the guest was told so (buf_alloc), and who sends more is reset
    guest  ◀──RW──  send    ◀── socket      only as much as the guest said it has room for

virtio 1.2, section 5.10.6.3: both count, modulo 2**32, what they have sent (``sent``), and what they have handed on
(``forwarded``); room = the other's buf_alloc - (sent - the other's fwd_cnt).
"""

from __future__ import annotations

import posix
from _struct import Struct

from minirun.vm.loop import HUP, IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.devices.virtio import Chain
    from minirun.vm.devices.vsock import Vsock

HEADER = Struct("<QQIIIHHIII")  # src_cid dst_cid src_port dst_port len type op flags buf_alloc fwd_cnt
HOST = 2  # VMADDR_CID_HOST
RX, TX, EVENTS = 0, 1, 2  # the queues
STREAM = 1
REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST = 1, 2, 3, 4, 5, 6, 7
NO_RECEIVE, NO_SEND = 1, 2  # SHUTDOWN's flags: what whoever sends it will not do any more
BUFFER = 256 << 10
PACKET_MOST = 64 << 10
GREETING_MOST = 32
MASK = 0xFFFFFFFF

# What a stream waits for.
GREETING, ASKED, OPEN = "its port", "the guest's answer", "data"


class Stream:
    """``host`` and ``guest`` are the ports; ``fd`` is the host's end, non-blocking."""

    def __init__(self, device: Vsock, fd: int, host: int, guest: int, state: str) -> None:
        self.device = device
        self.fd = fd
        self.host, self.guest = host, guest
        self.state = state
        self.greeting = b""
        self.pending = bytearray()
        self.sent = self.forwarded = self.told = 0
        self.their_room = self.their_forwarded = 0
        self.asked_for_credit = False
        self.starved = False  # the guest has given no buffers
        self.guest_said = self.we_said = 0  # SHUTDOWN's flags
        self.armed = 0

    # -- what to wait for

    def wanted(self) -> int:
        if self.state == GREETING:
            return IN
        events = OUT if self.pending else 0
        hears = not self.guest_said & NO_RECEIVE and not self.we_said & NO_SEND
        if self.state == OPEN and hears and not self.starved and self.room() > 0:
            events |= IN
        return events

    def arm(self) -> None:
        """The descriptor is in the loop only while something is wanted of it: a hang-up would be told without end."""
        events, loop = self.wanted(), self.device.loop
        if events == self.armed:
            return
        if not events:
            loop.remove(self.fd)
        elif self.armed:
            loop.change(self.fd, events)
        else:
            loop.add(self.fd, self.ready, events)
        self.armed = events

    def ready(self, events: int) -> None:
        if self.state == GREETING:
            self.device.greet(self)
            return
        if self.pending and events & (OUT | HUP):
            self.flush()
        if self.fd >= 0 and self.wanted() & IN:
            self.send(bool(events & HUP))
            self.device.queues[RX].notify()
        if self.fd >= 0:
            self.arm()

    def close(self) -> None:
        if self.fd >= 0:
            self.device.loop.remove(self.fd)
            posix.close(self.fd)
            self.fd = -1

    # -- credit

    def room(self) -> int:
        """What the guest can take; nonsense from it is no room."""
        return self.their_room - (self.sent - self.their_forwarded & MASK)

    def credit(self, buf_alloc: int, fwd_cnt: int) -> None:
        self.their_room, self.their_forwarded = buf_alloc, fwd_cnt
        self.asked_for_credit = False

    def header(self, op: int, length: int = 0, flags: int = 0) -> bytes:
        """Every packet tells of our own credit."""
        self.told = self.forwarded
        return HEADER.pack(
            HOST, self.device.cid, self.host, self.guest, length, STREAM, op, flags, BUFFER, self.forwarded & MASK
        )  # fmt: skip

    # -- from the host to the guest

    def send(self, hung_up: bool) -> None:
        """A few packets, then others have their turn."""
        for _ in range(8):
            room = min(self.room(), PACKET_MOST)
            if room <= 0:
                if not self.asked_for_credit:
                    self.asked_for_credit = True
                    self.device.tell(self, CREDIT_REQUEST)
                return
            chain = self.device.buffer()
            if chain is None:
                self.starved = True
                return
            done = self.fill(chain, room)
            if done < 0:
                return
            if done == 0:
                self.end(hung_up)
                return

    def fill(self, chain: Chain, room: int) -> int:
        """From the socket straight into guest memory; 0: its end, -1: nothing there."""
        chain.write_at = HEADER.size
        if chain.writable <= 0:  # of no use to anybody
            chain.push(0)
            return -1
        try:
            done = chain.from_file(self.fd, room)
        except BlockingIOError:
            done = -1
        except OSError:
            done = 0
        if done <= 0:
            chain.undo()
            return done
        chain.write_at = 0
        chain.write(self.header(RW, done))
        chain.push(HEADER.size + done)
        self.sent = self.sent + done & MASK
        return done

    def end(self, hung_up: bool) -> None:
        """The host's end is over: half of it (it still reads), or all."""
        self.we_said |= NO_SEND | (NO_RECEIVE if hung_up else 0)
        self.device.tell(self, SHUTDOWN, self.we_said)

    # -- from the guest to the host

    def receive(self, chain: Chain, length: int) -> None:
        if length > BUFFER - len(self.pending) or self.guest_said & NO_SEND or self.state != OPEN:
            self.device.refuse(self)
            return
        done = 0
        if not self.pending:
            try:
                done = chain.to_file(self.fd, length)
            except BlockingIOError:
                pass
            except OSError:
                self.device.refuse(self)
                return
        self.count(done)
        self.pending += chain.read(length - done)
        self.arm()

    def flush(self) -> None:
        try:
            done = posix.write(self.fd, self.pending)
        except BlockingIOError:
            return
        except OSError:
            self.device.refuse(self)
            return
        del self.pending[:done]
        self.count(done)
        self.settle()

    def count(self, done: int) -> None:
        """The guest hears of room again when it may believe that half of it is gone."""
        self.forwarded += done
        if self.forwarded - self.told > BUFFER // 2:
            self.told = self.forwarded
            self.device.tell(self, CREDIT_UPDATE)

    def shut(self, flags: int) -> None:
        """The guest's farewell, in one word or two."""
        self.guest_said |= flags & (NO_RECEIVE | NO_SEND)
        self.settle()

    def settle(self) -> None:
        """What the guest sent comes first, then its farewell."""
        if self.pending or not self.guest_said & NO_SEND:
            return
        if self.guest_said & NO_RECEIVE:
            self.device.refuse(self)  # 5.10.6.5: a RST is the answer to the last word
            return
        self.device.half_close(self)
