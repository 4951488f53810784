"""What a processor is in when it enters a kernel, and what the kernel is told."""

from __future__ import annotations

from struct import unpack_from

import pytest
from hypothesis import given, settings, strategies as st

from minirun.vm import layout
from minirun.vm.boot import cmdline, cpu, cpuid, zeropage
from minirun.vm.boot.entry import LONG, PROTECTED
from tests.conftest import ROOT
from tests.unit import kernels


def test_the_gdt_is_the_one_that_the_protocol_asks_for() -> None:
    assert cpu.gdt(LONG).hex(" ", 8).split()[2:] == ["ffff0000009baf00", "ffff00000093cf00", "67000000008b0000"]
    assert cpu.gdt(PROTECTED).hex(" ", 8).split()[2] == "ffff0000009bcf00"


@given(st.integers(0, 4 * layout.GIB - 1))
@settings(deadline=None)
def test_the_page_tables_map_one_to_one(address: int) -> None:
    """A walk as the processor's: PML4, PDPT, directory, a page of 2 MiB."""
    tables = cpu.page_tables()

    def entry(table: int, index: int) -> int:
        value: int = unpack_from("<Q", tables, table - layout.PAGE_TABLES + index * 8)[0]
        assert value & 0b11 == 0b11
        return value

    directories = entry(layout.PAGE_TABLES, address >> 39) & ~0xFFF
    pages = entry(directories, address >> 30 & 511) & ~0xFFF
    page = entry(pages, address >> 21 & 511)
    assert page & 0x80 and page & ~0x1FFFFF == address & ~0x1FFFFF


def test_page_tables_fill_their_place() -> None:
    assert len(cpu.page_tables()) == layout.PAGE_TABLE_PAGES * 4096


def test_registers_of_both_entries() -> None:
    long, protected = cpu.sregs(LONG), cpu.sregs(PROTECTED)
    assert long["cs"]["selector"] == 0x10 and long["cs"]["l"] == 1 and long["cs"]["db"] == 0
    assert protected["cs"]["l"] == 0 and protected["cs"]["db"] == 1 and protected["cs"]["limit"] == 0xFFFFFFFF
    assert long["cr0"] & cpu.CR0_PG and long["cr4"] == cpu.CR4_PAE and long["efer"] == 0x500
    assert not protected["cr0"] & cpu.CR0_PG and protected["efer"] == 0
    assert all(long[name]["selector"] == 0x18 for name in ("ds", "es", "ss"))
    assert cpu.regs(1, 2, 0)["rflags"] == 2


def told(**more: int) -> zeropage.Told:
    return zeropage.Told(e820=layout.e820(256 << 20), cmdline=layout.CMDLINE, rsdp=layout.ACPI, **more)


def test_the_zero_page() -> None:
    header = kernels.bzimage()[0x1F1 : 0x202 + 0x6A]
    page = zeropage.boot_params(told(initrd=0x8000000, initrd_size=12345), header)
    assert len(page) == 4096 and page[0x202:0x206] == b"HdrS" and page[0x1EF] == 0  # the sentinel
    assert page[0x210] == 0xFF and page[0x211] & 1 and not page[0x211] & 0x80
    assert unpack_from("<II", page, 0x218) == (0x8000000, 12345)
    assert unpack_from("<I", page, 0x228)[0] == layout.CMDLINE and unpack_from("<Q", page, 0x70)[0] == layout.ACPI
    assert page[0x1E8] == 3 and unpack_from("<QQI", page, 0x2D0 + 40) == (0x100000, 255 << 20, 1)


def test_a_vmlinux_gets_the_least_of_a_header() -> None:
    page = zeropage.boot_params(told(), b"")
    assert page[0x1FE:0x200] == b"\x55\xaa" and page[0x202:0x206] == b"HdrS"


