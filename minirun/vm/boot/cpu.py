"""PURE: the state in which a processor enters a kernel: GDT, page tables, registers.

64-bit entry (x86/boot.rst, "64-bit boot protocol"): paging on, kernel, boot_params and command line mapped one to one,
CS 0x10 and DS, ES, SS 0x18, interrupts off, RSI = boot_params.  32-bit entry, PVH's too (xen/docs/misc/pvh.pandoc):
protected mode, paging off, flat segments, interrupts off; ESI = boot_params, or EBX = hvm_start_info.

Only the first processor is set up; the others wait for INIT and SIPI from the guest, as on any PC.
"""

from __future__ import annotations

from _struct import pack

from minirun.vm import layout
from minirun.vm.boot.entry import LONG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CR0_PE, CR0_ET, CR0_PG = 1 << 0, 1 << 4, 1 << 31
CR4_PAE = 1 << 5
EFER_LME, EFER_LMA = 1 << 8, 1 << 10
CODE, DATA, TASK = 0x10, 0x18, 0x20  # selectors: __BOOT_CS, __BOOT_DS (the protocol's), and a TSS

# A segment's attributes (SDM 3.4.5): type, S, DPL 0, P, L, D/B, G.
EXECUTE_READ, READ_WRITE, BUSY_TSS = 0xB, 0x3, 0xB


def attributes(kind: int, *, system: bool = False, long: bool = False) -> int:
    """The twelve bits of a descriptor that are not base and limit."""
    flat = not system
    return kind | (0 if system else 1 << 4) | 1 << 7 | long << 13 | (flat and not long) << 14 | flat << 15


def descriptor(bits: int, limit: int) -> int:
    """A GDT entry with base 0."""
    return limit & 0xFFFF | bits << 40 | (limit >> 16 & 0xF) << 48


def limit_of(bits: int) -> int:
    """Granular segments cover 4 GiB, the TSS its smallest size."""
    return 0xFFFFF if bits & 1 << 15 else 0x67


def descriptors(mode: str) -> dict[int, int]:
    """Attributes by selector."""
    long = mode == LONG
    return {
        CODE: attributes(EXECUTE_READ, long=long),
        DATA: attributes(READ_WRITE),
        TASK: attributes(BUSY_TSS, system=True),
    }


def gdt(mode: str) -> bytes:
    """Two empty entries and the three above."""
    table = descriptors(mode)
    return bytes(16) + b"".join(pack("<Q", descriptor(bits, limit_of(bits))) for bits in table.values())


def page_tables() -> bytes:
    """The first 4 GiB one to one, in pages of 2 MiB (those of 1 GiB are not on every processor)."""
    present, large = 0b11, 1 << 7
    top, directory = layout.PAGE_TABLES + 4096, layout.PAGE_TABLES + 8192
    root = pack("<Q", top | present).ljust(4096, b"\0")
    third = pack("<4Q", *(directory + number * 4096 | present for number in range(4))).ljust(4096, b"\0")
    return root + third + pack("<2048Q", *range(present | large, 4 * layout.GIB, 2 * layout.MIB))


def segment(selector: int, bits: int) -> dict[str, int]:
    """struct kvm_segment: the descriptor, taken apart."""
    limit = limit_of(bits)
    return {
        "base": 0, "limit": limit << 12 | 0xFFF if bits & 1 << 15 else limit, "selector": selector,
        "type": bits & 0xF, "s": bits >> 4 & 1, "dpl": bits >> 5 & 3, "present": bits >> 7 & 1,
        "avl": 0, "l": bits >> 13 & 1, "db": bits >> 14 & 1, "g": bits >> 15 & 1, "unusable": 0,
    }  # fmt: skip


def sregs(mode: str) -> dict[str, Any]:
    """Members of struct kvm_sregs to change; what is not named keeps KVM's reset value."""
    table = descriptors(mode)
    data = segment(DATA, table[DATA])
    changed: dict[str, Any] = {
        "cs": segment(CODE, table[CODE]), "ds": data, "es": data, "fs": data, "gs": data, "ss": data,
        "tr": segment(TASK, table[TASK]),
        "gdt": {"base": layout.GDT, "limit": 16 + 8 * len(table) - 1}, "idt": {"base": 0, "limit": 0},
        "cr0": CR0_PE | CR0_ET, "cr3": 0, "cr4": 0, "efer": 0,
    }  # fmt: skip
    if mode == LONG:
        changed |= {"cr0": CR0_PE | CR0_ET | CR0_PG, "cr3": layout.PAGE_TABLES, "cr4": CR4_PAE}
        changed["efer"] = EFER_LME | EFER_LMA
    return changed


def regs(rip: int, rsi: int, rbx: int) -> dict[str, int]:
    """Members of struct kvm_regs; the others are 0.  RFLAGS: only the bit that is always one, interrupts off."""
    return {"rip": rip, "rsi": rsi, "rbx": rbx, "rflags": 2, "rsp": layout.STACK, "rbp": 0, "rdi": 0}


# MSRs (SDM volume 4): (index, value).
MISC_ENABLE, MTRR_DEF_TYPE = 0x1A0, 0x2FF
MSRS = (
    (MISC_ENABLE, 1),  # fast string instructions, as after a BIOS: otherwise Linux copies without them
    (MTRR_DEF_TYPE, 1 << 11 | 6),  # MTRRs on, memory is write-back: the guest's caching is KVM's affair anyway
)
