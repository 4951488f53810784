"""PURE: the ACPI tables, by which a distribution's kernel finds everything that it cannot ask PCI for (ACPI 6.4).

    RSDP -> XSDT -> FADT -> DSDT (the devices, in AML)
                 |       -> FACS
                 -> MADT (processors, I/O APIC)

What is *absent* is said too, in the FADT's IAPC_BOOT_ARCH: no VGA, no clock in CMOS, no keyboard controller.  A kernel
that believes it does not probe for them, and that is half a second saved (the i8042's probing waits for a time-out).
"""

from __future__ import annotations

from _struct import pack

from minirun.vm import layout
from minirun.vm.boot import aml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OEM, TABLE, CREATOR = b"MINIRU", b"MINIRUN ", b"MINI"

# The fixed hardware (4.8), all in one block of ports; ``devices/acpi_pm.py`` answers there.
EVENT = layout.PM  # PM1a_EVT_BLK: status and enable, 16 bits each
EVENT_LENGTH = 4
CONTROL = layout.PM + 4  # PM1a_CNT_BLK
CONTROL_LENGTH = 2
RESET = layout.PM + 8  # RESET_REG, one byte
RESET_VALUE = 1
SLEEP_OFF = 5  # SLP_TYPa of S5, as \_S5 below says it

# IAPC_BOOT_ARCH (table 5.11).  Not LEGACY_DEVICES, not 8042.
VGA_NOT_PRESENT, MSI_NOT_SUPPORTED, ASPM_CONTROLS, CMOS_RTC_NOT_PRESENT = 1 << 2, 1 << 3, 1 << 4, 1 << 5
BOOT_ARCH = VGA_NOT_PRESENT | MSI_NOT_SUPPORTED | ASPM_CONTROLS | CMOS_RTC_NOT_PRESENT
# Flags (table 5.10): WBINVD works, C1 works on all processors, no sleep button of the fixed kind (the power button
# is), reset register.
WBINVD, PROC_C1, SLP_BUTTON, RESET_REG_SUP = 1 << 0, 1 << 2, 1 << 5, 1 << 10
FLAGS = WBINVD | PROC_C1 | SLP_BUTTON | RESET_REG_SUP


def checksum(table: bytes | bytearray) -> int:
    """The byte that makes the sum of all of them zero."""
    return -sum(table) & 0xFF


def table(signature: bytes, revision: int, content: bytes) -> bytes:
    """A table with its header (5.2.6)."""
    head = pack("<4sIBB6s8sI4sI", signature, 36 + len(content), revision, 0, OEM, TABLE, 1, CREATOR, 1)
    whole = bytearray(head + content)
    whole[9] = checksum(whole)
    return bytes(whole)


def ports(address: int, bits: int, access: int) -> bytes:
    """Generic address structure (5.2.3.2): in I/O space; an address of 0 means that there is none."""
    return pack("<BBBBQ", 1, bits, 0, access, address) if address else bytes(12)


def rsdp(xsdt: int) -> bytes:
    """The root pointer (5.2.5.3), revision 2: of its two checksums the first covers the first 20 bytes."""
    first = bytearray(pack("<8sB6sBI", b"RSD PTR ", 0, OEM, 2, 0))
    first[8] = checksum(first)
    whole = first + pack("<IQB3x", 36, xsdt, 0)
    whole[32] = checksum(whole)
    return bytes(whole)


def facs() -> bytes:
    """Firmware control structure (5.2.10): no checksum; nothing in it is used, but ACPI without it is an error."""
    return pack("<4sI", b"FACS", 64).ljust(32, b"\0") + b"\2".ljust(32, b"\0")


