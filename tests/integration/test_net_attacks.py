"""What neighbours, strangers and bad moments do to networks, and what comes of it."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from minirun.network import networks
from minirun.network.attach import Wanted
from minirun.network.networks import Network
from tests.integration.net_world import HOST, HOST6, OUTSIDE, OUTSIDE6, World, inside
from tests.needs import run

pytestmark = pytest.mark.needs("root", "nftables")
UDP = socket.SOCK_DGRAM


def test_the_first_packet_arrives(net: World) -> None:
    """An interface whose carrier the kernel has not taken note of drops it; the next try is a second later."""
    for number in range(8):
        for name in ("a", "b"):
            net.join(f"{name}{number}")
        server = net.plug(f"b{number}", socket.AF_INET, socket.SOCK_STREAM)
        server.bind(("0.0.0.0", 80))
        server.listen()
        began = time.monotonic()
        client = net.plug(f"a{number}", socket.AF_INET, socket.SOCK_STREAM)
        client.connect((net.ip(f"b{number}"), 80))
        assert time.monotonic() - began < 0.9
        for name in ("a", "b"):
            net.leave(f"{name}{number}")


def advertisement() -> bytes:
    """A router that nobody has asked for, with a prefix to make addresses from (RFC 4861, 4.2)."""
    source, all_nodes = (socket.inet_pton(socket.AF_INET6, word) for word in ("fe80::bad", "ff02::1"))
    prefix = socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    body += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + prefix
    data = source + all_nodes + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6) + body
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), socket.IPPROTO_ICMPV6, 255)
    return bytes.fromhex("333300000001020000000bad86dd") + header + source + all_nodes + body


@pytest.mark.parametrize("six", [False, True])
def test_a_container_is_nobodys_router(net: World, six: bool) -> None:
    """CVE-2020-13401: neither the host nor a neighbour takes routes or addresses from what a container announces."""
    networks.create(net.place.storage, Network(name="lan", subnet6="fd00:5::/64" if six else ""))
    for name in ("evil", "victim"):
        net.join(name, Wanted(name="lan"))
    with inside(net.fds["evil"]), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x86DD) as raw:
        raw.bind(("eth0", 0))
        raw.send(advertisement())
        raw.send(advertisement())
    time.sleep(0.1)
    assert "bad" not in run("ip", "-6", "route").stdout + run("ip", "-6", "address").stdout
    with inside(net.fds["victim"]):
        assert "bad" not in run("ip", "-6", "route").stdout + run("ip", "-6", "address").stdout


def test_who_sends_datagrams_all_the_time_reaches_whom_the_rules_say(net: World) -> None:
    """To the kernel they are one connection, which would go on as it began: to nobody, or to another's port."""
    client = net.plug("outside", socket.AF_INET, UDP)
    client.settimeout(0.2)
    client.connect((HOST, 9090))

    def answer() -> str:
        for _ in range(3):  # the first is told that nobody was there before
            try:
                client.send(b"?")
                return client.recv(100).decode()
            except OSError:
                continue
        return ""

    net.join("first")  # its rules are why the kernel tracks connections
    assert answer() == ""
    net.join("web", ports=["9090:90/udp"])
    net.serve("web", 90, "0.0.0.0", UDP)
    assert answer() == f"web sees {OUTSIDE}"
    had = net.ip("web")
    net.leave("web", sweep=False)
    net.join("other")
    net.serve("other", 90, "0.0.0.0", UDP)
    assert net.ip("other") == had and answer() == ""
    net.join("web", ports=["9090:90/udp"])
    net.serve("web", 90, "0.0.0.0", UDP)
    assert answer() == f"web sees {OUTSIDE}"


def test_the_relay_outlives_many_and_impatient_callers(net: World) -> None:
    from minirun.network import relay

    net.join("web", ports=["8080:80"])
    net.serve("web", 80)
    callers = [net.plug("host", socket.AF_INET6, socket.SOCK_STREAM) for _ in range(relay.AT_ONCE + 20)]
    for each in callers:
        each.connect(("::1", 8080))
    for each in callers:
        each.close()
    assert net.ask("host", "::1", 8080) == "web sees 10.90.0.1"


def test_a_network_that_is_made_anew_is_the_new_one(net: World) -> None:
    """The bridge of the old one may linger."""
    networks.create(net.place.storage, Network(name="lan", subnet="10.5.0.0/24"))
    net.join("one", Wanted(name="lan"))
    net.leave("one", sweep=False)
    networks.remove(net.place.storage, net.place.root, "lan")
    networks.create(net.place.storage, Network(name="lan", subnet="10.6.0.0/24"))
    assert net.join("two", Wanted(name="lan")).interfaces[0].ip == "10.6.0.2/24"


def test_the_first_packet_of_ipv6_arrives_from_outside(net: World) -> None:
    """This host asks for the container by its own link-local address on the bridge, which must not be in doubt then."""
    networks.create(net.place.storage, Network(name="six", subnet6="fd00:5::/64"))
    net.join("web", Wanted(name="six"), ports=["8080:80"])
    net.serve("web", 80)
    began = time.monotonic()
    assert net.ask("outside", HOST6, 8080) == f"web sees {OUTSIDE6}"
    assert time.monotonic() - began < 0.9
