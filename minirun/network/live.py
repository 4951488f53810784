"""What this host has now, by pyroute2: for ``network create``, ``ls`` and ``inspect``.

A container's start and end have our own netlink (``linux/link.py``, ``linux/nftables.py``): HACKING.md, 8, says why.
These verbs are for people, who can wait for the import; and a second pair of eyes says what is there, not what we think
that we have made.
"""

from __future__ import annotations

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nftsocket import NFT_MSG_GETSETELEM, nft_set_elem_list_msg
from pyroute2.nftables.main import NFTables

from minirun.errors import MinirunError
from minirun.linux.nftables import INET
from minirun.network.address import Subnet, ip_text, of, parse_ip
from minirun.network.leases import CNI
from minirun.network.pool import LOCAL, UNICAST
from minirun.network.rules import MAPS, PROTOCOLS, chains

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minirun.network.bridge import Device
    from minirun.network.leases import Lease

PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


def taken() -> list[tuple[Subnet, str]]:
    """Every subnet that this host has an address in, or a route to, and why; but for the default routes."""
    found = []
    try:
        with IPRoute() as route:
            names = {each["index"]: each.get_attr("IFLA_IFNAME") for each in route.get_links()}
            for each in route.get_addr():
                there = of(parse_ip(each.get_attr("IFA_ADDRESS") or "") or b"", each["prefixlen"])
                if there:
                    found.append((there, f"an address of {names.get(each['index'], 'an interface')}"))
            for each in route.get_routes():
                there = of(parse_ip(each.get_attr("RTA_DST") or "") or b"", each["dst_len"])
                if there and each["dst_len"] and each["type"] in (UNICAST, LOCAL):
                    by = names.get(each.get_attr("RTA_OIF"))
                    found.append((there, f"a route of this host's{f' by {by}' if by else ''}"))
    except (NetlinkError, OSError) as error:
        raise cannot("this host's routes", error) from error
    return found


def states(networks: Sequence[tuple[Device, Sequence[Lease]]]) -> list[str]:
    """One word or two for each: ``up, 2 containers``, or what is wrong."""
    found = []
    with Look() as look:
        for device, leases in networks:
            problems = look.problems(device, leases)
            count = f"{len(leases)} container{'' if len(leases) == 1 else 's'}"
            found.append("damaged" if problems else f"up, {count}")
    return found


def document(device: Device, leases: Sequence[Lease]) -> dict[str, Any]:
    """The member Live of ``network inspect``: the bridge, what is plugged into it, the rules, and what is wrong."""
    with Look() as look:
        bridge = look.links.get(device.device)
        index = bridge["index"] if bridge else 0
        names = {each.link: each.name or each.container[:12] for each in leases if each.link}
        return {
            "Bridge": {
                "Name": device.device, "State": bridge["state"] if bridge else "missing",
                "MacAddress": bridge.get_attr("IFLA_ADDRESS") if bridge else "",
                "MTU": bridge.get_attr("IFLA_MTU") if bridge else 0, "Addresses": look.addresses.get(index, []),
            },
            "Ports": [
                port(each, names.get(name, "")) for name, each in sorted(look.links.items())
                if index and each.get_attr("IFLA_MASTER") == index
            ],
            "Rules": {
                "Table": f"inet {device.device}", "Chains": look.rules.get(device.device, {}),
                "Published": sorted(look.published(device)),
            },
            "Problems": look.problems(device, leases),
        }  # fmt: skip


def port(interface: Any, container: str) -> dict[str, Any]:
    """Counted from the container's side: what the host's end has sent, it has received."""
    counts = interface.get_attr("IFLA_STATS64") or {}
    return {
        "Interface": interface.get_attr("IFLA_IFNAME"), "Container": container, "State": interface["state"],
        "RxBytes": counts.get("tx_bytes", 0), "RxPackets": counts.get("tx_packets", 0),
        "TxBytes": counts.get("rx_bytes", 0), "TxPackets": counts.get("rx_packets", 0),
        "Dropped": counts.get("rx_dropped", 0) + counts.get("tx_dropped", 0),
    }  # fmt: skip


