"""What a machine is put together from: files of the host's, opened while they can be, and the devices made of them.

    Opened(hardware, cache)    kernel, initramfs, disks, taps, shares: everything with a path
    .made(hear)                the devices, in the order of their windows
    .attach(machine, ...)      on the bus, with their threads

The console is always first, the share second: what a guest needs to be spoken to.
"""

from __future__ import annotations

import posix
from mmap import PROT_READ, mmap

from minirun.engine.host import INIT_PROGRAM
from minirun.errors import MinirunError
from minirun.linux.mountfd import AT_RECURSIVE, open_tree
from minirun.vm import kernel
from minirun.vm.boot import cmdline
from minirun.vm.devices.console import Console
from minirun.vm.devices.fs import Export, FileSystem
from minirun.vm.devices.mmio import Mmio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.plan.hardware import Hardware
    from minirun.vm.devices.virtio import VirtioDevice
    from minirun.vm.machine import Machine
    from minirun.vm.relay import Port

O_PATH = 0o10000000
CHANNEL, TAG = "minirun", "minirun"
GUEST_CID = 3  # in every machine: nobody but its own VMM hears of it
# What is asked of descriptors while the guest runs: of a vCPU, of stdio (FIONBIO, TCGETS), of our ptys, of a tap.
IOCTLS = [
    0xAE80, 0xAEAD,  # KVM_RUN, KVM_KVMCLOCK_CTRL
    0x8090AE81, 0x8138AE83, 0xC018AE85,  # KVM_GET_REGS, KVM_GET_SREGS, KVM_TRANSLATE: an exit that ends it, explained
    0x5421, 0x5401, 0x5413, 0x540E,  # FIONBIO, TCGETS, TIOCGWINSZ, TIOCSCTTY
    0x400454D0, 0x1277,  # TUNSETOFFLOAD, BLKDISCARD
]  # fmt: skip


class Opened:
    """Everything that a machine of this description has from the host."""

    port: Port
    vsock: VirtioDevice | None = None

    def __init__(self, hardware: Hardware, cache: str) -> None:
        self.hardware = hardware
        where = hardware.origin
        self.shares: list[tuple[str, int, bool]] = []
        for share in hardware.shares:
            with Asked(share.pointer):
                self.shares.append((share.name, opened(share.path), share.read_only))
        with Asked(where("disk")):
            self.disks = [disk(word) for word in hardware.disks]
        with Asked(where("net")):
            self.taps = [tap(word) for word in hardware.nets]
        with Asked(where("vsock")):
            self.folder = opened(hardware.vsock.rpartition("/")[0] or "/") if hardware.vsock else -1
        with Asked(where("console")):
            self.console = written(hardware.console) if hardware.console else -1
        with Asked(where("initrd")):
            self.initrd = kernel.read(hardware.initrd) if hardware.initrd else b""
        with Asked(where("kernel")):
            self.boots(cache.rpartition("/")[0] + "/.guest" if cache else "")

    def boots(self, place: str) -> None:
        """Kernel, and the initramfs that is made for it where none was named."""
        found = kernel.find(self.hardware.kernel)
        self.image = found.image
        self.kernel: bytes | mmap = mapped(kernel.to_boot(found, place))
        if not self.hardware.initrd:
            self.initrd = kernel.initramfs_for(found, kinds(self.hardware), init=INIT_PROGRAM, cache=place)

    @property
    def devices(self) -> int:
        """How many windows it takes."""
        extra = self.hardware
        return 2 + len(self.disks) + len(self.taps) + extra.rng + extra.balloon + bool(extra.vsock)

    def loaded(self) -> None:
        """The kernel is in guest memory: our copies need not stay."""
        self.kernel = self.initrd = b""

    def made(self, hear: Callable[[bytes], None]) -> list[VirtioDevice]:
        """While /proc can still be reached.  ``hear`` takes what is written to hvc0."""
        console = Console()
        console.ports[0].on_data = hear
        self.port = console.port(CHANNEL)
        exports = [Export(name=name, fd=fd, read_only=read_only) for name, fd, read_only in self.shares]
        found: list[VirtioDevice] = [console, FileSystem(TAG, exports)]
        for fd, read_only in self.disks:
            from minirun.vm.devices.block import Block

            found.append(Block(fd, read_only))
        for fd, mac in self.taps:
            from minirun.vm.devices.net import Net

            found.append(Net(fd, mac))
        if self.hardware.rng:
            from minirun.vm.devices.rng import Rng

            found.append(Rng())
        if self.hardware.balloon:
            from minirun.vm.devices.balloon import Balloon

            found.append(Balloon())
        if self.hardware.vsock:
            from minirun.vm.devices.vsock import Vsock

            name = self.hardware.vsock.rpartition("/")[2]
            self.vsock = Vsock(GUEST_CID, name, self.folder)
            found.append(self.vsock)
        return found

    def leave(self) -> None:
        """The end: what would stay on the host."""
        if self.vsock is not None:
            self.vsock.close()

    def attach(self, machine: Machine, devices: list[VirtioDevice], places: list[tuple[int, int]]) -> None:
        for device, place in zip(devices, places, strict=True):
            Mmio(machine, device, place)


