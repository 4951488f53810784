"""A machine: memory, vCPUs with a thread each, the two buses, and its life.

    machine = Machine(memory, vcpus=2, loop=loop)      built, nothing runs
    machine.ports.add(0x3F8, 8, serial)                who answers where
    machine.on_end(lambda reason: loop.stop())
    machine.start()                                    the vCPUs run
    loop.run()                                         ... until the guest or a device ends it
    machine.close()

Three kinds of thread: the loop's, which owns the devices' descriptors; one per vCPU, in C nearly always; a device's own
workers, in C only.  A vCPU takes ``loop.lock`` while it is in a device.  ``pause`` and the end wait for the vCPUs with
that lock released, or a vCPU that waits for it would never arrive.
"""

from __future__ import annotations

import posix
from _thread import allocate_lock, start_new_thread

from minirun.linux.kvm import Kvm, ffi, lib
from minirun.vm import exits
from minirun.vm.bus import Bus
from minirun.vm.layout import IDENTITY_MAP, TSS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.linux.kvm_vcpu import Vcpu
    from minirun.vm.bus import Device
    from minirun.vm.loop import Loop
    from minirun.vm.memory import Memory

EINVAL = 22


class Ports(Bus):
    """Port 0 to 0xffff; C answers those that nobody owns."""

    def __init__(self, shared: Any) -> None:
        super().__init__()
        self.shared = shared

    def add(self, base: int, length: int, device: Device) -> None:
        super().add(base, length, device)
        lib.vcpu_own_ports(self.shared, base, length)


class Thread:
    """A vCPU's thread, as those who wait for it see it."""

    def __init__(self, vcpu: Vcpu) -> None:
        self.vcpu = vcpu
        self.started = False
        self.parked = False  # it stands before the gate
        self.over = taken()  # given when it is no more

    def stands(self) -> bool:
        return self.parked or not self.started or not self.over.locked()


def give(lock: Any) -> None:
    """A binary semaphore; another may have given it already."""
    try:
        lock.release()
    except RuntimeError:
        return


def taken() -> Any:
    lock = allocate_lock()
    lock.acquire()
    return lock


def fit(value: int, size: int) -> int:
    """What goes over a bus of ``size`` bytes; a device may think wider."""
    return value & ((1 << 8 * size) - 1)


