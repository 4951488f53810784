"""A tap, tuntap(4), on a bridge: what a micro-VM is plugged into.

Persistent, because it has to be there before the VMM opens it by name (vm/devices/net.py); it goes with the lease.
"""

from __future__ import annotations

import posix
from _struct import pack
from fcntl import ioctl

from minirun.linux import link, rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.network.bridge import Device
    from minirun.network.leases import Lease

# <linux/if_tun.h>
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_TUN_EXCL = 0x0002, 0x1000, 0x4000, 0x8000


def make(device: Device, bridge: int, lease: Lease) -> None:
    """Raises OSError."""
    fd = posix.open("/dev/net/tun", posix.O_RDWR | posix.O_CLOEXEC)
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL
        ioctl(fd, TUNSETIFF, pack("16sH22x", lease.link.encode(), flags))
        ioctl(fd, TUNSETPERSIST, 1)
    finally:
        posix.close(fd)
    route = rtnetlink.Route()
    index = link.interface(route, lease.link).index
    link.enslave(route, index, bridge, device.mtu)
    link.hairpin(route, index)
    link.quieten(route, index)
    link.name_it(route, index, f"minirun {lease.name or lease.container[:12]}")
    route.up(index)
