"""The bridge of a network: there while somebody is on it.

Its name and MAC address are written down before it is made, and checked before it is removed: a bridge of another's
that happens to be called the same is never touched.
"""

from __future__ import annotations

import posix
from errno import EEXIST, ENODEV, ENOENT, EPERM

from minirun.errors import MinirunError
from minirun.linux import link, rtnetlink
from minirun.linux.nftables import Batch, Tables
from minirun.network import pool
from minirun.network.address import Subnet, parse_ip, subnet
from minirun.network.leases import Lease, Ledger
from minirun.network.networks import Network, save
from minirun.network.rules import Redirect, Ruled, batch_for, ports_for
from minirun.network.switches import sysctl
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "minirun"
OURS = "02:6d:"  # how the hardware addresses of our bridges begin
NO_TABLES = (
    "this kernel has no nf_tables (CONFIG_NF_TABLES_INET, NFT_NAT, NFT_MASQ, NFT_FIB_INET): --net none and host work"
)
# Closing a socket to nf_tables waits until what was deleted through any of them is gone (a grace period, 10 ms and
# more): a process that deletes leaves it to its end.
open_sockets: list[Tables] = []
left: dict[str, Device] = {}  # by network: those that this process has taken a container from


class Device(Record):
    """A network that is up, as ROOT/.networks/NETWORK/device has it."""

    network: str
    device: str
    mac: str
    subnet: str = ""
    gateway: str = ""
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    mtu: int = 1500
    ready: bool = False  # whoever made it got to the end of it

    def document(self) -> dict[str, Any]:
        return dict(zip(self.FIELDS, self.astuple(), strict=True))

    def subnets(self) -> list[Subnet]:
        return [each for each in map(subnet, (self.subnet, self.subnet6)) if each]


def device_of(ledger: Ledger, network: str) -> Device | None:
    found = ledger.device(network)
    return Device(**{name: value for name, value in found.items() if name in Device.FIELDS}) if found else None


def find(route: rtnetlink.Route, device: Device) -> int:
    """The number of its bridge; 0 if that is not there, or somebody else's."""
    try:
        found = link.interface(route, device.device)
    except OSError as error:
        if error.errno != ENODEV:
            raise
        return 0
    return found.index if found.kind == "bridge" and found.mac.hex(":") == device.mac else 0


def bring_up(storage: str, ledger: Ledger, network: Network, notes: list[str]) -> tuple[Device, int]:
    """The device, and the bridge's number; made if this is the first user."""
    route = rtnetlink.Route()
    known = device_of(ledger, network.name)
    if known is not None:
        index = find(route, known)
        if index and known.ready:
            mend(ledger, known)
            route.up(index)
            return known, index
        tear_down(ledger, network.name, known)
    for _ in range(pool.TRIES):
        made = attempt(storage, ledger, network, route)
        if made is not None:
            break
    else:
        raise MinirunError(f"cannot bring up network {network.name}", reason="no name for its bridge is free")
    device, index = made
    try:
        settle(device, route, index, notes)
    except BaseException:
        tear_down(ledger, network.name, device)
        raise
    device.ready = True
    ledger.set_device(network.name, device.document())
    return device, index


def attempt(storage: str, ledger: Ledger, network: Network, route: rtnetlink.Route) -> tuple[Device, int] | None:
    """None: another was quicker with the name or the subnet, and there is a next one."""
    found = link.interfaces(route)
    network = without_collision(storage, network, route)
    taken = {each.name for each in found}
    name = network.device or next(word for number in range(1 << 16) if (word := f"{NAME}{number}") not in taken)
    mac = bytes.fromhex(OURS.replace(":", "")) + posix.urandom(4)
    device = Device(
        network=network.name, device=name, mac=mac.hex(":"), subnet=network.subnet, gateway=network.gateway,
        subnet6=network.subnet6, gateway6=network.gateway6, internal=network.internal,
        mtu=network.mtu or pool.host_mtu(route, found),
    )  # fmt: skip
    ledger.set_device(network.name, device.document())
    try:
        link.add_bridge(route, name, mac, device.mtu)
    except OSError as error:
        ledger.forget(network.name)
        if error.errno == EEXIST and not network.device:
            return None
        raise cannot(network.name, f"make the bridge {name}", error) from error
    index = link.interface(route, name).index
    link.name_it(route, index, f"{NAME} {network.name} {ledger.path.rpartition('/')[0]}")  # whose: orphans.py
    if not device.subnet6:
        link.quieten(route, index)
    for each, gateway in ((device.subnet, device.gateway), (device.subnet6, device.gateway6)):
        packed, bits = parse_ip(gateway), each.rpartition("/")[2]
        if packed:
            try:
                link.add_address(route, index, packed, int(bits))
            except OSError as error:
                tear_down(ledger, network.name, device)
                raise cannot(network.name, f"give it {gateway}", error) from error
    sysctl(f"net/ipv6/conf/{name}/accept_ra", [], value=b"0")  # no container tells this host of a router
    sysctl(f"net/ipv6/conf/{name}/accept_dad", [], value=b"0")  # its link-local address is usable at once, too
    route.up(index)
    # two at the same moment, with different roots: the later bridge yields
    if network.automatic and pool.collides(device.subnets(), route, below=index):
        tear_down(ledger, network.name, device)
        return None
    return device, index