def test_hvm_start_info() -> None:
    info = zeropage.hvm_start_info(told(initrd=0x8000000, initrd_size=12345), layout.PVH_INFO)
    magic, version, _, modules, at, line, rsdp, table, entries = unpack_from("<IIIIQQQQI", info)
    assert (magic, version, modules, line, rsdp) == (0x336EC578, 1, 1, layout.CMDLINE, layout.ACPI)
    assert unpack_from("<QQ", info, at - layout.PVH_INFO) == (0x8000000, 12345)
    assert entries == 3 and unpack_from("<QQI", info, table - layout.PVH_INFO) == (0, layout.LOW_END, 1)
    assert len(info) <= 4096
    assert unpack_from("<IQ", zeropage.hvm_start_info(told(), 0x6000), 12) == (0, 0)


def test_the_command_line() -> None:
    assert "console=ttyS0" in cmdline.default().split() and "reboot=panic_warm" in cmdline.default().split()
    assert all(why for _, why in cmdline.DEFAULT)
    page = (ROOT / "docs/boot.md").read_text()
    assert "\n".join(f"| `{word}` | {why} |" for word, why in cmdline.DEFAULT) in page
    line = cmdline.join([cmdline.default(), "console=hvc0 console=tty0 loglevel=7", "initcall_blacklist=", ""])
    words = line.split()
    assert [word for word in words if word.startswith("console=")] == ["console=hvc0", "console=tty0"]
    assert "loglevel=3" not in words and "loglevel=7" in words
    assert [word for word in words if word.startswith("initcall")] == ["initcall_blacklist="]
    assert cmdline.encoded("a b", 255) == b"a b\0"
    for wrong in ("two\nlines", "nul\0"):
        with pytest.raises(ValueError, match="one line"):
            cmdline.join([wrong])
    with pytest.raises(ValueError, match="300 characters, and this kernel takes 255"):
        cmdline.encoded("x" * 300, 255)


AMD = [
    (0, 0, 0, 0x10, 0, 0, 0), (1, 0, 0, 0x800F12, 0x05_10_08_00, 0x00000028, 0x178BFBFF), (0xA, 0, 0, 1, 2, 3, 4),
    (0xB, 0, 1, 1, 2, 3, 9), (0x1F, 0, 1, 1, 2, 3, 9), (0x80000001, 0, 0, 0, 0, 0x1800006, 0),
    (0x80000008, 0, 0, 0x3030, 0, 0x700F, 0), (0x8000001D, 3, 1, 0x1C163, 0, 0, 0), (0x8000001E, 0, 0, 9, 9, 9, 0),
    (0x40000000, 0, 0, 1, 2, 3, 4),
]  # fmt: skip


@given(st.integers(1, layout.VCPUS_MOST), st.data())
@settings(deadline=None)
def test_every_processor_knows_its_place(vcpus: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, vcpus - 1))
    table = {(leaf[0], leaf[1]): leaf[3:] for leaf in cpuid.leaves(AMD, number, vcpus)}
    assert not {function for function, _ in table} & {0xA, 0x1F}
    _, ebx, ecx, edx = table[1, 0]
    assert ebx >> 24 == number and ebx & 0xFFFF == 0x0800
    assert bool(edx >> 28 & 1) == (vcpus > 1) and ecx >> 31 & 1 and ecx >> 24 & 1 and not ecx & 0x28
    threads, cores = table[0xB, 0], table[0xB, 1]
    assert threads == (0, 1, 1 << 8, number) and cores[1] == vcpus and cores[3] == number
    # whoever shifts its APIC id by what the leaf says finds all in one package, and no two cores the same
    assert number >> cores[0] == 0 and 1 << cores[0] >= vcpus
    assert table[0x80000008, 0][2] & 0xFF == vcpus - 1 and not table[0x80000001, 0][2] & 0b100
    assert table[0x8000001E, 0][0] == number and table[0x8000001D, 3][0] >> 14 & 0xFFF == vcpus - 1
    assert table[0x40000000, 0] == (1, 2, 3, 4)


def test_intel_caches() -> None:
    leaf = (4, 2, 1, 0x1C004143, 0, 0, 0)  # level 2, unified
    assert cpuid.caches(leaf, 0, 4)[3] == 3 << 26 | 0x143
    third = (4, 3, 1, 0x1C03C163, 0, 0, 0)
    assert cpuid.caches(third, 0, 4)[3] == 3 << 26 | 3 << 14 | 0x163
    end = (4, 4, 1, 0, 0, 0, 0)
    assert cpuid.caches(end, 0, 4) == end
