"""``network create``: what was asked for is checked, what was not said is chosen."""

from __future__ import annotations

import posix
import time

from minirun.network import pool
from minirun.network.address import Subnet, ip_text, parse_ip, subnet
from minirun.network.networks import LONGEST, RESERVED, Network, changed, every, valid_name, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST_MTU, SMALLEST_MTU6, LARGEST_MTU = 68, 1280, 65535


def check(network: Network) -> None:
    """Everything that can be said without looking at this host."""
    name = network.name
    if not valid_name(name) or name in RESERVED:
        raise wrong(name, f"letters, digits, _ . and - only, at most {LONGEST}, and none of " + ", ".join(RESERVED))
    if network.driver != "bridge":
        raise wrong(name, f"no driver {network.driver!r}", "bridge is the only one; others are CNI's (docs/network.md)")
    if network.device and not interface_name(network.device):
        raise wrong(
            name, f"{network.device!r} is no name of an interface: those have at most 15 bytes, no / : or space"
        )
    least = SMALLEST_MTU6 if network.subnet6 else SMALLEST_MTU
    if network.mtu and not least <= network.mtu <= LARGEST_MTU:
        raise wrong(name, f"an MTU is {least} to {LARGEST_MTU}")
    parts(network, network.subnet, network.gateway, 4)
    parts(network, network.subnet6, network.gateway6, 16)
    if network.ipRange:
        outer, inner = subnet(network.subnet), subnet(network.ipRange)
        if inner is None or outer is None or not (outer.base <= inner.base and inner.last <= outer.last):
            raise wrong(name, f"the range {network.ipRange} is no part of the subnet")


def interface_name(text: str) -> bool:
    """As the kernel has it (dev_valid_name in net/core/dev.c)."""
    odd = text in (".", "..") or any(each in "/:%" or each.isspace() or not each.isprintable() for each in text)
    return 0 < len(text.encode()) <= 15 and not odd


def parts(network: Network, text: str, gateway: str, size: int) -> None:
    """One subnet and its gateway."""
    if not text:
        if gateway:
            raise wrong(network.name, "a gateway without its subnet", "--subnet")
        return
    found = subnet(text)
    if found is None or found.size != size * 8 or found.size - found.bits < 2:
        raise wrong(
            network.name, f"{text!r} is no subnet of at least two addresses", "as in 10.90.3.0/24 or fd00:1::/64"
        )
    if gateway:
        packed = parse_ip(gateway)
        if packed is None or not found.holds(packed) or packed == found.nth(0):
            raise wrong(network.name, f"the gateway {gateway} is no address of {found}")


def filled(storage: str, network: Network, taken: Sequence[tuple[Subnet, str]]) -> Network:
    """With id, time, subnets and gateways.  A subnet that was asked for must collide with nothing; ``taken``: what this
    host has, and in words as what."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    network = changed(network, id=posix.urandom(32).hex(), created=created, automatic=not network.subnet)
    if network.subnet:
        network = with_gateway(network, free(storage, network, network.subnet, taken))
    else:
        network = pool.choose(storage, network, [each for each, _ in taken])
    if network.subnet6:
        network = with_gateway(network, free(storage, network, network.subnet6, taken))
    return network


def with_gateway(network: Network, found: Subnet) -> Network:
    if found.size == 32:
        return changed(network, subnet=str(found), gateway=network.gateway or ip_text(found.nth(1)))
    return changed(network, subnet6=str(found), gateway6=network.gateway6 or ip_text(found.nth(1)))


def free(storage: str, network: Network, text: str, taken: Sequence[tuple[Subnet, str]]) -> Subnet:
    found = subnet(text)
    assert found is not None  # checked
    for other in every(storage):
        for each in filter(None, map(subnet, (other.subnet, other.subnet6))):
            if each.overlaps(found) and other.name != network.name:
                raise wrong(network.name, f"{text} overlaps with network {other.name} ({each})")
    for each, why in taken:
        if each.overlaps(found):
            raise wrong(network.name, f"{text} overlaps with {each}, {why}")
    return found