def fadt(facs_at: int, dsdt_at: int) -> bytes:
    """Fixed description table (5.2.9), revision 6.3."""
    content = pack(
        "<II B B H I BBBB IIIIIIII BBBBBBBB HHHH BBBB B H B I",
        facs_at, dsdt_at, 0, 0, layout.SCI_GSI,
        0, 0, 0, 0, 0,  # SMI_CMD 0: ACPI is on from the beginning, there is nothing to switch over
        EVENT, 0, CONTROL, 0, 0, 0, 0, 0,
        EVENT_LENGTH, CONTROL_LENGTH, 0, 0, 0, 0, 0, 0,
        0xFFFF, 0xFFFF, 0, 0,  # C2 and C3: none
        0, 0, 0, 0, 0, BOOT_ARCH, 0, FLAGS,
    )  # fmt: skip
    content += ports(RESET, 8, 1) + pack("<BHB", RESET_VALUE, 0, 3)
    content += pack("<QQ", 0, dsdt_at)  # X_FIRMWARE_CTRL: zero because FIRMWARE_CTRL is given
    content += ports(EVENT, EVENT_LENGTH * 8, 2) + ports(0, 0, 0) + ports(CONTROL, CONTROL_LENGTH * 8, 2)
    content += ports(0, 0, 0) * 7  # PM1b, PM2, timer, GPE0, GPE1; sleep control and status (hardware-reduced only)
    return table(b"FACP", 6, content + b"MINIRUN\0")


def madt(vcpus: int) -> bytes:
    """Processors and interrupt controllers (5.2.12): the boot processor first."""
    entries = b"".join(pack("<BBBBI", 0, 8, number, number, 1) for number in range(vcpus))
    entries += pack("<BBBBII", 1, 12, vcpus & 0xFF, 0, layout.IO_APIC, 0)
    # Unlike a PC's, the SCI is edge-triggered (5.2.12.5: active high, edge): an eventfd has edges only.
    entries += pack("<BBBBIH", 2, 10, 0, layout.SCI_GSI, layout.SCI_GSI, 0b0101)
    entries += pack("<BBBHB", 4, 6, 0xFF, 0, 1)  # NMI: on everybody's LINT1
    return table(b"APIC", 5, pack("<II", layout.LOCAL_APIC, 1) + entries)  # 1: there are 8259s, too (KVM's)


def dsdt(virtio: Sequence[tuple[int, int]]) -> bytes:
    """The devices.  A virtio-mmio window is "LNRO0005": Linaro's id for it (Linux, drivers/virtio/virtio_mmio.c)."""
    serial = aml.device(
        "COM1",
        aml.name("_HID", aml.eisa_id("PNP0501")),
        aml.name("_UID", aml.ONE),
        aml.name("_CRS", aml.resources(aml.ports(layout.SERIAL, layout.SERIAL_PORTS), aml.irq(layout.SERIAL_GSI))),
    )
    windows = [
        aml.device(
            f"VR{number:02X}",
            aml.name("_HID", aml.string("LNRO0005")),
            aml.name("_UID", aml.integer(number)),
            aml.name("_CCA", aml.ONE),
            aml.name("_CRS", aml.resources(aml.memory(address, layout.VIRTIO_STEP), aml.interrupt(gsi))),
        )
        for number, (address, gsi) in enumerate(virtio)
    ]
    off = aml.name("\\_S5", aml.package(aml.integer(SLEEP_OFF), aml.ZERO, aml.ZERO, aml.ZERO))
    return table(b"DSDT", 2, off + aml.scope("\\_SB", serial, *windows))


def tables(vcpus: int, virtio: Sequence[tuple[int, int]]) -> bytes:
    """All of them, to be put at ``layout.ACPI``, the RSDP first."""
    whole = bytearray(64)  # the RSDP takes 36 bytes; every table is aligned to 64, as the FACS must be

    def put(one: bytes) -> int:
        address = layout.ACPI + len(whole)
        whole.extend(one + bytes(-len(one) % 64))
        return address

    facs_at = put(facs())
    dsdt_at = put(dsdt(virtio))
    described = [put(fadt(facs_at, dsdt_at)), put(madt(vcpus))]
    xsdt = put(table(b"XSDT", 1, b"".join(pack("<Q", address) for address in described)))
    if layout.ACPI + len(whole) > layout.ACPI_END:
        raise ValueError("the ACPI tables do not fit below 1 MiB")
    return rsdp(xsdt) + bytes(whole[36:])
