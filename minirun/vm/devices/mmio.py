"""virtio-mmio, virtio 1.2 section 4.2: one page of registers between a driver and a device.

    the driver                                          here
    reads magic, version, device id                     constants
    writes 0 to Status, then ACKNOWLEDGE, DRIVER        reset; accepted in this order only
    reads DeviceFeatures, writes DriverFeatures         until FEATURES_OK, which sticks if we offered them all
    QueueSel, QueueNum, addresses, QueueReady           until DRIVER_OK; the queue's place is checked here, once
    DRIVER_OK                                           device.activate()
    QueueNotify                                         an ioeventfd: the vCPU does not even leave the kernel
                                                        interrupts: an irqfd; InterruptStatus is one word shared with C

``Registers`` is all of that, without KVM: tests drive it as it is.  ``Mmio`` gives it a place in a machine.
"""

from __future__ import annotations

import posix

from minirun.linux.kvm import ffi, lib
from minirun.vm.devices.virtio import ONE, VERSION_1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.vm.devices.virtio import Queue, VirtioDevice
    from minirun.vm.loop import Loop
    from minirun.vm.memory import Memory

MAGIC, VERSION, DEVICE_ID, VENDOR_ID = 0x00, 0x04, 0x08, 0x0C
DEVICE_FEATURES, DEVICE_FEATURES_SEL, DRIVER_FEATURES, DRIVER_FEATURES_SEL = 0x10, 0x14, 0x20, 0x24
QUEUE_SEL, QUEUE_NUM_MAX, QUEUE_NUM, QUEUE_READY, QUEUE_NOTIFY = 0x30, 0x34, 0x38, 0x44, 0x50
INTERRUPT_STATUS, INTERRUPT_ACK, STATUS = 0x60, 0x64, 0x70
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 0x80, 0x90, 0xA0  # low half; the high one 4 bytes on
SHM_LEN, SHM_BASE, CONFIG_GENERATION, CONFIG = 0xB0, 0xB8, 0xFC, 0x100
ADDRESSES = {QUEUE_DESC: "desc", QUEUE_DRIVER: "avail", QUEUE_DEVICE: "used"}
WINDOW = 0x1000

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 0x40, 0x80
CONFIG_INTERRUPT = 2  # the other bit of InterruptStatus; 1, used buffers, is set in C
VENDOR = int.from_bytes(b"mrun", "little")
MASK = 0xFFFFFFFF


def eventfd() -> int:
    return posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)


def drain(fd: int) -> None:
    try:
        posix.read(fd, 8)
    except BlockingIOError:
        pass