def kinds(hardware: Hardware) -> list[str]:
    """The devices' kinds, as the initramfs knows their modules."""
    asked = {
        "block": bool(hardware.disks), "net": bool(hardware.nets), "rng": hardware.rng, "balloon": hardware.balloon,
        "vsock": bool(hardware.vsock),
    }  # fmt: skip
    return ["mmio", "console", "fs", *[kind for kind, wanted in asked.items() if wanted]]


def command_line(hardware: Hardware) -> str:
    return cmdline.join([cmdline.default(), hardware.cmdline])


class Asked:
    """``with`` it something of the host's is opened: what goes wrong is told with the place in config.json."""

    def __init__(self, pointer: str) -> None:
        self.pointer = pointer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MinirunError):
            error.pointer = error.pointer or self.pointer or None
        elif isinstance(error, OSError):
            what, why = f"cannot open {error.filename}", error.strerror or ""
            raise MinirunError(what, reason=why, pointer=self.pointer or None) from error


def written(path: str) -> int:
    """The file that takes what the guest's kernel says."""
    flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY
    return posix.open(path, flags, 0o600)


def mapped(path: str) -> bytes | mmap:
    """A file to be read once, in parts: no copy of our own."""
    with open(path, "rb", buffering=0) as file:
        return mmap(file.fileno(), 0, prot=PROT_READ) if posix.fstat(file.fileno()).st_size else b""


def opened(path: str) -> int:
    """A share's root: a clone of the mounts from there on, in nobody's tree, so that no ``..`` leads out of it.

    Without the right to clone (an ordinary user's VMM) it is the directory itself, with his rights and no more.
    """
    try:
        fd = posix.open(path, O_PATH | posix.O_CLOEXEC)
        if posix.geteuid() != 0:
            return fd
        try:
            return open_tree(fd, AT_RECURSIVE)
        finally:
            posix.close(fd)
    except OSError as error:
        raise MinirunError(f"cannot share {path} with the machine", reason=error.strerror or "") from error


def disk(word: str) -> tuple[int, bool]:
    from minirun.vm.devices.block import open_disk

    path = word.removesuffix(",ro")
    return open_disk(path, path != word), path != word


def tap(word: str) -> tuple[int, bytes]:
    """``TAP`` or ``TAP,mac=..``; an address of our own making is a local one (IEEE 802, the second bit).

    TUNSETIFF makes what is not there: by a slip of the pen a machine would have a network that leads nowhere.
    """
    from _socket import if_nametoindex

    from minirun.vm.devices.net import TAP, open_tap

    name, _, rest = word.partition(",")
    try:
        if_nametoindex(name)
    except OSError as error:
        raise MinirunError(f"cannot find the tap device {name}", reason=str(error), hint=TAP) from error
    given = dict(part.partition("=")[::2] for part in rest.split(",") if part)
    text = given.get("mac", "").replace(":", "")
    try:
        mac = bytes.fromhex(text) if text else b"\x02" + posix.getrandom(5)
    except ValueError:
        mac = b""
    if len(mac) != 6:
        raise MinirunError(f"cannot make the interface {name}", reason=f"{given['mac']!r} is no address")
    return open_tap(name), mac
