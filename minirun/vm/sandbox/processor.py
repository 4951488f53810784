"""The VM, and its one processor in user mode (Intel SDM volume 3, chapters 2 to 6; AMD APM volume 2).

Long mode, level 3 from the first instruction.  The tables that the processor wants are the least: a GDT with Linux's
selectors, an IDT whose entries push their number and leave the VM, a task state for the stack of level 0.
"""

from __future__ import annotations

import posix
from _struct import pack, pack_into

from minirun.linux.kvm import Kvm, ffi, ioctl, lib
from minirun.linux.kvm_vm import Vm
from minirun.vm.sandbox import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from minirun.vm.sandbox.first import First
    from minirun.vm.sandbox.memory import Memory

CR0 = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31  # PE MP ET NE WP PG
CR4 = 1 << 5 | 1 << 9 | 1 << 10 | 1 << 18  # PAE OSFXSR OSXMMEXCPT OSXSAVE
EFER = 1 << 0 | 1 << 8 | 1 << 10 | 1 << 11  # SCE LME LMA NXE
FMASK = 0x257FD5  # of RFLAGS, as Linux has it
XCR0 = 7  # x87, SSE, AVX
WITH_ERROR = {8, 10, 11, 12, 13, 14, 17, 21, 29, 30}
FOR_PROGRAMS = (3, 4)  # int3, into: the gates that level 3 may call by itself
VECTORS = 32
CALLED, RESULT, AS_IT_IS = lib.GUEST_CALL, lib.GUEST_RESULT, lib.GUEST_AS_IT_IS
XSAVE_SIZE = 4096
STUB = 16  # where in the entry page SYSRET stands
Saved = tuple[bytes, int, int, bytes]  # general registers, FS and GS base, XSAVE state


def entry_page() -> bytes:
    """``out PORT_CALL, eax``; whoever comes back here by himself does it again.  Then the way back: ``sysretq``."""
    return bytes((0xE7, lib.PORT_CALL, 0xEB, 0xFC)).ljust(STUB, b"\xcc") + b"\x48\x0f\x07"


def fault_page() -> bytes:
    """For each vector 16 bytes: push an error code if the processor did not, push the vector, leave."""
    code = bytearray()
    for vector in range(VECTORS):
        one = (b"" if vector in WITH_ERROR else b"\x6a\x00") + bytes((0x6A, vector)) + bytes((0xE6, lib.PORT_FAULT))
        code += (one + b"\xeb\xfe").ljust(16, b"\xcc")
    return bytes(code)


def gdt() -> bytes:
    code, data = 0x00AF9B000000FFFF, 0x00CF93000000FFFF
    level3 = 3 << 45
    state = layout.STATES  # a descriptor that nobody loads: each vCPU's task register is set from outside
    task = 104 + 18 - 1 | (state & 0xFFFFFF) << 16 | 0x89 << 40 | (state >> 24 & 0xFF) << 56
    return pack("<10Q", 0, 0, code, data, 0, data | level3, code | level3, 0, task, state >> 32)


def idt() -> bytes:
    table = b""
    for vector in range(VECTORS):
        at = layout.FAULTS + 16 * vector
        kind = 0xEE if vector in FOR_PROGRAMS else 0x8E
        table += pack("<HHBBHII", at & 0xFFFF, layout.KERNEL_CS, 0, kind, at >> 16 & 0xFFFF, at >> 32, 0)
    return table


