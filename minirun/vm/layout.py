"""PURE: where everything lies in the guest's physical memory, in its ports and among its interrupts, and why there.

0x000472         one word that Linux leaves behind when it restarts (``RESET_WORD``)
0x000500         GDT of the entry
0x006000         PVH: hvm_start_info, its module and its memory map
0x007000         boot_params, the "zero page" of the Linux boot protocol
0x009000         page tables of the entry: PML4, PDPT, four page directories
0x020000         the command line
0x09fc00         end of the memory below 640 KiB
0x0e0000         ACPI tables, where a BIOS has them
0x100000         the kernel
... top of low   the initramfs
0xd0000000       virtio-mmio windows, a page each
0xfec00000       I/O APIC, 0xfee00000 local APICs (KVM's)
0x100000000      the rest of the memory
"""

from __future__ import annotations

PAGE = 4096
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# Memory below 1 MiB: only the entry lives there, and what it was given; Linux keeps off it until it has read it.
RESET_WORD = 0x472  # the BIOS data area's "soft reset flag": arch/x86/kernel/reboot.c writes it, see ``cmdline``
GDT = 0x500  # right behind the BIOS data area (0x400-0x4ff)
PVH_INFO = 0x6000  # a page before boot_params, so that both can be there; nothing else is near
BOOT_PARAMS = 0x7000  # 4 KiB; traditionally free, 0x7c00 being the boot sector's
STACK = 0x8FF0  # grows down towards the end of boot_params; the 64-bit entry does not need it, payloads may
PAGE_TABLES = 0x9000  # six pages: they map the first 4 GiB one to one
PAGE_TABLE_PAGES = 6
CMDLINE = 0x20000  # room for the longest command line there is (COMMAND_LINE_SIZE is 2048 on x86)
CMDLINE_MOST = 64 * KIB  # nothing else before 0x30000
LOW_END = 0x9FC00  # a PC's extended BIOS data area begins here; 640 KiB less one KiB
ACPI = 0xE0000  # ACPI 6.4, 5.2.5.1: the RSDP is looked for in [0xe0000, 1 MiB)
ACPI_END = 0x100000
KERNEL = 0x100000  # "loaded high" (x86/boot.rst); a relocatable kernel moves itself to where it likes

# Above: the guest's memory ends at 3 GiB and goes on at 4 GiB (memory.py); between them there are devices.
GAP = 3 * GIB
HIGH = 4 * GIB
VIRTIO = 0xD0000000  # 256 MiB above the gap's begin: free for a window that has to grow
VIRTIO_STEP = PAGE  # one page each, so that a guest can map one without its neighbours
IO_APIC = 0xFEC00000  # where every PC and KVM_CREATE_IRQCHIP have it
LOCAL_APIC = 0xFEE00000  # the same
TSS = 0xFFFBD000  # three pages that KVM_SET_TSS_ADDR wants on Intel: below the BIOS's place, outside of memory
IDENTITY_MAP = 0xFFFBC000  # one page, KVM_SET_IDENTITY_MAP_ADDR: right before them

# Ports.
SERIAL = 0x3F8  # COM1, which console=ttyS0 means without being told
SERIAL_PORTS = 8
I8042 = 0x60  # data here, command and status at 0x64
I8042_PORTS = 5
PM = 0x600  # our own choice: outside of what ISA had (below 0x400) and of PCI configuration (0xcf8)
PM_PORTS = 16
BIOS = 0xB0  # unused on every PC; only payloads in real mode write to it, by our own stubs

# Interrupts (GSIs: pins of the I/O APIC; without overrides an ISA interrupt has the pin of its number).
SERIAL_GSI = 4  # COM1's
SCI_GSI = 9  # ACPI's own, customary on PCs
# No virtio device on 0-4 (timer, keyboard, cascade, COM2, COM1), 8 (clock), 9 (SCI), 12 (mouse), 13 (FPU): a guest
# without ACPI claims them unasked.
VIRTIO_GSIS = (5, 6, 7, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23)
VIRTIO_MOST = len(VIRTIO_GSIS)
VCPUS_MOST = 254  # local APIC ids are bytes in the MADT's plain entries, 255 is everybody


def virtio(slot: int) -> tuple[int, int]:
    """(address, gsi) of a virtio-mmio window.  Raises ValueError above VIRTIO_MOST."""
    if not 0 <= slot < VIRTIO_MOST:
        raise ValueError(f"a machine has {VIRTIO_MOST} places for virtio devices, and no number {slot}")
    return VIRTIO + slot * VIRTIO_STEP, VIRTIO_GSIS[slot]


def ram(size: int) -> list[tuple[int, int]]:
    """(address, length) of the guest's memory, as ``Memory`` has it."""
    low = min(size, GAP)
    return [(0, low)] + ([(HIGH, size - low)] if size > low else [])


RAM, RESERVED = 1, 2  # types of the BIOS's e820 call, ACPI 6.4, table 15.1; hvm_start_info has the same


def e820(size: int) -> list[tuple[int, int, int]]:
    """(address, length, type): what the guest may use as memory, and what it must leave alone."""
    low = min(size, GAP)
    table = [(0, LOW_END, RAM), (LOW_END, KERNEL - LOW_END, RESERVED), (KERNEL, low - KERNEL, RAM)]
    return table + [(start, length, RAM) for start, length in ram(size)[1:]]


def initrd(size: int, length: int, highest: int = GAP - 1) -> int:
    """Where an initramfs of ``length`` bytes goes: as high as it may, for the kernel unpacks itself below.

    ``highest``: the last address it may reach (initrd_addr_max).  Raises ValueError.
    """
    start = (min(size, GAP, highest + 1) - length) & -PAGE
    if start < KERNEL:
        raise ValueError(f"an initramfs of {length} bytes does not fit in {size // MIB} MiB")
    return start
