"""A host of its own for tests of networks: two network namespaces, the "host" and somebody outside, and a wire.

The test's own thread lives on the host; sockets are made in the other namespaces and used from here.  The real host's
bridges, rules and sysctls are out of reach.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from minirun.linux import link, nftables, rtnetlink
from minirun.network import bridge, netns, repair
from minirun.network.address import parse_ip
from minirun.network.attach import Attached, Place, Wanted, attach, detach
from minirun.network.leases import Ledger
from minirun.network.ports import parse

CLONE_NEWNET = 0x40000000
HOST, OUTSIDE = "192.0.2.1", "192.0.2.2"
HOST6, OUTSIDE6 = "2001:db8::1", "2001:db8::2"
libc = ctypes.CDLL(None, use_errno=True)


def enter(fd: int) -> None:
    if libc.setns(fd, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def inside(fd: int) -> Iterator[None]:
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    enter(fd)
    try:
        yield
    finally:
        enter(own)
        os.close(own)


class World:
    """Containers by name: their network namespaces, their sockets."""

    def __init__(self, path: Path, mtu: int = 1500) -> None:
        self.place = Place(storage=str(path / "storage"), root=str(path / "run"))
        (path / "storage").mkdir()
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")  # a new namespace may begin with the first one's value
        self.outside = netns.new()
        self.fds: dict[str, int] = {}
        self.attached: dict[str, Attached] = {}
        self.open: list[socket.socket] = []
        here = rtnetlink.Route()
        mac = bytes.fromhex("020000000002")
        link.add_veth(here, "uplink", 0, mtu, self.outside, "wire", mac)
        there = rtnetlink.Route(self.outside)
        for route, name, addresses in ((here, "uplink", (HOST, HOST6)), (there, "wire", (OUTSIDE, OUTSIDE6))):
            index = link.interface(route, name).index
            for text in addresses:
                packed = parse_ip(text)
                assert packed
                link.add_address(route, index, packed, 24 if len(packed) == 4 else 64)
            route.up(index)
        here.up(1)
        for text in (OUTSIDE, OUTSIDE6):
            gateway = parse_ip(text)
            assert gateway
            link.add_default_route(here, link.interface(here, "uplink").index, gateway)

    def id(self, name: str) -> str:
        return (name.encode().hex() + "0" * 64)[:64]

    def join(self, name: str, *wanted: Wanted, ports: Sequence[str] = (), aliases: Sequence[str] = ()) -> Attached:
        Path(self.place.storage, "containers", self.id(name)).mkdir(parents=True, exist_ok=True)
        self.fds[name] = netns.new()
        chosen = wanted or (Wanted(aliases=aliases),)
        asked = [port for text in ports for port in parse(text)]
        self.attached[name] = attach(self.place, self.id(name), name, self.fds[name], chosen, asked)
        return self.attached[name]

    def leave(self, name: str, *, sweep: bool = True) -> None:
        os.close(self.fds.pop(name))
        detach(self.place, self.id(name), sweep=sweep)
        attached = self.attached.pop(name, None)
        for fd in attached.sockets if attached else ():
            os.close(fd)

    def ip(self, name: str, network: int = 0) -> str:
        return self.attached[name].interfaces[network].ip.partition("/")[0]

    def ip6(self, name: str) -> str:
        return self.attached[name].interfaces[0].ip6.partition("/")[0]

    def hosts(self, name: str) -> str:
        return Path(self.place.storage, "containers", self.id(name), "hosts").read_text()

    # sockets

    def plug(self, where: str, family: int, kind: int) -> socket.socket:
        """``where``: a container's name, "host" or "outside"."""
        fd = {"outside": self.outside, **self.fds}.get(where, -1)
        if fd < 0:
            made = socket.socket(family, kind)
        else:
            with inside(fd):
                made = socket.socket(family, kind)
        made.settimeout(2)
        self.open.append(made)
        return made

    def serve(self, where: str, port: int, address: str = "", kind: int = socket.SOCK_STREAM) -> None:
        """Says who is asking, as the server sees it."""
        family = socket.AF_INET6 if ":" in address or not address else socket.AF_INET
        server = self.plug(where, family, kind)
        server.settimeout(None)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address or "::", port))
        if kind == socket.SOCK_STREAM:
            server.listen()
        threading.Thread(target=answer, args=(server, where, kind), daemon=True).start()

    def ask(self, where: str, address: str, port: int, kind: int = socket.SOCK_STREAM, timeout: float = 2) -> str:
        """``SERVER sees ADDRESS``.  Raises OSError where nobody answers."""
        client = self.plug(where, socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        client.settimeout(timeout)
        client.connect((address, port))
        client.send(b"?")
        return client.recv(200).decode()

    def reaches(self, where: str, address: str, port: int, kind: int = socket.SOCK_STREAM) -> bool:
        try:
            return bool(self.ask(where, address, port, kind, timeout=0.3))
        except OSError:
            return False

    # what is there

    def links(self) -> set[str]:
        return {each.name for each in link.interfaces(rtnetlink.Route())} - {"lo", "uplink"} - KERNELS_OWN

    def tables(self) -> list[str]:
        seen = bridge.connection().dump(nftables.GETTABLE)
        return [rows[1].rstrip(b"\0").decode() for kind, rows in seen if kind == nftables.INET]

    def leases(self) -> list[str]:
        with Ledger(self.place.root) as ledger:
            return [f"{each.network} {each.key}" for each in ledger.all()]

    def close(self) -> None:
        for each in self.open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()
        for name in list(self.fds):
            self.leave(name, sweep=False)
        repair.repair(self.place.root)
        os.close(self.outside)


KERNELS_OWN = {
    "ifb0",
    "ifb1",
    "tunl0",
    "sit0",
    "ip6tnl0",
    "gre0",
    "gretap0",
    "erspan0",
    "ip_vti0",
    "ip6_vti0",
    "ip6gre0",
}


def answer(server: socket.socket, name: str, kind: int) -> None:
    """Until the socket is closed."""
    while True:
        try:
            if kind == socket.SOCK_STREAM:
                client, peer = server.accept()
                client.recv(1)
                client.sendall(seen(name, peer[0]))
                client.close()
            else:
                _, peer = server.recvfrom(100)
                if peer is None:  # shut down
                    return
                server.sendto(seen(name, peer[0]), peer)
        except OSError:
            return


def seen(name: str, peer: str) -> bytes:
    return f"{name} sees {peer.removeprefix('::ffff:')}".encode()


@contextmanager
def world(path: Path, mtu: int = 1500) -> Iterator[World]:
    """On a host of its own, for as long as the block runs."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    kept, bridge.open_sockets[:] = list(bridge.open_sockets), []
    fresh = netns.new()
    enter(fresh)
    try:
        made = World(path, mtu)
        try:
            yield made
        finally:
            made.close()
    finally:
        enter(own)
        os.close(own)
        os.close(fresh)
        for each in bridge.open_sockets:
            each.socket.close()
        bridge.open_sockets[:] = kept
        shutil.rmtree(path / "run", ignore_errors=True)