class Machine:
    """``irqchip`` False: no interrupt controllers, and ``hlt`` is an exit (the first rungs of the ladder)."""

    def __init__(self, memory: Memory, vcpus: int, loop: Loop, *, irqchip: bool = True) -> None:
        self.memory = memory
        self.loop = loop
        self.kvm = Kvm()
        self.vm = self.kvm.create_vm()
        self.shared: Any = ffi.new("struct vcpu_shared *")
        self.ports = Ports(self.shared)
        self.mmio = Bus()
        self.held: list[Any] = []  # what C points to
        base = int(ffi.cast("uintptr_t", memory.native.host))
        for slot, (address, length, offset) in enumerate(memory.regions()):
            self.vm.set_user_memory_region(slot, address, length, base + offset)
        self.vm.set_identity_map_addr(IDENTITY_MAP)
        self.vm.set_tss_addr(TSS)
        if irqchip:
            self.vm.create_irqchip()
            self.vm.create_pit2()
        self.vcpus = [self.vm.create_vcpu(number) for number in range(vcpus)]
        self.threads = [Thread(vcpu) for vcpu in self.vcpus]
        for vcpu in self.vcpus:
            vcpu.native.shared = self.shared
        self.end: exits.Exit | None = None
        self.paused = False
        self.gate = allocate_lock()  # held from pause to resume; vCPUs wait for it
        self.arrived = taken()  # given whenever one has come to the gate, or to its end
        self.verbs = allocate_lock()  # one of pause, resume and the end at a time
        self.ended: list[Callable[[exits.Exit], None]] = []
        self.bell = posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)
        loop.add(self.bell, self.finish)

    def fast_status(self, address: int, pointer: Any) -> None:
        """InterruptStatus and InterruptACK of the virtio-mmio window at ``address`` are this ``uint32_t`` from now on.

        A device sets bits in it atomically (C: ``__atomic_or_fetch``), then writes to its irqfd.
        """
        if lib.vcpu_fast_status(self.shared, address, pointer) < 0:
            raise ValueError(f"the window {address:#x} shares its place in the vCPU loop's table with another")
        self.held.append(pointer)

    def on_end(self, callback: Callable[[exits.Exit], None]) -> None:
        """``callback`` is called once, by the loop, when no vCPU runs any more."""
        self.ended.append(callback)

    def start(self) -> None:
        """The vCPUs run, each in its thread."""
        for thread in self.threads:
            thread.started = True
            start_new_thread(self.work, (thread,))

    def work(self, thread: Thread) -> None:
        """The life of a vCPU's thread."""
        try:
            thread.vcpu.thread(f"vcpu{thread.vcpu.number}")
            while self.end is None:
                if self.paused:
                    thread.parked = True
                    give(self.arrived)
                    with self.gate:
                        thread.parked = False
                else:
                    self.serve(thread.vcpu, exits.next_exit(thread.vcpu, self.memory))
        except BaseException as error:  # a defect of a device's must end the machine, not one of its threads
            self.conclude(exits.Broken(error=error))
        finally:
            thread.over.release()
            give(self.arrived)

    def serve(self, vcpu: Vcpu, reason: exits.Exit) -> None:
        """Carry out an access; anything else ends the machine."""
        lock = self.loop.lock
        if isinstance(reason, exits.IoOut):
            with lock:
                self.ports.write(reason.port, reason.size, reason.value)
        elif isinstance(reason, exits.IoIn):
            with lock:
                vcpu.native.value = fit(self.ports.read(reason.port, reason.size), reason.size)
        elif isinstance(reason, exits.MmioWrite):
            with lock:
                self.mmio.write(reason.address, reason.size, reason.value)
        elif isinstance(reason, exits.MmioRead):
            with lock:
                vcpu.native.value = fit(self.mmio.read(reason.address, reason.size), reason.size)
        elif not isinstance(reason, exits.Kicked):
            self.conclude(reason)

    def stop(self, why: str) -> None:
        """From any thread, a device included: the vCPUs come to an end, then the loop calls ``on_end``."""
        self.conclude(exits.Stopped(why=why))

    def conclude(self, reason: exits.Exit) -> None:
        if self.end is not None:  # the first reason counts
            return
        self.end = reason
        for vcpu in self.vcpus:
            vcpu.kick()
        posix.eventfd_write(self.bell, 1)

    def finish(self, _events: int) -> None:
        """In the loop: wait for the threads, then tell."""
        self.loop.remove(self.bell)
        with Released(self.loop.lock), self.verbs:
            if self.paused:
                self.paused = False
                self.gate.release()
            for thread in self.threads:
                if thread.started:
                    thread.over.acquire()
        callbacks, self.ended = self.ended, []
        assert self.end is not None
        for callback in callbacks:
            callback(self.end)

    def pause(self) -> None:
        """No vCPU is in the guest when this returns.  Not from a vCPU's own thread (a device's read or write)."""
        with Released(self.loop.lock), self.verbs:
            if self.paused or self.end is not None:
                return
            self.gate.acquire()
            self.paused = True
            for vcpu in self.vcpus:
                vcpu.kick()
            while not all(thread.stands() for thread in self.threads):
                self.arrived.acquire()

    def resume(self) -> None:
        with Released(self.loop.lock), self.verbs:
            if not self.paused:
                return
            self.paused = False
            for vcpu in self.vcpus:
                try:
                    vcpu.kvmclock_ctrl()
                except OSError as error:
                    if error.errno != EINVAL:
                        raise
                if self.end is None:
                    vcpu.unkick()
            self.gate.release()

    def exits(self) -> dict[str, int]:
        """How many exits of each kind, all vCPUs together; ``in-c`` and ``in-python`` say who answered them."""
        found = {"in-c": 0, "in-python": 0, "kick": 0}
        for vcpu in self.vcpus:
            native = vcpu.native
            found["in-c"] += native.in_c
            found["in-python"] += native.in_python
            found["kick"] += native.kicks
            for number, count in enumerate(native.reasons):
                if count:
                    name = NAMES.get(number, str(number))
                    found[name] = found.get(name, 0) + count
        return found

    def close(self) -> None:
        """Give everything back.  The vCPUs must have ended, or never have been started."""
        if self.end is None:
            self.end = exits.Stopped(why="closed")
        self.loop.remove(self.bell)
        posix.close(self.bell)
        for vcpu in self.vcpus:
            vcpu.close()
        self.vm.close()
        self.kvm.close()


class Released:
    """An RLock that this thread may hold, not held inside the block."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.state: Any = None

    def __enter__(self) -> None:
        if self.lock._is_owned():
            self.state = self.lock._release_save()

    def __exit__(self, *_: object) -> None:
        if self.state is not None:
            self.lock._acquire_restore(self.state)


NAMES = {
    getattr(lib, f"KVM_EXIT_{word}"): word.lower().replace("_", "-")
    for word in (
        "UNKNOWN", "EXCEPTION", "IO", "HYPERCALL", "DEBUG", "HLT", "MMIO", "IRQ_WINDOW_OPEN", "SHUTDOWN", "FAIL_ENTRY",
        "INTR", "NMI", "INTERNAL_ERROR", "SYSTEM_EVENT",
    )
}  # fmt: skip
