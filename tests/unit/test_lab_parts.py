"""The parts of the lab that need no QEMU: pins, the initramfs, what is in a bzImage."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT, require, run


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """rootfs/lab/kernel.py, which finds its siblings as a script does."""
    monkeypatch.syspath_prepend(str(ROOT / "rootfs" / "lab"))
    import kernel  # type: ignore[import-not-found]

    found: ModuleType = kernel
    return found


def test_pins_are_pins(lab: ModuleType, tmp_path: Path) -> None:
    pins = sys.modules["pin"]
    assert all(len(pin.digest) == 64 and pin.package.startswith("linux-image-") for pin in pins.read_pins())
    for line in ("bookworm linux-image 6.1", "bookworm linux-image 6.1 cafe", "a b c d e"):
        (tmp_path / "kernel.pin").write_text(line)
        with pytest.raises(pins.LabError, match="not a pin"):
            pins.read_pins(tmp_path / "kernel.pin")


def test_a_pin_changes_the_key(lab: ModuleType) -> None:
    require("busybox")
    pin = sys.modules["pin"].read_pins()[0]
    assert lab.key(pin) == lab.key(pin) != lab.key(pin._replace(digest="0" * 64))


def test_a_package_with_another_digest_is_refused(lab: ModuleType, tmp_path: Path) -> None:
    """With a small package that every Debian archive has."""
    pins = sys.modules["pin"]
    versions = [line.split(" | ")[1].strip() for line in pins.apt("apt-cache", "madison", "hostname").splitlines()]
    if not versions or run("apt-get", "download", f"hostname={versions[0]}", cwd=tmp_path).returncode != 0:
        pytest.skip("apt offers nothing here")
    with pytest.raises(pins.LabError, match="the pin says"):
        pins.download(pins.Pin("-", "hostname", versions[0], "0" * 64), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    with pytest.raises(pins.LabError, match="brought nothing"):
        pins.download(pins.Pin("-", "no-such-kernel", "1", ""), tmp_path / "cache")


def test_cpio_is_read_by_others(lab: ModuleType, tmp_path: Path) -> None:
    require("busybox")
    archive = lab.cpio("d", 0o040755, b"") + lab.cpio("d/file", 0o100640, b"odd") + lab.cpio("TRAILER!!!", 0, b"")
    subprocess.run(["/bin/busybox", "cpio", "-i"], input=archive, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    assert (tmp_path / "d" / "file").read_bytes() == b"odd"
    assert (tmp_path / "d" / "file").stat().st_mode == 0o100640


def test_kernels_are_unpacked(lab: ModuleType) -> None:
    elf = b"\x7fELF" + bytes(range(256)) * 8
    for packed in (elf, gzip.compress(elf) + b"size", lzma.compress(elf, format=lzma.FORMAT_XZ) + b"size"):
        head = bytearray(0x260)
        head[0x1F1] = 1
        struct.pack_into("<II", head, 0x248, 0x100, len(packed))
        image = bytes(head).ljust(2 * 512 + 0x100, b"\0") + packed
        assert lab.vmlinux(image) == elf
    with pytest.raises(sys.modules["pin"].LabError, match="in a way that the lab does not know"):
        lab.decompressed(b"BZh9")


def test_zstd_kernels_are_unpacked(lab: ModuleType) -> None:
    done = subprocess.run(["sh", "-c", "echo ELF | zstd -qc"], capture_output=True)
    if done.returncode != 0:
        pytest.skip("no zstd")
    assert lab.decompressed(done.stdout + b"size") == b"ELF\n"


def test_modules_come_after_what_they_need(lab: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text(
        "k/9p.ko: k/9pnet.ko k/fscache.ko k/netfs.ko\nk/9pnet_virtio.ko.xz: k/9pnet.ko k/virtio.ko\nk/9pnet.ko:\n"
        "k/netfs.ko:\nk/fscache.ko: k/netfs.ko\nk/virtio.ko:\n"
    )
    names = [path.name for path in lab.in_order(tmp_path)]
    assert names == ["virtio.ko", "9pnet.ko", "9pnet_virtio.ko.xz", "netfs.ko", "fscache.ko", "9p.ko"]


def test_usage_is_shown() -> None:
    done = run(sys.executable, ROOT / "rootfs" / "lab" / "lab.py", "--bild")
    assert done.returncode == 2 and "a root shell in the checkout" in done.stderr
