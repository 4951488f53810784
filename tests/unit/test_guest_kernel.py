"""The guest's kernel and its initramfs: the search, modules in order, an archive that others can read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, strategies as st

from minirun.errors import MinirunError
from minirun.vm import initramfs, kernel
from minirun.vm.boot import unpack
from minirun.vm.boot.entry import BadKernel
from tests.conftest import ROOT, run
from tests.unit import kernels

DEP = """\
kernel/fs/fuse/fuse.ko.xz:
kernel/fs/fuse/virtiofs.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko \
kernel/fs/fuse/fuse.ko.xz
kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko.xz:
kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko
"""
BYTES = {"fuse": b"\x7fELF fuse", "virtiofs": b"\x7fELF virtiofs", "virtio": b"\x7fELF virtio",
         "virtio_ring": b"\x7fELF ring", "virtio_mmio": b"\x7fELF mmio"}  # fmt: skip


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """A folder like those of `make guest-kernel`; some of its modules are compressed, the console is built in."""
    folder = tmp_path / "guest"
    for line in DEP.splitlines():
        path = folder / "modules" / line.partition(":")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        data = BYTES[initramfs.module_name(path.name)]
        path.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)
    (folder / "modules" / "modules.dep").write_text(DEP)
    (folder / "modules" / "modules.builtin").write_text("kernel/drivers/char/virtio-console.ko\n")
    (folder / "vmlinuz").write_bytes(b"a kernel")
    (folder / "init").write_bytes(b"\x7fELF init")
    return folder


def test_modules_come_after_what_they_need() -> None:
    ordered, unknown = initramfs.load_order(DEP, ["virtio_mmio", "virtiofs", "virtio_console"])
    names = [initramfs.module_name(path) for path in ordered]
    assert names == ["virtio", "virtio_ring", "virtio_mmio", "fuse", "virtiofs"]
    assert unknown == ["virtio_console"]


def test_devices_decide_which_modules_travel() -> None:
    assert initramfs.wanted(["fs", "mmio"]) == ["virtio_mmio", "virtiofs"]
    assert initramfs.module_name("kernel/drivers/char/hw_random/virtio-rng.ko.zst") == "virtio_rng"


@pytest.mark.parametrize(
    "reader",
    [["cpio"], ["bsdcpio"], ["/bin/busybox", "cpio"]],
    ids=lambda words: words[-1] if len(words) == 1 else "busybox",
)
def test_others_read_the_archive(reader: list[str], tmp_path: Path) -> None:
    if not shutil.which(reader[0]):
        pytest.skip(f"no {reader[0]} here")
    if os.geteuid():
        pytest.skip("an archive with device nodes is root's to unpack")
    archive = initramfs.build(b"program", [("virtio", b"odd"), ("fuse", b"")])
    done = subprocess.run([*reader, "-idm"], input=archive, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "init").read_bytes() == b"program" and os.access(tmp_path / "init", os.X_OK)
    assert (tmp_path / "etc" / "minirun-modules").read_text() == "/lib/modules/virtio.ko\n/lib/modules/fuse.ko\n"
    assert (tmp_path / "lib" / "modules" / "virtio.ko").read_bytes() == b"odd"
    console = (tmp_path / "dev" / "console").stat()
    assert stat.S_ISCHR(console.st_mode) and console.st_rdev == os.makedev(5, 1)
    assert {"dev", "proc", "sys", "run"} <= {path.name for path in tmp_path.iterdir()}


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_every_entry_is_padded(parts: list[bytes]) -> None:
    archive = initramfs.build(b"x", [(f"m{number}", data) for number, data in enumerate(parts)])
    assert len(archive) % 4 == 0 and archive.startswith(b"070701") and b"TRAILER!!!" in archive[-128:]


def test_an_initramfs_has_uncompressed_modules(guest: Path) -> None:
    found = kernel.at(str(guest))
    assert found.image == str(guest / "vmlinuz") and found.modules == str(guest / "modules")
    data = kernel.initramfs_for(found, init=str(guest / "init"))
    assert all(part in data for part in BYTES.values())


def test_what_cost_time_to_make_is_kept(guest: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = kernel.at(str(guest))
    first = kernel.initramfs_for(found, init=str(guest / "init"), cache=str(cache))
    (kept,) = cache.iterdir()
    assert kept.read_bytes() == first and stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.write_bytes(b"taken from the cache")
    assert kernel.initramfs_for(found, init=str(guest / "init"), cache=str(cache)) == b"taken from the cache"
    kept.chmod(0o666)  # anybody could have written it
    assert kernel.initramfs_for(found, init=str(guest / "init"), cache=str(cache)) == first
    (guest / "init").write_bytes(b"\x7fELF another init")
    assert b"another init" in kernel.initramfs_for(found, init=str(guest / "init"), cache=str(cache))


def test_a_kernel_without_a_driver_is_refused_by_name(guest: Path) -> None:
    with pytest.raises(MinirunError, match="has no virtio_blk") as caught:
        kernel.initramfs_for(kernel.at(str(guest)), ["mmio", "console", "block"], init=str(guest / "init"))
    assert "guest-kernel" in caught.value.hint


def test_a_kernel_without_modules_has_everything_built_in(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF")
    (tmp_path / "init").write_bytes(b"\x7fELF init")
    found = kernel.at(str(tmp_path / "vmlinux"))
    assert found.modules == ""
    assert b"/lib/modules/" not in kernel.initramfs_for(found, init=str(tmp_path / "init"))


def test_what_is_asked_for_comes_first(guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "CHECKOUT", str(tmp_path / "nowhere"))
    monkeypatch.setattr(kernel, "INSTALLED", str(guest))
    other = tmp_path / "other"
    other.write_bytes(b"x")
    environ = {b"MINIRUN_KERNEL": bytes(other)}
    assert kernel.find(str(guest), environ=environ).image == str(guest / "vmlinuz")
    assert kernel.find(environ=environ).image == str(other)
    assert kernel.find(environ={}).why == "installed for guests"
    for wrong in ("/nowhere/at/all", "/proc", "/dev/null"):
        with pytest.raises(MinirunError, match="cannot find a kernel"):
            kernel.find(wrong)


def test_the_release_is_read_from_the_image(tmp_path: Path) -> None:
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x400).to_bytes(2, "little")
    head[0x600:0x620] = b"6.1.0-1-amd64 (somebody) #1 SMP\0"
    (tmp_path / "image").write_bytes(head)
    assert kernel.release(str(tmp_path / "image")) == "6.1.0-1-amd64"
    (tmp_path / "image").write_bytes(head.replace(b"6.1.0-1", b"../../."))
    assert kernel.release(str(tmp_path / "image")) == "-"


@pytest.mark.parametrize("compress", [lambda data: data, lzma.compress, gzip.compress])
def test_modules_of_any_distribution(compress, tmp_path: Path) -> None:
    path = tmp_path / "module"
    path.write_bytes(compress(b"\x7fELF module"))
    assert kernel.uncompressed(str(path)) == b"\x7fELF module"


def test_an_unknown_compression_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.ko").write_bytes(b"????")
    with pytest.raises(MinirunError, match="cannot read the kernel module"):
        kernel.uncompressed(str(tmp_path / "m.ko"))


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    """rootfs/kernel/guest.py, which finds its siblings as a script does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "rootfs" / "kernel"))
        import guest  # type: ignore[import-not-found]

        found: ModuleType = guest
        return found


