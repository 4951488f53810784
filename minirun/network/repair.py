"""What a crash has left: leases, interfaces, bridges and rules without a living user.

The next attach does it for everything below its root, as does ``system prune``.
"""

from __future__ import annotations

import posix
from errno import ENODEV

from minirun.errors import MinirunError
from minirun.facts import user_namespace
from minirun.linux import link, rtnetlink
from minirun.network import bridge, publish
from minirun.network.leases import CNI, DEVICE, FOLDER, VETH, Lease, Ledger

PREFIX = "mr"  # of our interfaces on the host


def repair(root: str) -> list[str]:
    """What was removed, in words; bridges that nobody uses, too."""
    with Ledger(root) as ledger:
        return repair_locked(ledger, everything=True) + sweep_locked(ledger)


def orphans() -> list[str]:
    """Whatever is left of roots that are gone; of the host's root only, and that is slow: for the prune verbs."""
    if user_namespace() or posix.geteuid():
        return []
    from minirun.network.orphans import remove

    return remove()


def repair_locked(ledger: Ledger, *, everything: bool = False) -> list[str]:
    """Leases without a living user, and interfaces on our bridges without a lease.

    One that is switched off is on its way out, with its namespace (attach.detach): removing it by hand takes 20 ms.
    """
    networks = ledger.networks()
    if not networks:
        return []
    route = rtnetlink.Route()
    found = link.interfaces(route)
    names = {each.name: each.index for each in found}
    removed = []
    for network in networks:
        leases = ledger.leases(network)
        dead = [lease for lease in leases if not lease.owned() and not (lease.kind == VETH and lease.link in names)]
        for lease in dead:
            undo(ledger, lease, route, names)
            removed.append(f"lease of {lease.key} on {network}")
        alive = [lease for lease in leases if lease not in dead]
        device = bridge.device_of(ledger, network)
        if device is None:
            continue
        if any(lease.ports for lease in dead):  # even if nobody is left: the next one may get the same address
            bridge.set_ports(device, alive)
            publish.forget_datagrams(publish.ports_of(dead))
        known = {lease.link for lease in alive}
        for each in found:
            if each.master and each.master == names.get(device.device) and each.name not in known and ours(each):
                if not (everything or each.up):
                    continue
                delete(route, each.index)
                removed.append(f"interface {each.name}")
    return removed


def ours(interface: link.Interface) -> bool:
    return interface.name.startswith(PREFIX) and interface.kind in ("veth", "tun")


def undo(ledger: Ledger, lease: Lease, route: rtnetlink.Route, names: dict[str, int]) -> None:
    """Its interface, if any is left, and the lease."""
    if lease.kind == CNI and lease.cni:
        from minirun.network import cni

        try:
            cni.leave(lease)
        except MinirunError:  # its plugins had their chance; the lease must not stay for ever
            pass
    elif lease.link in names:
        delete(route, names[lease.link])
    ledger.drop(lease)


def delete(route: rtnetlink.Route, index: int) -> None:
    """Gone by itself meanwhile, with its network namespace, is as well."""
    try:
        link.delete(route, index)
    except OSError as error:
        if error.errno != ENODEV:
            raise MinirunError("cannot remove an interface", reason=str(error.strerror)) from error


def sweep(root: str, idle: float = 0) -> list[str]:
    """Bridges and rules of networks that nobody is on; nor has been, for ``idle`` seconds: whoever left later sweeps
    later."""
    with Ledger(root) as ledger:
        return sweep_locked(ledger, idle)


def linger(root: str, seconds: float) -> None:
    """``sweep`` after a while.  What this process has left goes even if all of ``root`` was removed meanwhile."""
    import time

    time.sleep(seconds)
    if posix.access(f"{root}/{FOLDER}", posix.F_OK):
        sweep(root, seconds * 0.9)
    for device in bridge.left.values():
        if not posix.access(f"{root}/{FOLDER}/{device.network}/{DEVICE}", posix.F_OK):
            bridge.abandon(device)


def sweep_locked(ledger: Ledger, idle: float = 0) -> list[str]:
    removed = []
    for network in ledger.networks():
        if not ledger.leases(network) and ledger.idle(network) >= idle:
            device = bridge.device_of(ledger, network)
            bridge.tear_down(ledger, network, device)
            if device is not None:
                removed.append(f"bridge {device.device} of {network}")
    return removed