def without_collision(storage: str, network: Network, route: rtnetlink.Route) -> Network:
    """A subnet that was our own choice gives way to whatever the host has got since."""
    chosen = [each for each in map(subnet, (network.subnet, network.subnet6)) if each]
    if network.automatic and pool.collides(chosen, route):
        network = pool.choose(storage, network, pool.on_host(route))
        save(storage, network)
    return network


def settle(device: Device, route: rtnetlink.Route, index: int, notes: list[str]) -> None:
    """Rules first: no packet passes without them."""
    commit(device.network, rules_of(device))
    if device.internal:
        return
    sysctl(f"net/ipv4/conf/{device.device}/route_localnet", notes)
    sysctl("net/ipv4/ip_forward", notes, "this host forwards IPv4 now (net.ipv4.ip_forward was 0)")
    if device.subnet6:
        sysctl(
            "net/ipv6/conf/all/forwarding", notes, "this host forwards IPv6 now (net.ipv6.conf.all.forwarding was 0)"
        )
    with_others(notes)


def mend(ledger: Ledger, device: Device) -> bool:
    """Rules that somebody has flushed (``nft flush ruleset``, another firewall's reload) are made again."""
    try:
        if connection().has(device.device):
            return False
    except OSError as error:
        raise cannot(device.network, "look for its rules", error) from error
    commit(device.network, rules_of(device))
    set_ports(device, ledger.leases(device.network))
    return True


def rules_of(device: Device) -> Batch:
    return batch_for(Ruled(device=device.device, subnets=device.subnets(), internal=device.internal))


def with_others(notes: list[str]) -> None:
    """Another's chain that drops what is forwarded has the last word whatever ours says (nft(8), base chains)."""
    try:
        tables = sorted(set(connection().forbids_forwarding()))
    except OSError:
        return
    if tables:
        notes.append(
            f"another firewall drops what this host forwards (table {', '.join(tables)}): it must let us through"
        )


def set_ports(device: Device, leases: list[Lease]) -> None:
    """The published ports of everybody on the network, in one transaction."""
    if device.internal:
        return
    redirects = []
    for lease in leases:
        for row in lease.ports:
            for address in (lease.ip, lease.ip6):
                target = parse_ip(address.partition("/")[0])
                asked = parse_ip(row["hostIp"])
                if target and (asked is None or len(asked) == len(target)):
                    redirects.append(
                        Redirect(
                            hostIp=row["hostIp"], hostPort=row["hostPort"], protocol=row["protocol"], target=target,
                            port=row["port"],
                        )
                    )  # fmt: skip
    batch = ports_for(device.device, redirects)
    try:
        connection().commit(batch)
    except OSError as error:
        if error.errno != ENOENT:
            raise cannot(device.network, "publish its ports", error) from error
        commit(device.network, rules_of(device))  # somebody has flushed them
        commit(device.network, batch)


def commit(network: str, batch: Batch) -> None:
    try:
        connection().commit(batch)
    except OSError as error:
        raise cannot(network, "make its rules", error, NO_TABLES if error.errno != EPERM else "") from error


def connection() -> Tables:
    """The last one that was opened, if there is one: see ``open_sockets``."""
    if not open_sockets:
        open_sockets.append(Tables())
    return open_sockets[-1]


def tear_down(ledger: Ledger, network: str, device: Device | None) -> None:
    """Rules, bridge, and what was written down; whatever of it is there."""
    device = device or device_of(ledger, network)
    if device is not None:
        route = rtnetlink.Route()
        index = find(route, device)
        if index or not there(route, device.device):
            delete_rules(device.device)
        if index:
            try:
                link.delete(route, index)
            except OSError as error:
                if error.errno != ENODEV:
                    raise cannot(network, f"remove the bridge {device.device}", error) from error
    ledger.forget(network)


def abandon(device: Device) -> None:
    """The bridge and the rules of a network that is written down nowhere any more, unless something is plugged in."""
    route = rtnetlink.Route()
    index = find(route, device)
    if index and not any(each.master == index for each in link.interfaces(route)):
        delete_rules(device.device)
        try:
            link.delete(route, index)
        except OSError:  # somebody else was quicker
            pass


def there(route: rtnetlink.Route, name: str) -> bool:
    return any(each.name == name for each in link.interfaces(route))


def delete_rules(name: str) -> None:
    batch = Batch()
    batch.table(name)
    batch.delete_table(name)
    try:
        connection().commit(batch)
    except OSError:  # a kernel without nf_tables has no table of ours either
        pass


def cannot(network: str, what: str, error: OSError, hint: str = "") -> MinirunError:
    if error.errno == EPERM and not hint:
        hint = "networks take root (CAP_NET_ADMIN); --net none and host do not"
    if error.errno == ENOENT and not hint:
        hint = NO_TABLES
    return MinirunError(f"cannot bring up network {network}", reason=f"{what}: {error.strerror}", hint=hint)
