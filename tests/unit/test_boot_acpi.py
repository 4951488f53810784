"""ACPI tables: found from the root pointer as a kernel does, checksums, and what iasl reads in them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from struct import unpack_from

import pytest
from hypothesis import given, settings, strategies as st

from minirun.vm import layout
from minirun.vm.boot import acpi, aml

PLACES = [layout.virtio(slot) for slot in range(3)]


def found(image: bytes) -> dict[str, bytes]:
    """The tables by signature, from the RSDP on; every checksum on the way must be right."""

    def table(address: int) -> bytes:
        at = address - layout.ACPI
        return image[at : at + unpack_from("<I", image, at + 4)[0]]

    assert image[:8] == b"RSD PTR " and sum(image[:20]) % 256 == 0 and sum(image[:36]) % 256 == 0
    xsdt = table(unpack_from("<Q", image, 24)[0])
    tables = {"XSDT": xsdt}
    for at in range(36, len(xsdt), 8):
        one = table(unpack_from("<Q", xsdt, at)[0])
        tables[one[:4].decode()] = one
    dsdt, facs = unpack_from("<I", tables["FACP"], 40)[0], unpack_from("<I", tables["FACP"], 36)[0]
    tables["DSDT"] = table(dsdt)
    assert all(sum(one) % 256 == 0 for one in tables.values())
    assert facs % 64 == 0 and table(facs)[:4] == b"FACS" and len(table(facs)) == 64
    return tables


def test_every_table_is_found_and_sums_to_zero() -> None:
    tables = found(acpi.tables(2, PLACES))
    assert set(tables) == {"XSDT", "FACP", "APIC", "DSDT"}
    assert len(tables["FACP"]) == 276


def test_the_largest_machine_fits() -> None:
    image = acpi.tables(layout.VCPUS_MOST, [layout.virtio(slot) for slot in range(layout.VIRTIO_MOST)])
    assert layout.ACPI + len(image) <= layout.ACPI_END
    assert found(image)["DSDT"].count(b"LNRO0005") == layout.VIRTIO_MOST


def test_processors_are_listed_by_their_apic_ids() -> None:
    madt = found(acpi.tables(3, []))["APIC"]
    at, ids = 44, []
    while at < len(madt):
        if madt[at] == 0:
            ids.append(madt[at + 3])
        at += madt[at + 1]
    assert ids == [0, 1, 2] and at == len(madt)


def test_what_is_absent_is_said() -> None:
    fadt = found(acpi.tables(1, []))["FACP"]
    boot_arch = unpack_from("<H", fadt, 109)[0]
    assert not boot_arch & 0b11  # neither legacy devices nor an 8042
    assert boot_arch & 1 << 2 and boot_arch & 1 << 5  # no VGA, no clock in CMOS


@given(st.integers(0, (1 << 64) - 1))
@settings(deadline=None)
def test_integers_come_back(value: int) -> None:
    data = aml.integer(value)
    if value < 2:
        assert data == bytes([value])
    else:
        size = {0x0A: 1, 0x0B: 2, 0x0C: 4, 0x0E: 8}[data[0]]
        assert len(data) == 1 + size and int.from_bytes(data[1:], "little") == value


@given(st.integers(0, (1 << 28) - 10))
@settings(deadline=None)
def test_lengths_cover_themselves(content: int) -> None:
    data = aml.length(content)
    if len(data) == 1:
        assert data[0] == content + 1 < 64
    else:
        assert data[0] >> 6 == len(data) - 1
        value = data[0] & 15 | int.from_bytes(data[1:], "little") << 4
        assert value == content + len(data)


def test_names_and_ids() -> None:
    assert aml.eisa_id("PNP0501") == bytes.fromhex("0c41d00501")  # as in every PC's DSDT
    assert aml.path("\\_S5") == b"\\_S5_"
    with pytest.raises(ValueError, match="no name"):
        aml.segment("LOWER")
    with pytest.raises(ValueError, match="no name"):
        aml.segment("low")


def test_iasl_reads_it(tmp_path: Path) -> None:
    """The reference compiler disassembles our tables without a complaint, and finds what we meant."""
    if not shutil.which("iasl"):
        pytest.skip("no iasl (package acpica-tools)")
    tables = found(acpi.tables(2, PLACES))
    for name in ("DSDT", "APIC", "FACP"):
        (tmp_path / f"{name}.aml").write_bytes(tables[name])
        done = subprocess.run(["iasl", "-d", f"{name}.aml"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0 and "Error" not in done.stdout + done.stderr, done.stdout + done.stderr
    text = (tmp_path / "DSDT.dsl").read_text()
    assert text.count('"LNRO0005"') == 3 and "0xD0002000" in text and "Interrupt (ResourceConsumer, Edge" in text
    assert 'EisaId ("PNP0501")' in text and "_S5" in text
    done = subprocess.run(["iasl", "-p", "again", "DSDT.dsl"], cwd=tmp_path, capture_output=True, text=True)
    assert "0 Errors, 0 Warnings" in done.stdout + done.stderr, done.stdout + done.stderr
