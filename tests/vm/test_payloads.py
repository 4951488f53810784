"""Other payloads than Linux that speak its boot protocol: they start, and are heard or seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.boots import boot

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "kvm")]


@pytest.mark.parametrize("name", ["memtest86+x64.bin", "memtest86+ia32.bin"])
def test_memtest_starts(name: str) -> None:
    """By the 64-bit entry, and by the 32-bit one; it writes its screen to the serial port, too."""
    path = Path("/boot") / name
    if not path.exists():
        pytest.skip("no memtest86+ (package memtest86+)")
    seen = boot(path, "console=ttyS0,115200", mib=64, until="Memtest86+", seconds=60)
    assert seen.why == "heard", seen


def test_ipxe_starts() -> None:
    """In real mode, by our BIOS's interrupts: it unpacks itself, asks for the memory map, and prints its name."""
    path = Path("/boot/ipxe.lkrn")
    if not path.exists():
        pytest.skip("no iPXE (package ipxe)")
    seen = boot(path, mib=64, until="iPXE", seconds=90)
    assert seen.protocol == "bzImage, 16-bit entry" and seen.why == "heard", seen
