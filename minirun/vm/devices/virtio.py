"""virtio 1.2, what all devices share: queues, chains of buffers, and what a device has to say of itself.

A device names its ``ID``, its ``FEATURES`` and the greatest sizes of its ``QUEUES``; its transport (``mmio``) speaks
with the driver, and calls ``activate`` once all is agreed, ``kick`` whenever the driver has put something into a
queue, ``reset`` when it is all over.  All three run with the loop's lock held.

    for chain in self.queues[0].chains():
        chain.write(answer(chain.readable()))
        chain.push()
    self.queues[0].notify()

The queue itself is C (native/vm/virtq.c).  When the driver has done something that it must not do, the queue is
*broken*: there are no more chains, the transport tells the driver that the device needs a reset (section 2.1.2), and
nothing is raised.  ``chains`` stops after one round of the queue and kicks itself for the rest, so that no guest can
keep the loop to itself.
"""

from __future__ import annotations

import posix

from minirun.linux.kvm import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    from minirun.vm.loop import Loop
    from minirun.vm.memory import Memory

    class Transport(Protocol):
        """What a device sees of the way to its driver."""

        memory: Memory
        loop: Loop | None  # None in tests that need none
        kicks: list[int]  # an eventfd for each queue
        interrupt: int  # the eventfd that becomes an interrupt
        trouble: int  # the eventfd that says that a queue is broken
        status: Any  # uint32_t *, InterruptStatus

        def config_changed(self) -> None: ...

        def needs_reset(self) -> None: ...


INDIRECT_DESC = 1 << 28
EVENT_IDX = 1 << 29
VERSION_1 = 1 << 32
COMMON = INDIRECT_DESC | EVENT_IDX | VERSION_1  # every device of ours

VIRTQ_MOST = 1024  # native/vm/virtq.h: descriptors of the longest queue
READ_MOST = 1 << 20  # what readable() copies at most; a longer request is for read()
ONE = (1).to_bytes(8, "little")
new_chain = ffi.new_allocator(should_clear_after_alloc=False)  # 16 KiB, of which most are never touched


class Chain:
    """One request of the driver's: bytes to read, room to write, and ``push`` when it is answered."""

    __slots__ = ("native", "queue", "read_at", "write_at")

    def __init__(self, queue: Queue, native: Any) -> None:
        self.queue = queue
        self.native = native
        self.read_at = 0
        self.write_at = 0

    @property
    def unread(self) -> int:
        return int(self.native.read_size) - self.read_at

    @property
    def writable(self) -> int:
        """The room that is left."""
        return int(self.native.write_size) - self.write_at

    def read(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        size = min(size, self.unread)
        if size <= 0:
            return b""
        into = bytearray(size)
        lib.virtq_copy_from(self.native, self.read_at, ffi.from_buffer(into), size)
        self.read_at += size
        return bytes(into)

    def readable(self) -> bytes:
        """All that is left to read, as a copy (the guest may change the original meanwhile); a MiB at most."""
        return self.read(READ_MOST)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """How many bytes there was room for."""
        done = int(lib.virtq_copy_to(self.native, self.write_at, ffi.from_buffer(data), len(data)))
        self.write_at += done
        return done

    def from_file(self, fd: int, size: int, position: int = -1) -> int:
        """preadv(2) straight into guest memory (readv without a position): how many bytes came."""
        done = int(lib.virtq_read_file(self.native, self.write_at, size, fd, position))
        if done < 0:
            raise OSError(ffi.errno, posix.strerror(ffi.errno))
        self.write_at += done
        return done

    def to_file(self, fd: int, size: int, position: int = -1) -> int:
        """pwritev(2) straight out of guest memory (writev without a position): how many bytes went."""
        done = int(lib.virtq_write_file(self.native, self.read_at, size, fd, position))
        if done < 0:
            raise OSError(ffi.errno, posix.strerror(ffi.errno))
        self.read_at += done
        return done

    def push(self, written: int | None = None) -> None:
        """Give it back to the driver; once, and not after a reset: then nothing happens."""
        lib.virtq_push(self.queue.native, self.native, self.write_at if written is None else written)

    def undo(self) -> None:
        """As if it had never been taken; only for the last one, and nothing may have been written into it."""
        lib.virtq_undo(self.queue.native, self.native)


class Queue:
    """One virtqueue; ``native`` is the ``struct virtq`` for C."""

    def __init__(self, transport: Transport, index: int, most: int) -> None:
        self.kick_fd = transport.kicks[index]
        self.native: Any = ffi.new("struct virtq *")
        self.native.memory = transport.memory.native
        self.native.most = self.native.size = most
        self.native.call_fd = transport.interrupt
        self.native.trouble_fd = transport.trouble
        self.native.status = transport.status

    @property
    def ready(self) -> bool:
        return bool(self.native.ready)

    @property
    def broken(self) -> bool:
        return bool(self.native.broken)

    @property
    def size(self) -> int:
        return int(self.native.size)

    def pop(self) -> Chain | None:
        """The next request; None if there is none (or never again, until the reset: the queue is broken)."""
        native = new_chain("struct virtq_chain *")
        return Chain(self, native) if lib.virtq_pop(self.native, native) > 0 else None

    def chains(self, most: int = VIRTQ_MOST) -> Iterator[Chain]:
        """What is there, one round of the queue at most; for the rest, if any, there is a kick of our own."""
        for _ in range(min(self.size, most)):
            chain = self.pop()
            if chain is None:
                return
            yield chain
        self.kick()

    def kick(self) -> None:
        """As if the driver had: the device is called again, after others had their turn."""
        posix.write(self.kick_fd, ONE)

    def notify(self) -> None:
        """After one or more pushes: an interrupt, if the driver wants one."""
        lib.virtq_notify(self.native)


class VirtioDevice:
    """A device without a life of its own: the base of all others."""

    ID = 0
    FEATURES = 0  # of this kind of device; COMMON is added
    QUEUES: tuple[int, ...] = ()
    WORKER = False  # True: a thread in C waits for the kicks, not the loop

    queues: list[Queue]
    transport: Transport
    features = 0  # what was agreed

    def attach(self, transport: Transport) -> None:
        """Called once, by the transport."""
        self.transport = transport
        self.queues = [Queue(transport, index, most) for index, most in enumerate(self.QUEUES)]

    def offered(self) -> int:
        return self.FEATURES | COMMON

    def has(self, feature: int) -> bool:
        return bool(self.features & feature)

    # -- for a device to define ------------------------------------------------------------------------------------

    def config(self) -> bytes:
        """The configuration space, little endian; what lies behind it reads as zero."""
        return b""

    def read_config(self, offset: int, size: int) -> int:
        return int.from_bytes(self.config()[offset : offset + size], "little")

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Most have nothing to write."""

    def activate(self) -> None:
        """DRIVER_OK: ``features`` and the queues are what they will be; a queue may be not ``ready``."""

    def kick(self, index: int) -> None:
        """The driver has put something into this queue."""

    def reset(self) -> None:
        """Forget everything since ``activate``; chains in hand are void already."""

    def close(self) -> None:
        """The end of the machine: release what the host gave."""
