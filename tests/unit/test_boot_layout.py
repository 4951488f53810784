"""Guest-physical addresses: nothing overlaps, and the memory map says what is there."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from minirun.vm import layout

MIB = layout.MIB
SIZES = st.integers(16 * MIB // 4096, 64 * layout.GIB // 4096).map(lambda pages: pages * 4096)


def test_what_the_entry_needs_does_not_overlap() -> None:
    areas = sorted(
        [
            (layout.RESET_WORD, 2), (layout.GDT, 0x28), (layout.PVH_INFO, 0x1000), (layout.BOOT_PARAMS, 0x1000),
            (layout.PAGE_TABLES, layout.PAGE_TABLE_PAGES * 4096), (layout.CMDLINE, layout.CMDLINE_MOST),
            (layout.ACPI, layout.ACPI_END - layout.ACPI), (layout.KERNEL, 1),
        ]
    )  # fmt: skip
    for (start, length), (after, _) in itertools.pairwise(areas):
        assert start + length <= after
    assert layout.PVH_INFO < layout.BOOT_PARAMS < layout.STACK < layout.PAGE_TABLES


def test_a_small_machine() -> None:
    assert layout.e820(256 * MIB) == [
        (0, 0x9FC00, layout.RAM),
        (0x9FC00, 0x60400, layout.RESERVED),
        (0x100000, 255 * MIB, layout.RAM),
    ]


def test_a_machine_with_five_gibibytes() -> None:
    assert layout.e820(5 * layout.GIB)[2:] == [
        (0x100000, 3 * layout.GIB - MIB, layout.RAM),
        (4 * layout.GIB, 2 * layout.GIB, layout.RAM),
    ]


@given(SIZES)
@settings(deadline=None)
def test_the_map_covers_the_memory_and_no_device(size: int) -> None:
    table = layout.e820(size)
    assert sum(length for _, length, _ in table) == size
    assert all(start + length <= after for (start, length, _), (after, _, _) in itertools.pairwise(table))
    usable = [(start, start + length) for start, length, kind in table if kind == layout.RAM]
    for device in (layout.VIRTIO, layout.IO_APIC, layout.LOCAL_APIC, layout.TSS, layout.IDENTITY_MAP):
        assert not any(start <= device < end for start, end in usable)
    assert next((start, length) for start, length in layout.ram(size))[0] == 0


@given(SIZES, st.integers(1, 12 * MIB), st.sampled_from([0x37FFFFFF, 0x7FFFFFFF, layout.GAP - 1]))
@settings(deadline=None)
def test_an_initramfs_lies_in_memory_as_high_as_it_may(size: int, length: int, highest: int) -> None:
    start = layout.initrd(size, length, highest)
    assert start % 4096 == 0 and start + length <= min(size, highest + 1, layout.GAP)
    assert min(size, highest + 1, layout.GAP) - (start + length) < 4096


def test_an_initramfs_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit in 16 MiB"):
        layout.initrd(16 * MIB, 16 * MIB)


def test_windows_have_pages_and_interrupts_of_their_own() -> None:
    places = [layout.virtio(slot) for slot in range(layout.VIRTIO_MOST)]
    assert len({address for address, _ in places}) == len({gsi for _, gsi in places}) == 15
    assert all(address % 4096 == 0 and address >= layout.GAP for address, _ in places)
    assert not {gsi for _, gsi in places} & {0, 1, 2, 3, layout.SERIAL_GSI, 8, layout.SCI_GSI, 12, 13}
    assert places[0] == (0xD0000000, 5)
    with pytest.raises(ValueError, match="no number 15"):
        layout.virtio(15)
