"""The guest's first root: a cpio archive with minirun-init, and the modules that find the machine's devices.

Linux unpacks it into its first tmpfs and executes ``/init`` (admin-guide/initrd.rst; the format is "newc",
driver-api/early-userspace/buffer-format.rst).  Everything here computes: bytes in, bytes out.

    /init                   minirun-init, as PID 1 the guest's agent (native/init/guest.c)
    /etc/minirun-modules    what it hands to finit_module(2), one path a line, in this order
    /lib/modules/NAME.ko    those, uncompressed: init has no decompressor, and not every kernel has one
    /dev/console            the kernel opens it as PID 1's standard streams, before any devtmpfs is mounted

A module costs boot time, so which ones travel follows from the machine's devices (``NEEDS``); what those need
in turn follows from modules.dep(5).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Device of the machine -> the modules that drive it, as modprobe(8) spells them.
NEEDS: dict[str, tuple[str, ...]] = {
    "mmio": ("virtio_mmio",),
    "console": ("virtio_console",),
    "fs": ("virtiofs",),
    "block": ("virtio_blk",),
    "net": ("virtio_net",),
    "rng": ("virtio_rng",),
    "balloon": ("virtio_balloon",),
    "vsock": ("vmw_vsock_virtio_transport",),
    "overlay": ("overlay",),
    "ext4": ("crc32c_generic", "ext4"),  # a soft need (modules.softdep): asked for by name, and there is no modprobe
    "erofs": ("crc32c_generic", "erofs"),
}
USUAL = ("mmio", "console", "fs")  # what every machine with a bundle has
FOLDERS = ("dev", "etc", "lib", "lib/modules", "proc", "run", "sys", "tmp")
NODES = (("dev/console", 5, 1), ("dev/null", 1, 3))

DIRECTORY, PROGRAM, FILE, CHARACTER = 0o040755, 0o100755, 0o100644, 0o020600


def module_name(path: str) -> str:
    """kernel/drivers/char/hw_random/virtio-rng.ko.xz -> virtio_rng: the kernel takes - and _ for the same."""
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def wanted(devices: Iterable[str]) -> list[str]:
    """The modules for ``devices``, virtio-mmio first."""
    return [module for device, modules in NEEDS.items() if device in set(devices) for module in modules]


def load_order(modules_dep: str, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """(paths of ``names`` and of what they need, each after what it needs; names that modules.dep does not have)."""
    needs: dict[str, list[str]] = {}
    for line in modules_dep.splitlines():
        path, colon, rest = line.partition(":")
        if colon:
            needs[module_name(path)] = [path, *rest.split()]
    ordered: list[str] = []
    unknown: list[str] = []
    for name in names:
        if name not in needs:
            unknown.append(name)
        for path in reversed(needs.get(name, [])):  # modules.dep lists the nearest need last
            if path not in ordered:
                ordered.append(path)
    return ordered, unknown


def build(init: bytes, modules: Sequence[tuple[str, bytes]]) -> bytes:
    """The archive: ``init``, and ``modules`` as (name, uncompressed bytes) in the order in which they are loaded."""
    parts = [entry(name, DIRECTORY) for name in FOLDERS]
    parts += [entry(name, CHARACTER, device=device) for name, *device in NODES]
    parts.append(entry("init", PROGRAM, init))
    names = [f"lib/modules/{name}.ko" for name, _ in modules]
    parts.append(entry("etc/minirun-modules", FILE, "".join(f"/{name}\n" for name in names).encode()))
    parts += [entry(name, FILE, data) for name, (_, data) in zip(names, modules, strict=True)]
    parts.append(entry("TRAILER!!!", 0))
    return b"".join(parts)


def entry(name: str, mode: int, data: bytes = b"", *, device: Sequence[int] = (0, 0)) -> bytes:
    """One file: a header of 13 numbers of eight hex digits, its name, its bytes, each padded to four.

    The number of links is 1 and the inode 0: only a file of several links is ever looked up by its inode.
    """
    encoded = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded
    return b"".join((head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)))