def task_state(stack: int) -> bytes:
    """The stack of level 0; and a map of ports in which level 3 may use PORT_CALL, and no other.

    Where KVM is emulated, SYSCALL leaves the processor at level 3, and the ``out`` behind it has to be allowed there.
    """
    ports = bytearray(b"\xff" * 18)
    ports[lib.PORT_CALL // 8] &= ~(0xF << lib.PORT_CALL % 8)  # four ports: the access has four bytes
    data = bytearray(104) + ports
    pack_into("<Q", data, 4, stack)
    pack_into("<H", data, 102, 104)
    return bytes(data)


def xsave(fd: int) -> bytes:
    area = ffi.new("struct kvm_xsave *")
    ioctl(fd, "KVM_GET_XSAVE", area)
    return bytes(ffi.buffer(area, XSAVE_SIZE))


def set_xsave(fd: int, data: bytes) -> None:
    area = ffi.new("struct kvm_xsave *")
    ffi.memmove(area, data, min(len(data), XSAVE_SIZE))
    ioctl(fd, "KVM_SET_XSAVE", area)


class Processor:
    """A VM with one vCPU around ``memory``."""

    cpuid: ClassVar[list[Any]] = []  # struct kvm_cpuid2, kept over fork(2)

    def __init__(
        self, memory: Memory, kvm: Kvm, vm: Vm | None = None, index: int = 0, first: First | None = None
    ) -> None:
        self.memory = memory
        self.kvm = kvm
        self.index = index
        self.native: Any = ffi.new("struct guest *")
        self.native.space = memory.space
        self.knows = first is not None  # what it is: KVM_SET_CPUID2
        if first is not None:
            self.take(first)
        else:
            self.make(vm)
        self.state = layout.STATES + index * 2 * layout.PAGE  # the task state, and behind it the stack
        self.native.stack = self.state + 2 * layout.PAGE
        self.native.stub = layout.ENTRY + STUB
        self.regs: Any = lib.guest_regs(self.native)
        self.sregs: Any = lib.guest_sregs(self.native)
        self.flip = 0
        self.seen = -1
        self.kept = b""  # the XSAVE state, for another processor that goes on with it
        self.ready: tuple[Any, Any, Any] | None = None  # what prepared() has made
        self.furnish_state()

    def take(self, first: First) -> None:
        """What has been made."""
        self.vm = Vm(first.native.vm, first.native.run_size)
        self.fd = self.native.fd = first.native.vcpu
        self.native.run, self.native.run_size = first.native.run, first.native.run_size
        Processor.cpuid[:] = [first.cpuid]
        self.memory.begun(self.vm)

    def descriptors(self) -> list[int]:
        return [self.vm.fd, self.fd]

    def moved(self, vm: int, own: int) -> None:
        """The same, by other descriptors."""
        self.vm.fd, self.fd, self.native.fd = vm, own, own

    def make(self, vm: Vm | None) -> None:
        """One more of ``vm``, or one with a VM of its own."""
        self.vm = vm or self.kvm.create_vm()
        self.fd = self.native.fd = ioctl(self.vm.fd, "KVM_CREATE_VCPU", self.index)
        if lib.guest_map(self.native, self.vm.run_size) < 0:
            raise OSError(ffi.errno, "mmap of kvm_run", "KVM_GET_VCPU_MMAP_SIZE")
        if vm is None:
            self.memory.attach(self.vm)

    def furnish(self) -> None:
        """The system's pages, in a memory that was cleared."""
        memory = self.memory
        host = memory.base
        for at, data in ((layout.GDT, gdt()), (layout.IDT, idt()), (layout.ENTRY, entry_page()),
                         (layout.FAULTS, fault_page())):  # fmt: skip
            ffi.memmove(ffi.cast("char *", host + at), data, len(data))
        system = lib.SPACE_SYSTEM | lib.SPACE_READ
        for at in (layout.GDT, layout.IDT):
            lib.space_map(memory.space, at, 4096, system | lib.SPACE_WRITE)
        self.furnish_state()
        lib.space_map(memory.space, layout.FAULTS, 4096, system | lib.SPACE_EXEC)
        lib.space_map(memory.space, layout.ENTRY, 4096, lib.SPACE_READ | lib.SPACE_EXEC)

    def furnish_state(self) -> None:
        """This vCPU's own: its task state and the stack of level 0."""
        data = task_state(self.native.stack)
        ffi.memmove(ffi.cast("char *", self.memory.base + self.state), data, len(data))
        system = lib.SPACE_SYSTEM | lib.SPACE_READ | lib.SPACE_WRITE
        lib.space_map(self.memory.space, self.state, 2 * layout.PAGE, system)

    def prepared(self, stack: int, tls: int) -> Any:
        """struct again, for ``again`` after a fork(2): made before it, for what a child touches is copied.

        The same one each time: what the parent touches between two children is each one's own, too.
        """
        made, registers, area = self.ready or self.get_ready()
        ffi.memmove(registers, self.regs, ffi.sizeof("struct kvm_regs"))
        ioctl(self.fd, "KVM_GET_XSAVE", area)
        registers.rax = 0
        if stack:
            registers.rsp = stack
        made.vm, made.fs, made.gs = self.vm.fd, tls or self.sregs.fs.base, self.sregs.gs.base
        if made.count != len(self.memory.slots):
            self.slots = made.slots = ffi.new("uint32_t[]", list(self.memory.slots))
            made.count = len(self.memory.slots)
        return made

    def get_ready(self) -> tuple[Any, Any, Any]:
        self.start_state, registers = self.beginning(), ffi.new("struct kvm_regs *")
        area = ffi.new("struct kvm_xsave *")
        made = ffi.new("struct again *", {
            "kvm": self.kvm.fd, "cpuid": self.supported(), "start": self.start_state, "slot_size": layout.SLOT,
            "regs": registers, "xsave": area,
        })  # fmt: skip
        self.ready = made, registers, area
        return self.ready

    def again(self, prepared: Any) -> None:
        """In a child after fork(2), for the VM's first processor: the same one in a VM of its own."""
        self.vm.fd = lib.guest_again(self.native, prepared)
        if self.vm.fd < 0:
            raise OSError(ffi.errno, posix.strerror(ffi.errno), "a VM of a copy")
        self.fd = self.native.fd
        self.flip, self.seen = 0, self.memory.epoch

    def leave(self) -> None:
        """In a child after fork(2): what was the parent's is not ours to use."""
        lib.guest_unmap(self.native)  # a mapping holds on to the parent's VM, too
        posix.close(self.fd)
        if self.index == 0:
            self.vm.close()

    def beginning(self) -> Any:
        """struct start: level 3, everything zero."""
        return ffi.new("struct start *", {
            "cr0": CR0, "cr4": CR4, "efer": EFER, "xcr0": XCR0, "root": layout.TABLES, "gdt": layout.GDT,
            "gdt_limit": 79, "idt": layout.IDT, "idt_limit": VECTORS * 16 - 1, "state": self.state,
            "state_limit": 104 + 18 - 1, "star": 0x23 << 48 | layout.KERNEL_CS << 32, "lstar": layout.ENTRY,
            "fmask": FMASK,
        })  # fmt: skip

    def begin(self) -> None:
        start = self.beginning()
        cpuid = ffi.NULL if self.knows else self.supported()
        if lib.guest_begin(self.native, cpuid, start) < 0:
            raise OSError(ffi.errno, posix.strerror(ffi.errno), "a processor in user mode")
        self.fresh = xsave(self.fd)

    def supported(self) -> Any:
        """What KVM can show a guest, as it is: asked once for all processes that come from the first one."""
        return Processor.cpuid[0]

    def start(self, entry: int, stack: int) -> None:
        """The registers of a program that begins."""
        if lib.guest_start(self.native, entry, stack, ffi.from_buffer(self.fresh)) < 0:
            raise OSError(ffi.errno, posix.strerror(ffi.errno), "KVM_SET_XSAVE")

    def touch(self) -> None:
        """The registers in kvm_run are the ones to go on with."""
        lib.guest_dirty(self.native)

    def xsave(self) -> bytes:
        return xsave(self.fd)

    def set_xsave(self, data: bytes) -> None:
        set_xsave(self.fd, data)

    def save(self) -> Saved:
        """Of a vCPU that stands at a system call; its descriptors are closed by whoever has them."""
        regs = bytes(ffi.buffer(ffi.addressof(self.regs[0])))
        return regs, int(self.sregs.fs.base), int(self.sregs.gs.base), self.kept

    def restore(self, saved: Saved) -> None:
        regs, fs, gs, state = saved
        ffi.memmove(self.regs, regs, len(regs))
        self.sregs.fs.base, self.sregs.gs.base = fs, gs
        if state:
            set_xsave(self.fd, state)
        self.touch()

    def next(self, how: int, result: int = 0) -> int:
        """The next exit."""
        if self.seen != self.memory.epoch:
            self.seen = self.memory.epoch
            self.flip ^= 1
            self.sregs.cr3 = layout.TABLES + 4096 * self.flip
            lib.guest_dirty(self.native)
        done: int = lib.guest_next(self.native, how, result)
        return done
