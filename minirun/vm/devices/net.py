"""virtio-net, virtio 1.2 section 5.1, on a tap device of the host's.  The packets are C's (native/vm/net.c).

The tap speaks the driver's own header (IFF_VNET_HDR), so that checksums and segmentation are left undone from the
guest to the host's network card, or to the other guest: what the driver is able to take is told to the tap
(TUNSETOFFLOAD) once the features are agreed.
"""

from __future__ import annotations

import posix
from _struct import pack
from fcntl import ioctl

from minirun.errors import MinirunError
from minirun.linux.kvm import ffi, lib
from minirun.vm.devices.virtio import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.vm.devices.virtio import Transport

CSUM, GUEST_CSUM, MTU, MAC = 1 << 0, 1 << 1, 1 << 3, 1 << 5
GUEST_TSO4, GUEST_TSO6, GUEST_ECN, HOST_TSO4, HOST_TSO6, HOST_ECN = 1 << 7, 1 << 8, 1 << 9, 1 << 11, 1 << 12, 1 << 13
MRG_RXBUF, STATUS = 1 << 15, 1 << 16
OFFLOADS = {GUEST_CSUM: 1, GUEST_TSO4: 2, GUEST_TSO6: 4, GUEST_ECN: 8}  # TUN_F_CSUM, TSO4, TSO6, TSO_ECN
# <linux/if_tun.h>
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
HEADER = 12
TAP = "a tap has to be there, and nobody else's: ip tuntap add NAME mode tap; ip link set NAME up"


def open_tap(name: str) -> int:
    """A tap of this network namespace's: the one of that name, or a new one (then it goes with its last descriptor)."""
    try:
        fd = posix.open("/dev/net/tun", posix.O_RDWR | posix.O_CLOEXEC | posix.O_NONBLOCK)
        try:
            ioctl(fd, TUNSETIFF, pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
            ioctl(fd, TUNSETVNETHDRSZ, pack("i", HEADER))
        except BaseException:
            posix.close(fd)
            raise
    except OSError as error:
        raise MinirunError(f"cannot open the tap device {name}", reason=str(error.strerror), hint=TAP) from error
    return fd


class Net(VirtioDevice):
    """Takes ``fd`` (``open_tap``) for its own."""

    ID = 1
    QUEUES = (256, 256)  # what the guest receives, what it sends
    WORKER = True
    FEATURES = (
        CSUM | GUEST_CSUM | MAC | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN | HOST_TSO4 | HOST_TSO6 | HOST_ECN
        | MRG_RXBUF | STATUS
    )  # fmt: skip

    def __init__(self, fd: int, mac: bytes, mtu: int = 0) -> None:
        self.fd = fd
        self.mac = mac
        self.mtu = mtu
        self.up = True
        if mtu:
            self.FEATURES |= MTU
        self.native: Any = ffi.new("struct net *")
        self.native.tap = fd

    def attach(self, transport: Transport) -> None:
        super().attach(transport)
        self.native.rx, self.native.tx = self.queues[0].native, self.queues[1].native
        error = lib.net_start(self.native, *transport.kicks)
        if error:
            raise OSError(error, posix.strerror(error))

    def config(self) -> bytes:
        """struct virtio_net_config: mac, status, max_virtqueue_pairs, mtu."""
        return self.mac + pack("<HHH", self.up, 1, self.mtu)

    def set_link(self, up: bool) -> None:
        """As if the cable were plugged in or out; the driver is told."""
        self.up = up
        self.transport.config_changed()

    def activate(self) -> None:
        ioctl(self.fd, TUNSETOFFLOAD, sum(bit for feature, bit in OFFLOADS.items() if self.has(feature)))
        self.native.mergeable = self.has(MRG_RXBUF)
        lib.net_activate(self.native)

    def reset(self) -> None:
        lib.net_reset(self.native)

    def close(self) -> None:
        lib.net_end(self.native)
        posix.close(self.fd)

    def counters(self) -> dict[str, int]:
        return {name: int(getattr(self.native, name)) for name in ("received", "sent", "dropped")}
