"""IPAM: an address of a network for a container, as a lease on disk before anything is made of it."""

from __future__ import annotations

import posix

from minirun.errors import USAGE, MinirunError
from minirun.network.address import Subnet, ip_text, parse_ip, subnet
from minirun.network.leases import Lease, Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minirun.network.bridge import Device
    from minirun.network.networks import Network
    from minirun.network.wanted import Wanted


def take(ledger: Ledger, network: Network, device: Device, wanted: Wanted, lease: Lease) -> Lease:
    """``lease`` with addresses and a MAC address, written down."""
    leases = ledger.leases(network.name)
    used = {parse_ip(each.partition("/")[0]) for other in leases for each in (other.ip, other.ip6) if each}
    used |= {parse_ip(device.gateway), parse_ip(device.gateway6)}
    first, second = subnet(device.subnet), subnet(device.subnet6)
    ip = chosen(network, first, wanted.ip, used, subnet(network.ipRange)) if first or wanted.ip else b""
    # the same place in both subnets, where it is free: easier to read
    near = int.from_bytes(ip, "big") - first.base if first and ip else 0
    ip6 = chosen(network, second, wanted.ip6, used, None, near) if second or wanted.ip6 else b""
    mac = wanted.mac.lower() or (b"\x02\x6d" + (ip or ip6[-4:])).hex(":")
    check_mac(mac)
    if any(other.mac == mac for other in leases):
        raise MinirunError(f"cannot give {mac} away", reason=f"another container on network {network.name} has it")
    lease.ip = f"{ip_text(ip)}/{first.bits}" if ip and first else ""
    lease.ip6 = f"{ip_text(ip6)}/{second.bits}" if ip6 and second else ""
    lease.mac = mac
    lease.key = ip_text(ip or ip6)
    lease.link = "mr" + posix.urandom(5).hex()
    if not ledger.add(lease):
        raise taken(lease.key, network.name)
    return lease


def chosen(
    network: Network, whole: Subnet | None, asked: str, used: set[bytes | None], part: Subnet | None, near: int = 0
) -> bytes:
    """The address that was asked for, or the first that is free."""
    if not asked:
        assert whole is not None
        for packed in candidates(whole, part or whole, near):
            if packed not in used:
                return packed
        raise MinirunError(
            f"no address is free on network {network.name}", reason=f"all of {part or whole} are given away",
            hint="minirun container ps shows who is there",
        )  # fmt: skip
    wish = parse_ip(asked)
    kind = "--ip6" if ":" in asked else "--ip"
    if whole is None or wish is None or not whole.holds(wish) or not usable(whole, wish):
        reason = f"not an address of {whole}" if whole else "the network has no subnet of that kind"
        raise MinirunError(f"cannot use {kind} {asked} on network {network.name}", reason=reason, exit_code=USAGE)
    if wish in (parse_ip(network.gateway), parse_ip(network.gateway6)):
        reason = "it is the gateway, this host's own address there"
        raise MinirunError(f"cannot use {kind} {asked} on network {network.name}", reason=reason, exit_code=USAGE)
    if wish in used:
        raise taken(asked, network.name)
    return wish


def candidates(whole: Subnet, part: Subnet, near: int) -> Iterator[bytes]:
    if near and whole.base + near <= whole.last:
        yield whole.nth(near)
    for number in range(part.base, part.last + 1):
        packed = whole.at(number)
        if usable(whole, packed):
            yield packed


def usable(whole: Subnet, packed: bytes) -> bool:
    """The first is the subnet's own name, the last of IPv4 its broadcast address."""
    number = int.from_bytes(packed, "big")
    return number != whole.base and not (whole.size == 32 and number == whole.last)


def check_mac(mac: str) -> None:
    pairs = mac.split(":")
    right = len(pairs) == 6 and all(len(pair) == 2 and not set(pair) - set("0123456789abcdef") for pair in pairs)
    if not right or int(pairs[0], 16) & 1:
        reason = "that is a group's" if right else "six pairs of hexadecimal digits, as in 02:6d:0a:5a:00:02"
        raise MinirunError(f"invalid MAC address {mac!r}", reason=reason, exit_code=USAGE)


def taken(address: str, network: str) -> MinirunError:
    return MinirunError(f"cannot give {address} away", reason=f"another container on network {network} has it")
