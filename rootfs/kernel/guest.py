"""The guest's kernel: Debian's, unpacked from its package into .cache/guest, never installed (`make guest-kernel`).

    python rootfs/kernel/guest.py [generic|cloud]...       both, if none is named

    .cache/guest/RELEASE/vmlinuz      the bzImage, as it is in the package
                         vmlinux      the ELF file in it: starts sooner, for the guest need not decompress it
                         modules/     what guests need of the modules, with modules.dep and modules.builtin
                         initramfs    minirun-init and the modules of a usual machine (minirun/vm/initramfs.py)
                         config       the configuration it was built with
    .cache/guest/generic, cloud       links to those; `default` is generic

Pinned by version and digest, as the lab's kernel is (rootfs/lab/pin.py): generic has the same pin as the lab's.
Running it again does nothing, but for an initramfs whose minirun-init has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent / "lab"), str(ROOT)]

from kernel import locked, vmlinux  # noqa: E402 (the path is set above)
from pin import PINS, LabError, Pin, choose, digest, download, read_pins  # noqa: E402

from minirun.vm import initramfs  # noqa: E402
from minirun.vm.boot.unpack import trimmed, vmlinux as unpack_kernel  # noqa: E402
from minirun.vm.kernel import at, initramfs_for  # noqa: E402

CACHE = ROOT / ".cache" / "guest"
INIT = ROOT / "minirun" / "minirun-init"
NEEDED = {"dpkg-deb": "dpkg", "depmod": "kmod"}
FLAVOURS = {"generic": ("linux-image-amd64", PINS), "cloud": ("linux-image-cloud-amd64", HERE / "cloud.pin")}


def main(argv: list[str]) -> int:
    unknown = set(argv) - set(FLAVOURS)
    if unknown:
        print(__doc__, file=sys.stderr)
        return 2
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    lacking = [package for program, package in NEEDED.items() if not shutil.which(program)]
    if lacking:
        raise LabError(f"packages are missing: apt-get install {' '.join(lacking)}")
    with locked(CACHE):
        for flavour in argv or FLAVOURS:
            folder = build(flavour)
            point(CACHE / flavour, folder.name)
            print(f"{flavour}: {folder.relative_to(ROOT)}")
        if (CACHE / "generic").exists() or not (CACHE / "default").exists():
            point(CACHE / "default", "generic" if (CACHE / "generic").exists() else argv[0])
    return 0


def build(flavour: str) -> Path:
    """The folder of the release; built if what it is made of has changed.  Raises LabError."""
    meta, pins = FLAVOURS[flavour]
    built = next((folder for pin in read_pins(pins) if (folder := made(pin))), None)
    if not built:
        pin = choose(meta, pins)
        built = made(pin) or unpack(pin)
    fresh = initramfs_for(at(str(built)), init=str(INIT))
    kept = built / "initramfs"
    if not kept.exists() or kept.read_bytes() != fresh:
        (built / "initramfs.new").write_bytes(fresh)
        (built / "initramfs.new").rename(kept)
    return built


def recipe(pin: Pin) -> str:
    """What a folder is made of: the package, and the files that decide what is taken from it."""
    parts = [*pin, digest(Path(__file__)), digest(Path(initramfs.__file__))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def made(pin: Pin) -> Path | None:
    """The folder that is made of just this, if there is one."""
    stamps = CACHE.glob("*/made-of")
    return next((stamp.parent for stamp in stamps if stamp.read_text() == recipe(pin)), None)


def unpack(pin: Pin) -> Path:
    """Made aside and renamed: a build that was cut short is never taken for a kernel."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="build-") as name:
        work = Path(name)
        subprocess.run(["dpkg-deb", "-x", download(pin, work), work / "package"], check=True)
        modules = next((work / "package" / "lib" / "modules").iterdir())
        release = modules.name
        subprocess.run(["depmod", "-b", work / "package", release], check=True)
        folder = work / "kernel"
        folder.mkdir()
        boot = work / "package" / "boot"
        shutil.copy(boot / f"vmlinuz-{release}", folder / "vmlinuz")
        shutil.copy(boot / f"config-{release}", folder / "config")
        (folder / "vmlinux").write_bytes(uncompressed((folder / "vmlinuz").read_bytes()))
        copy_modules(modules, folder / "modules")
        (folder / "made-of").write_text(recipe(pin))
        target = CACHE / release
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return target


def copy_modules(source: Path, target: Path) -> None:
    """Those of ``initramfs.NEEDS`` and what they need; a modules.dep of these lines; what is built in."""
    dep = (source / "modules.dep").read_text()
    taken, _ = initramfs.load_order(dep, initramfs.wanted(initramfs.NEEDS))
    for path in taken:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, target / path)
    lines = [line for line in dep.splitlines() if line.partition(":")[0] in taken]
    (target / "modules.dep").write_text("".join(f"{line}\n" for line in lines))
    shutil.copy(source / "modules.builtin", target)


def uncompressed(image: bytes) -> bytes:
    """The ELF file in a bzImage, without the zeros at its segments' ends; one that zstd packed, as the lab does it."""
    return unpack_kernel(image) or trimmed(vmlinux(image))


def point(link: Path, target: str) -> None:
    """A link that is replaced in one step."""
    aside = link.with_name(f".{link.name}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.rename(link)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        print(f"guest kernel: {error}", file=sys.stderr)
        sys.exit(1)
