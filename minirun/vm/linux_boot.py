"""Linux into a machine: kernel, initramfs, command line and tables into its memory, its processors to the entry.

    load(machine, kernel, initrd, line, virtio)      everything in place, nothing runs yet
    machine.start()

The kernel is a bzImage or a vmlinux, told apart by their first bytes; a vmlinux starts fastest, for nobody unpacks it.
"""

from __future__ import annotations

from minirun.vm import layout
from minirun.vm.boot import acpi, bzimage, cmdline, cpu, cpuid, elf, realmode, zeropage
from minirun.vm.boot.entry import LONG, REAL, BadKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from typing_extensions import Buffer

    from minirun.linux.kvm_vcpu import Vcpu
    from minirun.vm.boot.entry import Entry
    from minirun.vm.machine import Machine
    from minirun.vm.memory import Memory

BOOT, PVH = "boot", "pvh"  # the ways into a vmlinux: Linux's own boot protocol, or PVH's


def entry(kernel: Buffer, way: str = BOOT) -> Entry:
    """By the kernel's own first bytes.  Raises BadKernel."""
    if elf.is_elf(kernel):
        return elf.pvh_entry(kernel) if way == PVH else elf.entry(kernel)
    if bzimage.is_bzimage(kernel):
        return realmode.entry(kernel) if bzimage.is_real(kernel) else bzimage.entry(kernel)
    raise BadKernel("it is neither a bzImage nor an ELF file")


def load(
    machine: Machine, kernel: Buffer, initrd: Buffer, line: str, virtio: Sequence[tuple[int, int]], way: str = BOOT
) -> Entry:
    """``virtio``: (address, gsi) of the windows, which the DSDT tells.  Raises BadKernel, or ValueError for a size."""
    memory = machine.memory
    start = entry(kernel, way)
    length = memoryview(initrd).nbytes
    at = place(memory.size, start, length)
    told = zeropage.Told(
        e820=layout.e820(memory.size), cmdline=layout.CMDLINE, rsdp=layout.ACPI, initrd=at, initrd_size=length
    )
    for address, piece in start.pieces:
        memory.load(address, memoryview(piece))
    if at:
        memory.load(at, memoryview(initrd))
    memory.write(layout.CMDLINE, cmdline.encoded(line, start.cmdline_most))
    memory.write(layout.ACPI, acpi.tables(len(machine.vcpus), virtio))
    tell(memory, start, told)
    processors(machine, start)
    if start.mode == REAL:
        from minirun.vm.devices.bios import Bios

        if len(machine.vcpus) > 1:  # its BIOS looks at the first one's registers, which must be the one that asks
            raise ValueError("a payload that starts in real mode has one processor")
        Bios(machine, lambda byte: machine.ports.write(layout.SERIAL, 1, byte))
    return start


def place(size: int, start: Entry, length: int) -> int:
    """Where the initramfs goes; 0 without one.  Raises ValueError: this machine is too small."""
    words = f"the machine has {size // layout.MIB} MiB"
    if start.end > min(size, layout.GAP):
        raise ValueError(f"this kernel needs memory up to {start.end // layout.MIB + 1} MiB, and {words}")
    at = layout.initrd(size, length, start.initrd_most) if length else 0
    if at and at < start.end:
        raise ValueError(f"kernel and initramfs need {(start.end + length) // layout.MIB + 1} MiB, and {words}")
    return at


def tell(memory: Memory, start: Entry, told: zeropage.Told) -> None:
    """What the entry's protocol has in memory."""
    if start.mode == REAL:
        return
    if start.rbx:
        memory.write(start.rbx, zeropage.hvm_start_info(told, start.rbx))
    else:
        memory.write(layout.BOOT_PARAMS, zeropage.boot_params(told, start.header))
    memory.write(layout.GDT, cpu.gdt(start.mode))
    if start.mode == LONG:
        memory.write(layout.PAGE_TABLES, cpu.page_tables())


def processors(machine: Machine, start: Entry) -> None:
    """CPUID for all; registers for the first: the others wait until the guest wakes them."""
    supported: Any = machine.kvm.get_supported_cpuid()
    for vcpu in machine.vcpus:
        vcpu.set_cpuid2(cpuid.leaves(supported, vcpu.number, len(machine.vcpus)))
    first = machine.vcpus[0]
    enter(first, start)
    for vcpu in machine.vcpus:
        vcpu.set_msrs(dict(cpu.MSRS))


def enter(vcpu: Vcpu, start: Entry) -> None:
    sregs = vcpu.get_sregs()
    for name, value in (realmode.sregs() if start.mode == REAL else cpu.sregs(start.mode)).items():
        setattr(sregs, name, value)
    vcpu.set_sregs(sregs)
    regs = vcpu.get_regs()
    for name, value in cpu.regs(start.rip, start.rsi, start.rbx).items():
        setattr(regs, name, value)
    if start.mode == REAL:
        regs.rsp = realmode.HEAP_END
    vcpu.set_regs(regs)