class Registers:
    """The driver's side of one device.  ``loop`` may be None: then a test kicks by hand."""

    def __init__(self, memory: Memory, device: VirtioDevice, loop: Loop | None = None) -> None:
        self.memory = memory
        self.device = device
        self.loop = loop
        self.status: Any = ffi.new("uint32_t *")
        self.kicks = [eventfd() for _ in device.QUEUES]
        self.interrupt = eventfd()
        self.trouble = eventfd()
        self.state = 0  # the Status register
        self.generation = 0
        self.device_select = self.driver_select = self.queue_select = 0
        self.accepted = 0  # DriverFeatures
        device.attach(self)
        if loop is not None:
            self.listen(loop)

    def listen(self, loop: Loop) -> None:
        loop.add(self.trouble, lambda _: self.needs_reset())
        if not self.device.WORKER:
            for index, fd in enumerate(self.kicks):
                loop.add(fd, self.kicker(index))

    def kicker(self, index: int) -> Callable[[int], None]:
        return lambda _: self.kicked(index)

    def close(self) -> None:
        self.device.close()
        for fd in (*self.kicks, self.interrupt, self.trouble):
            if self.loop is not None:
                self.loop.remove(fd)
            posix.close(fd)

    # -- from the device -------------------------------------------------------------------------------------------

    def config_changed(self) -> None:
        """The configuration space reads differently from now on."""
        self.generation = (self.generation + 1) & MASK
        if self.state & DRIVER_OK:
            lib.virtq_interrupt(self.status, CONFIG_INTERRUPT, self.interrupt)

    def needs_reset(self) -> None:
        """2.1.2: the driver did what it must not do, or the device cannot go on; all stands still until the reset."""
        drain(self.trouble)
        if not self.device_lives():
            return
        self.state |= NEEDS_RESET
        for queue in self.device.queues:
            lib.virtq_break(queue.native)
        drain(self.trouble)
        if self.state & DRIVER_OK:
            lib.virtq_interrupt(self.status, CONFIG_INTERRUPT, self.interrupt)

    def device_lives(self) -> bool:
        return bool(self.state) and not self.state & NEEDS_RESET

    def kicked(self, index: int) -> None:
        drain(self.kicks[index])
        if self.state & DRIVER_OK and not self.state & NEEDS_RESET and self.device.queues[index].ready:
            self.device.kick(index)

    # -- from the driver -------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        if offset >= CONFIG:
            return self.device.read_config(offset - CONFIG, size)
        if size != 4 or offset % 4:
            return 0
        if offset == INTERRUPT_STATUS:
            return int(self.status[0])
        if offset == STATUS:
            return self.state
        queue = self.selected()
        if offset == QUEUE_NUM_MAX:
            return int(queue.native.most) if queue else 0
        if offset == QUEUE_READY:
            return int(queue.ready) if queue else 0
        if offset == DEVICE_FEATURES:
            return self.device.offered() >> 32 * self.device_select & MASK if self.device_select < 2 else 0
        if SHM_LEN <= offset <= SHM_BASE + 4:
            return MASK  # there is no shared memory region
        return {
            MAGIC: 0x74726976, VERSION: 2, DEVICE_ID: self.device.ID, VENDOR_ID: VENDOR,
            CONFIG_GENERATION: self.generation,
        }.get(offset, 0)  # fmt: skip

    def write(self, offset: int, size: int, value: int) -> None:
        if offset >= CONFIG:
            if self.device_lives():
                self.device.write_config(offset - CONFIG, size, value)
        elif size != 4 or offset % 4:
            return
        elif offset == STATUS:
            self.set_status(value)
        elif offset == QUEUE_NOTIFY:
            if value < len(self.kicks):
                posix.write(self.kicks[value], ONE)
        elif offset == INTERRUPT_ACK:
            lib.virtq_status_clear(self.status, value)
        elif offset == DEVICE_FEATURES_SEL:
            self.device_select = value
        elif offset == DRIVER_FEATURES_SEL:
            self.driver_select = value
        elif offset == DRIVER_FEATURES:
            self.accept(value)
        elif offset == QUEUE_SEL:
            self.queue_select = value
        else:
            self.set_queue(offset, value)

    def selected(self) -> Queue | None:
        queues = self.device.queues
        return queues[self.queue_select] if self.queue_select < len(queues) else None

    def accept(self, value: int) -> None:
        """3.1.1: after DRIVER, before FEATURES_OK."""
        if self.driver_select > 1 or not self.state & DRIVER or self.state & FEATURES_OK:
            return
        shift = 32 * self.driver_select
        self.accepted = self.accepted & ~(MASK << shift) | value << shift

    def set_queue(self, offset: int, value: int) -> None:
        queue = self.selected()
        if queue is None or not self.state & FEATURES_OK:
            return
        if offset == QUEUE_READY and value == 0:
            lib.virtq_stop(queue.native)
        if queue.ready or self.state & DRIVER_OK:
            return
        if offset == QUEUE_NUM:
            queue.native.size = value
        elif offset == QUEUE_READY and value == 1:
            if lib.virtq_start(queue.native) < 0:
                self.needs_reset()
        elif (name := ADDRESSES.get(offset & ~4)) is not None:
            shift = 8 * (offset & 4)
            old = getattr(queue.native, name)
            setattr(queue.native, name, old & ~(MASK << shift) | value << shift)

    # -- the life of a device (2.1, 3.1) ---------------------------------------------------------------------------

    def set_status(self, value: int) -> None:
        if value == 0:
            self.reset()
            return
        new = value & ~self.state & ~NEEDS_RESET  # nothing is taken back but all of it
        for bit, first in ((ACKNOWLEDGE, 0), (DRIVER, ACKNOWLEDGE), (FAILED, 0)):
            if new & bit and self.state & first == first:
                self.state |= bit
        if new & FEATURES_OK and self.state & DRIVER:
            self.features_ok()
        if new & DRIVER_OK and self.state & FEATURES_OK and self.device_lives():
            self.state |= DRIVER_OK
            self.activate()

    def features_ok(self) -> None:
        """2.2.2: all of it or not at all; a driver from before virtio 1.0 (without VERSION_1) is turned away."""
        if self.accepted & ~self.device.offered() or not self.accepted & VERSION_1:
            return
        self.state |= FEATURES_OK
        self.device.features = self.accepted
        for queue in self.device.queues:
            queue.native.event_idx = bool(self.accepted & 1 << 29)
            queue.native.indirect = bool(self.accepted & 1 << 28)

    def activate(self) -> None:
        try:
            self.device.activate()
        except OSError:
            self.needs_reset()
            return
        for queue in self.device.queues:
            if queue.ready:
                queue.kick()  # Linux's balloon fills its queue before DRIVER_OK, and kicks too early (3.1.1)

    def reset(self) -> None:
        for queue in self.device.queues:
            lib.virtq_stop(queue.native)
        if self.state & DRIVER_OK:
            self.device.reset()
        self.state = self.accepted = self.device.features = 0
        self.device_select = self.driver_select = self.queue_select = 0
        for queue in self.device.queues:
            native = queue.native
            native.size, native.desc, native.avail, native.used = native.most, 0, 0, 0
            native.event_idx = native.indirect = native.broken = False
            native.generation += 1  # chains in hand are void
        for fd in (*self.kicks, self.trouble):
            drain(fd)
        lib.virtq_status_clear(self.status, MASK)


class Mmio(Registers):
    """The device in a window of the machine's: on its bus and its loop, an ioeventfd for each queue, and an irqfd.

    ``place`` is (address, gsi): ``layout.virtio(slot)``.
    """

    def __init__(self, machine: Any, device: VirtioDevice, place: tuple[int, int]) -> None:
        super().__init__(machine.memory, device, machine.loop)
        self.address, self.gsi = place
        machine.mmio.add(self.address, WINDOW, self)
        machine.fast_status(self.address, self.status)
        machine.vm.irqfd(self.interrupt, self.gsi)
        for index, fd in enumerate(self.kicks):
            machine.vm.ioeventfd(fd, self.address + QUEUE_NOTIFY, 4, index)