def test_both_flavours_are_pinned(recipe: ModuleType) -> None:
    for _, pins in recipe.FLAVOURS.values():
        assert recipe.read_pins(pins)


def test_a_second_run_changes_nothing() -> None:
    """Where `make guest-kernel` has run: it finds its work done, and a kernel that has all drivers."""
    if not Path(kernel.CHECKOUT).exists():
        pytest.skip("no guest kernel here: make guest-kernel")
    recipe = [ROOT / ".venv" / "bin" / "python", ROOT / "rootfs" / "kernel" / "guest.py"]
    run(*recipe)  # minirun-init may have been built anew
    before = {path: path.stat().st_mtime_ns for path in (ROOT / ".cache" / "guest").glob("*/**/*")}
    done = run(*recipe)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert kernel.initramfs_for(
        kernel.at(kernel.CHECKOUT), initramfs.NEEDS, init=str(ROOT / "minirun" / "minirun-init")
    )


def test_a_bzimage_is_unpacked_once(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz"
    image.write_bytes(kernels.bzimage(payload=gzip.compress(kernels.vmlinux())))
    given = kernel.Kernel(image=str(image))
    assert kernel.to_boot(given) == str(image)
    path = kernel.to_boot(given, str(tmp_path / "kept"))
    assert Path(path).read_bytes()[:4] == b"\x7fELF" and Path(path).parent == tmp_path / "kept"
    first = os.stat(path).st_ino
    assert kernel.to_boot(given, str(tmp_path / "kept")) == path and os.stat(path).st_ino == first
    image.write_bytes(kernels.bzimage())  # nothing that we know is in it
    assert kernel.to_boot(given, str(tmp_path / "kept")) == str(image)
    (tmp_path / "vmlinux").write_bytes(kernels.vmlinux())
    plain = kernel.Kernel(image=str(tmp_path / "vmlinux"))
    assert kernel.to_boot(plain, str(tmp_path / "kept")) == plain.image


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A fifo would let the VMM wait, /dev/zero fill the host's memory."""
    os.mkfifo(tmp_path / "fifo")
    for path in (str(tmp_path / "fifo"), "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            kernel.read(path)
    large = tmp_path / "large"
    large.write_bytes(b"")
    os.truncate(large, kernel.LARGEST + 1)
    with pytest.raises(OSError, match="bytes"):
        kernel.read(str(large))
    assert kernel.read(str(large), 4) == bytes(4)


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, bz2.compress])
def test_a_payload_that_unpacks_to_all_memory(pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "UNPACKED_MOST", 1000)
    assert unpack.decompressed(memoryview(pack(bytes(1000)))) == bytes(1000)
    with pytest.raises(BadKernel, match="more than 1000 bytes"):
        unpack.decompressed(memoryview(pack(bytes(1001))))