class Look:
    """One look at the host's interfaces, addresses, and the rules of our family."""

    def __init__(self) -> None:
        self.addresses: dict[int, list[str]] = {}
        self.rules: dict[str, dict[str, int]] = {}  # by table, by chain: how many
        try:
            with IPRoute() as route:
                self.links = {each.get_attr("IFLA_IFNAME"): each for each in route.get_links()}
                for each in route.get_addr():
                    text = f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}"
                    self.addresses.setdefault(each["index"], []).append(text)
            self.nft = NFTables(nfgen_family=INET)
        except (NetlinkError, OSError) as error:
            raise cannot("this host's interfaces", error) from error

    def __enter__(self) -> Look:
        try:
            for each in self.nft.get_chains():
                if each["nfgen_family"] == INET:
                    chain = each.get_attr("NFTA_CHAIN_NAME")
                    self.rules.setdefault(each.get_attr("NFTA_CHAIN_TABLE"), {})[chain] = 0
            for each in self.nft.get_rules():
                table, chain = each.get_attr("NFTA_RULE_TABLE"), each.get_attr("NFTA_RULE_CHAIN")
                if each["nfgen_family"] == INET and chain in self.rules.get(table, {}):
                    self.rules[table][chain] += 1
        except (NetlinkError, OSError) as error:
            self.nft.close()
            raise cannot("the rules of nf_tables", error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.nft.close()

    def published(self, device: Device) -> set[str]:
        """``tcp 0.0.0.0:8080 -> 10.90.0.2:80``: what stands in the maps."""
        found: set[str] = set()
        if device.internal or device.device not in self.rules:
            return found
        for name, *_ in MAPS:
            wanted = nft_set_elem_list_msg()
            wanted["nfgen_family"] = INET
            wanted["attrs"] = [["NFTA_SET_ELEM_LIST_TABLE", device.device], ["NFTA_SET_ELEM_LIST_SET", name]]
            try:
                for answer in self.nft.request_get(wanted, NFT_MSG_GETSETELEM):
                    for each in answer.get_attr("NFTA_SET_ELEM_LIST_ELEMENTS") or ():
                        key, value = (
                            each.get_attr(f"NFTA_SET_ELEM_{word}").get_attr("NFTA_DATA_VALUE")
                            for word in ("KEY", "DATA")
                        )
                        found.add(redirected(name, key, value))
            except (NetlinkError, OSError):  # the map is missing: so are its ports
                continue
        return found

    def problems(self, device: Device, leases: Sequence[Lease]) -> list[str]:
        """What differs from what we have made."""
        bridge = self.links.get(device.device)
        if bridge is None:
            return [f"the bridge {device.device} is missing"]
        if bridge.get_attr("IFLA_ADDRESS") != device.mac:
            return [f"{device.device} is somebody else's"]
        found = [] if bridge["state"] == "up" else [f"the bridge {device.device} is down"]
        for address, whole in ((device.gateway, device.subnet), (device.gateway6, device.subnet6)):
            text = f"{address}/{whole.rpartition('/')[2]}"
            if address and text not in self.addresses.get(bridge["index"], []):
                found.append(f"the bridge {device.device} has lost {text}")
        missing = [name for name in chains(device.internal) if not self.rules.get(device.device, {}).get(name)]
        if missing:
            found.append(f"table inet {device.device} lacks {', '.join(missing)}")
        ports = self.published(device)
        for lease in leases:
            end = self.links.get(lease.link)
            if lease.kind != CNI and (end is None or end.get_attr("IFLA_MASTER") != bridge["index"]):
                found.append(f"{lease.name or lease.container[:12]} is not plugged into {device.device}")
            found += [
                f"port {row['hostPort']}/{row['protocol']} is not redirected" for row in lease.ports
                if not any(f"{row['protocol']} " in one and f":{row['hostPort']} -> " in one for one in ports)
            ]  # fmt: skip
        return found


def redirected(name: str, key: bytes, value: bytes) -> str:
    """An element of a map: [address,] protocol and port, in registers of four bytes -> address and port."""
    size = 4 if name.endswith("4") else 16
    at = key[:size] if name.startswith("at") else bytes(size)
    protocol, number = key[-8], int.from_bytes(key[-4:-2], "big")
    target = int.from_bytes(value[size : size + 2], "big")
    word = PROTOCOL_NAMES.get(protocol, str(protocol))
    return f"{word} {bracketed(at)}:{number} -> {bracketed(value[:size])}:{target}"


def bracketed(packed: bytes) -> str:
    return ip_text(packed) if len(packed) == 4 else f"[{ip_text(packed)}]"


def cannot(what: str, error: Exception) -> MinirunError:
    return MinirunError(f"cannot look at {what}", reason=str(getattr(error, "strerror", None) or error))
