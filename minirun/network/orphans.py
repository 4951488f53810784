"""Bridges and tables whose runtime's root is gone, by pyroute2: ``system prune`` and ``network prune``.

What a crash leaves below a root that is still there is ``repair``'s.  If the root itself was removed, nobody has a note
of its bridges any more; but a bridge of ours says in its alias whose it is (``ip link``).
"""

from __future__ import annotations

import posix
import time

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.nftables.main import NFTables

from minirun.linux.nftables import INET
from minirun.network.bridge import NAME, OURS, Device, abandon
from minirun.network.leases import DEVICE, FOLDER
from minirun.network.rules import chains

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONGEST_ALIAS = 255
PATIENCE = 0.3  # seconds; somebody whose root we do not see (another mount namespace) may be about to plug in


def remove() -> list[str]:
    """In words, what was removed.  Nothing that somebody is plugged into."""
    try:
        found = bridges()
        if found:
            time.sleep(PATIENCE)
            found = [each for each in bridges() if each in found]
        for each in found:
            abandon(each)
        return [f"bridge {each.device} of {each.network}, whose root is gone" for each in found] + tables()
    except (NetlinkError, OSError):  # no such part of the kernel, or no right to it: nothing of ours either
        return []


def bridges() -> list[Device]:
    """Those of ours that nobody has a note of, and nobody is on."""
    with IPRoute() as route:
        links = list(route.get_links())
    used = {each.get_attr("IFLA_MASTER") for each in links}
    found = []
    for each in links:
        network, root = owner(each)
        if root and each["index"] not in used and not posix.access(f"{root}/{FOLDER}/{network}/{DEVICE}", posix.F_OK):
            name, mac = each.get_attr("IFLA_IFNAME"), each.get_attr("IFLA_ADDRESS")
            found.append(Device(network=network, device=name, mac=mac))
    return found


def owner(interface: Any) -> tuple[str, str]:
    """Network and root, from the alias of a bridge of ours; else nothing."""
    info = interface.get_attr("IFLA_LINKINFO")
    ours = info is not None and info.get_attr("IFLA_INFO_KIND") == "bridge"
    alias = interface.get_attr("IFLA_IFALIAS") or ""
    words = alias.split(" ", 2)
    cut = len(alias.encode()) >= LONGEST_ALIAS
    if not ours or cut or len(words) != 3 or words[0] != NAME or not words[2].startswith("/"):
        return "", ""
    return (words[1], words[2]) if (interface.get_attr("IFLA_ADDRESS") or "").startswith(OURS) else ("", "")


def tables() -> list[str]:
    """Tables that are ours by name and content, without their bridge: rules go before it, and come after it."""
    removed = []
    with IPRoute() as route:
        links = {each.get_attr("IFLA_IFNAME") for each in route.get_links()}
    with NFTables(nfgen_family=INET) as nft:
        seen: dict[str, set[str]] = {}
        for each in nft.get_chains():
            if each["nfgen_family"] == INET:
                seen.setdefault(each.get_attr("NFTA_CHAIN_TABLE"), set()).add(each.get_attr("NFTA_CHAIN_NAME"))
        for name, inside in seen.items():
            ours = name.startswith(NAME) and name[len(NAME) :].isdigit() and name not in links
            if ours and inside in (set(chains(True)), set(chains(False))):
                nft.table("del", name=name)
                removed.append(f"table inet {name}, whose bridge is gone")
    return removed
