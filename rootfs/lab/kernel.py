"""From a kernel package to what QEMU boots: an uncompressed vmlinux, the modules, and a small initramfs.

Everything lands in ``.cache/lab/KEY``, where KEY is made of the pin and of the files that build it: when one of them
changes, the lab is built anew.  A build is made aside and renamed: one that was cut short is never taken for a lab.
"""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pin import HERE, LabError, Pin, choose, digest, download, read_pins

ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "lab"
BUSYBOX = Path("/bin/busybox")
# What the guest needs before it sees the machine's files; the rest is loaded by name later, by modprobe(8).
EARLY = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console", "virtio_blk")
DISK = 512 << 20  # bytes of the lab's ext4 disk; sparse


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One builder at a time; a second one waits, and finds it done."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def key(pin: Pin) -> str:
    """Changes with the pin, with what builds the lab, and with busybox."""
    digests = [*pin, digest(BUSYBOX), *(digest(HERE / name) for name in ("kernel.py", "init.sh"))]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]


def known_pin() -> Pin | None:
    """Without asking apt (a second, and it may be gone): a pin that is built already."""
    return next((pin for pin in read_pins() if (CACHE / key(pin) / "vmlinux").exists()), None)


def build() -> Path:
    """The folder with vmlinux, initramfs, disk and lib/modules; built if it is not there.  Raises LabError."""
    if not BUSYBOX.exists():
        raise LabError("no static busybox (package busybox-static)")
    own = os.environ.get("MINIRUN_LAB_KERNEL", "")
    with locked(CACHE):
        pin = Pin("-", own, "", digest(Path(own))) if own else known_pin() or choose()
        target = CACHE / key(pin)
        if (target / "vmlinux").exists():
            return target
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="build-") as name:
            folder = Path(name) / "lab"
            folder.mkdir()
            if own:
                image, modules = of_this_machine(Path(own))
            else:
                image, modules = unpack(download(pin, Path(name)), folder)
            (folder / "release").write_text(modules.name)
            subprocess.run(["depmod", "-b", modules.parent.parent.parent, modules.name], check=True)
            (folder / "initramfs").write_bytes(initramfs(modules))
            make_disk(folder / "disk")
            (folder / "vmlinux").write_bytes(vmlinux(image.read_bytes()))
            for old in CACHE.glob("[0-9a-f]" * 16):
                shutil.rmtree(old)
            folder.rename(target)
    return target


def unpack(package: Path, folder: Path) -> tuple[Path, Path]:
    """The kernel's image and its modules (DIR/lib/modules/RELEASE)."""
    subprocess.run(["dpkg-deb", "-x", package, folder / "package"], check=True)
    (folder / "package" / "lib").rename(folder / "lib")
    modules = next((folder / "lib" / "modules").iterdir())
    return folder / "package" / "boot" / f"vmlinuz-{modules.name}", modules


def of_this_machine(image: Path) -> tuple[Path, Path]:
    """MINIRUN_LAB_KERNEL=/boot/vmlinuz-RELEASE, with the modules of that release that are installed."""
    modules = Path("/lib/modules") / image.name.partition("-")[2]
    if not modules.is_dir():
        raise LabError(f"MINIRUN_LAB_KERNEL: no modules for {image} in {modules}")
    return image, modules


def vmlinux(image: bytes) -> bytes:
    """The ELF file in a bzImage (x86/boot.rst: payload_offset and payload_length, protocol 2.08)."""
    if image[:4] == b"\x7fELF":
        return image
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return decompressed(image[start : start + length])


def decompressed(data: bytes) -> bytes:
    """By its first bytes; a compressed kernel is followed by its size, which is not part of it."""
    if data.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        done = subprocess.run(["zstd", "-dcq"], input=data[:-4], capture_output=True)
        if done.returncode == 0:
            return done.stdout
        raise LabError(f"zstd cannot read the kernel: {done.stderr.decode().strip()}")
    if data.startswith(b"\x7fELF"):
        return data
    raise LabError(f"the kernel is compressed in a way that the lab does not know ({data[:4].hex()})")


def in_order(modules: Path) -> list[Path]:
    """EARLY and what they need, each after what it needs (modules.dep(5) lists the nearest need last)."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        name = Path(path).name.partition(".")[0].replace("-", "_")
        needs[name] = [path, *rest.split()]
    ordered: list[str] = []
    for name in EARLY:
        for path in reversed(needs.get(name, [])):  # a module that is not there is built in
            if path not in ordered:
                ordered.append(path)
    return [modules / path for path in ordered]


def initramfs(modules: Path) -> bytes:
    """busybox, the early modules in the order of their names, and init.sh as /init."""
    files: list[tuple[str, int, bytes]] = [(name, 0o040755, b"") for name in ("bin", "dev", "proc", "sys", "modules")]
    files.append(("bin/busybox", 0o100755, BUSYBOX.read_bytes()))
    files.append(("init", 0o100755, (HERE / "init.sh").read_bytes()))
    for number, path in enumerate(in_order(modules)):
        data = path.read_bytes()
        files.append((f"modules/{number:02}.ko", 0o100644, decompressed(data) if path.suffix != ".ko" else data))
    return b"".join(cpio(name, mode, data) for name, mode, data in files) + cpio("TRAILER!!!", 0, b"")


def cpio(name: str, mode: int, data: bytes) -> bytes:
    """One entry in the newc format (driver-api/early-userspace/buffer-format.rst): 13 numbers of 8 hex digits."""
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name.encode() + b"\0"
    return padded(head) + padded(data)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def make_disk(path: Path) -> None:
    """Something real to throttle and to overlay: an ext4 file system, made here because it is faster here."""
    with path.open("wb") as file:
        file.truncate(DISK)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", path], check=True)
