"""Containers on a bridge: addresses, names, the way out, published ports, and that nothing stays."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.linux import link, rtnetlink
from minirun.network import bridge, networks
from minirun.network.attach import Wanted
from minirun.network.networks import Network
from tests.integration.net_world import HOST, HOST6, OUTSIDE, OUTSIDE6, World, inside, world
from tests.needs import run

pytestmark = pytest.mark.needs("root", "nftables")
UDP = socket.SOCK_DGRAM


def user_network(net: World, name: str, **members: Any) -> Network:
    return networks.create(net.place.storage, Network(name=name, **members))


def test_two_containers_talk_and_know_each_other_by_name(net: World) -> None:
    first = net.join("web", aliases=["www"])
    net.join("db")
    assert first.interfaces[0].ip == "10.90.0.2/24" and first.interfaces[0].gateway == "10.90.0.1"
    net.serve("web", 80)
    assert net.ask("db", net.ip("web"), 80) == f"web sees {net.ip('db')}"
    short = net.id("web")[:12]
    assert f"{net.ip('web')}\t{short} web www\n" in net.hosts("db")
    assert f"{net.ip('db')}\t{net.id('db')[:12]} db\n" in net.hosts("web")
    net.leave("web")
    assert "web" not in net.hosts("db") and "localhost" in net.hosts("db")


def test_hosts_are_rewritten_in_place_and_what_is_not_ours_stays(net: World) -> None:
    net.join("one")
    path = Path(net.place.storage, "containers", net.id("one"), "hosts")
    path.write_text("10.1.1.1 added\n" + path.read_text() + "10.1.1.2 behind\n")
    number = path.stat().st_ino
    net.join("two")
    assert path.stat().st_ino == number
    assert path.read_text().startswith("10.1.1.1 added\n") and path.read_text().endswith("10.1.1.2 behind\n")
    assert "two" in path.read_text()
    net.leave("two")
    assert "two" not in path.read_text() and "behind" in path.read_text()


def test_the_way_out_is_by_the_hosts_address(net: World) -> None:
    net.join("web")
    net.serve("outside", 80)
    assert net.ask("web", OUTSIDE, 80) == f"outside sees {HOST}"
    assert net.attached["web"].notes == ["this host forwards IPv4 now (net.ipv4.ip_forward was 0)"]
    assert net.join("db").notes == []


def test_a_published_port_answers_everywhere(net: World) -> None:
    net.join("web", ports=["8080:80", "9090:90/udp"])
    net.join("db")
    net.serve("web", 80)
    net.serve("web", 90, kind=UDP)
    gateway = "10.90.0.1"
    assert net.ask("outside", HOST, 8080) == f"web sees {OUTSIDE}"
    assert net.ask("host", HOST, 8080) == f"web sees {HOST}"
    assert net.ask("host", "127.0.0.1", 8080) == f"web sees {gateway}"
    assert net.ask("host", "::1", 8080) == f"web sees {gateway}"  # by the relay
    assert net.ask("outside", HOST6, 8080) == f"web sees {gateway}"  # the container has no IPv6: the relay's, too
    assert net.ask("db", HOST, 8080) == f"web sees {gateway}"
    assert net.ask("web", HOST, 8080) == f"web sees {gateway}"  # to itself and back
    assert net.ask("outside", HOST, 9090, UDP) == f"web sees {OUTSIDE}"
    assert net.ask("host", "127.0.0.1", 9090, UDP) == f"web sees {gateway}"
    assert not net.reaches("outside", HOST, 80)
    net.leave("web")
    assert not net.reaches("outside", HOST, 8080) and not net.reaches("host", "::1", 8080)


def test_a_port_at_one_address_is_at_no_other(net: World) -> None:
    net.join("web", ports=["127.0.0.1:8080:80", f"{HOST}:8081:80", "[::1]:8082:80"])
    net.serve("web", 80)
    assert net.reaches("host", "127.0.0.1", 8080) and net.reaches("host", HOST, 8081)
    assert net.reaches("host", "::1", 8082)
    assert not net.reaches("outside", HOST, 8080) and not net.reaches("host", "127.0.0.1", 8081)
    assert net.reaches("outside", HOST, 8081) and not net.reaches("outside", HOST6, 8082)


def test_nobody_outside_gets_at_what_is_published_on_loopback(net: World) -> None:
    """A neighbour that sends packets for 127.0.0.1 to us, and one that knows the way to the containers' network."""
    net.join("web", ports=["127.0.0.1:8080:80"])
    net.serve("web", 80)
    with inside(net.outside):
        Path("/proc/sys/net/ipv4/conf/wire/route_localnet").write_text("1")
        run("ip", "route", "add", "10.90.0.0/24", "via", HOST)
        run("ip", "route", "add", "table", "local", "127.0.0.1/32", "via", HOST, "dev", "wire")
        run("ip", "route", "del", "table", "local", "local", "127.0.0.1")
        run("ip", "route", "del", "table", "local", "local", "127.0.0.0/8")
    assert not net.reaches("outside", "127.0.0.1", 8080)
    assert not net.reaches("outside", net.ip("web"), 80)


def test_a_container_does_not_reach_the_hosts_loopback(net: World) -> None:
    """route_localnet is on, on our bridge: what listens on 127.0.0.1 there must stay there (CVE-2020-8558)."""
    net.join("web")
    net.serve("host", 5000, "127.0.0.1")
    net.serve("host", 5001, "127.0.0.1", UDP)
    with inside(net.fds["web"]):
        for words in ("local 127.0.0.1", "local 127.0.0.0/8"):
            run("ip", "route", "del", "table", "local", *words.split())
        run("ip", "route", "add", "127.0.0.1/32", "via", "10.90.0.1")
        Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")
    assert net.reaches("host", "127.0.0.1", 5000)
    assert not net.reaches("web", "127.0.0.1", 5000) and not net.reaches("web", "127.0.0.1", 5001, UDP)


def test_a_taken_port_is_refused_by_name_and_nothing_stays(net: World) -> None:
    net.join("web", ports=["8080:80"])
    with pytest.raises(MinirunError) as caught:
        net.join("other", ports=["8080:80"])
    assert str(caught.value) == "cannot publish port 8080/tcp: Address already in use"
    assert "container ps" in caught.value.hint
    assert net.leases() == ["bridge 10.90.0.2"]
    busy = net.plug("host", socket.AF_INET, socket.SOCK_STREAM)
    busy.bind(("127.0.0.1", 7000))
    with pytest.raises(MinirunError, match="cannot publish port 7000/tcp"):
        net.join("third", ports=["7000:80"])
    net.leave("web")
    net.join("again", ports=["8080:80"])


def test_any_port_is_a_free_one(net: World) -> None:
    chosen = [net.join(name, ports=["80"]).ports[0].hostPort for name in ("one", "two")]
    assert len(set(chosen)) == 2 and all(number >= 1024 for number in chosen)
    net.serve("one", 80)
    assert net.reaches("outside", HOST, chosen[0])


def test_networks_are_apart(net: World) -> None:
    user_network(net, "left")
    user_network(net, "right")
    net.join("a", Wanted(name="left"))
    net.join("b", Wanted(name="right"), ports=["8080:80"])
    net.join("both", Wanted(name="left"), Wanted(name="right"))
    net.serve("b", 80)
    net.serve("b", 81)
    assert not net.reaches("a", net.ip("b"), 80) and not net.reaches("a", net.ip("b"), 81)
    assert net.reaches("a", HOST, 8080)  # what is published is published for everybody
    assert net.reaches("both", net.ip("b"), 81)
    assert "\tb" not in net.hosts("a").replace("both", "") and "both" in net.hosts("a")
    assert {each.name for each in net.attached["both"].interfaces} == {"eth0", "eth1"}


def test_an_internal_network_has_no_way_out(net: World) -> None:
    user_network(net, "inner", internal=True)
    net.join("a", Wanted(name="inner"))
    net.join("b", Wanted(name="inner"))
    net.serve("outside", 80)
    net.serve("b", 80)
    assert net.reaches("a", net.ip("b"), 80) and not net.reaches("a", OUTSIDE, 80)
    with inside(net.fds["a"]):
        run("ip", "route", "add", "default", "via", net.attached["a"].interfaces[0].ip.replace(".2/24", ".1"))
    assert not net.reaches("a", OUTSIDE, 80)
    with pytest.raises(MinirunError, match="cannot publish ports: no network of the container's has a way out"):
        net.join("c", Wanted(name="inner"), ports=["80:80"])


def test_ipv6(net: World) -> None:
    made = user_network(net, "six", subnet6="fd00:abcd::/64")
    net.join("web", Wanted(name="six"), ports=["8080:80"])
    net.join("db", Wanted(name="six"))
    assert net.ip6("web") == "fd00:abcd::2" and made.gateway6 == "fd00:abcd::1"
    net.serve("web", 80)
    net.serve("outside", 80)
    assert net.ask("db", net.ip6("web"), 80) == f"web sees {net.ip6('db')}"
    assert net.ask("web", OUTSIDE6, 80) == f"outside sees {HOST6}"
    assert net.ask("outside", HOST6, 8080) == f"web sees {OUTSIDE6}"
    assert net.ask("host", HOST6, 8080) == f"web sees {HOST6}"
    assert net.ask("db", HOST6, 8080) == f"web sees {made.gateway6}"
    assert net.reaches("host", "::1", 8080) and net.reaches("outside", HOST, 8080)
    assert f"{net.ip6('web')}\t" in net.hosts("db")


def test_what_is_asked_for_is_given_or_refused(net: World) -> None:
    user_network(net, "mine", subnet="10.5.0.0/29", mtu=1400, ipRange="10.5.0.4/30")
    got = net.join("web", Wanted(name="mine", ip="10.5.0.3", mac="02:00:00:00:00:77")).interfaces[0]
    assert (got.ip, got.mac) == ("10.5.0.3/29", "02:00:00:00:00:77")
    assert net.join("auto", Wanted(name="mine")).interfaces[0].ip == "10.5.0.4/29"
    inner = link.interface(rtnetlink.Route(net.fds["web"]), "eth0")
    assert inner.mac.hex(":") == "02:00:00:00:00:77" and inner.mtu == 1400
    for wanted, words in (
        (Wanted(name="mine", ip="10.5.0.3"), "cannot give 10.5.0.3 away: another container on network mine has it"),
        (Wanted(name="mine", ip="10.5.0.1"), "cannot use --ip 10.5.0.1 on network mine: it is the gateway"),
        (Wanted(name="mine", ip="10.5.0.7"), "cannot use --ip 10.5.0.7 on network mine: not an address of 10.5.0.0/29"),
        (Wanted(name="mine", ip="10.6.0.3"), "cannot use --ip 10.6.0.3 on network mine"),
        (Wanted(name="mine", ip6="fd00::1"), "the network has no subnet of that kind"),
        (Wanted(name="mine", mac="02:00:00:00:00:77"), "cannot give 02:00:00:00:00:77 away"),
        (Wanted(name="mine", mac="01:00:00:00:00:77"), "invalid MAC address"),
        (Wanted(name="nowhere"), "no network 'nowhere': there is none of that name"),
        (Wanted(name="mine", aliases=["a b"]), "invalid network alias 'a b'"),
    ):
        with pytest.raises(MinirunError) as caught:
            net.join("wrong", wanted)
        assert words in str(caught.value)
    assert net.leases() == ["mine 10.5.0.3", "mine 10.5.0.4"]
    for name in ("x", "y"):
        net.join(name, Wanted(name="mine"))
    with pytest.raises(MinirunError, match="no address is free on network mine"):
        net.join("last", Wanted(name="mine"))


def test_a_subnet_that_the_host_has_got_meanwhile_is_left_to_it(net: World) -> None:
    net.join("one")
    net.leave("one")
    run("ip", "address", "add", "10.90.0.99/16", "dev", "uplink")
    assert net.join("two").interfaces[0].ip == "10.91.0.2/24"


def test_the_mtu_is_that_of_the_way_out(tmp_path: Path) -> None:
    with world(tmp_path, mtu=1420) as net:
        net.join("one")
        assert link.interface(rtnetlink.Route(net.fds["one"]), "eth0").mtu == 1420


def test_another_firewall_that_is_in_the_way_is_named(net: World) -> None:
    """docker's policy of FORWARD: no rule of ours can overrule it."""
    chain = "{ type filter hook forward priority 0; policy drop; }"
    for words in (("table", "ip", "filter"), ("chain", "ip", "filter", "FORWARD", chain)):
        assert run("nft", "add", *words).returncode == 0
    notes = net.join("web").notes
    assert any("another firewall drops what this host forwards (table filter)" in note for note in notes)
    run("nft", "delete", "table", "ip", "filter")


def test_without_nf_tables_the_way_out_is_told(net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without nf_tables says so at the first question."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))

    monkeypatch.setattr(bridge, "connection", refuse)
    with pytest.raises(MinirunError) as caught:
        net.join("web")
    assert str(caught.value) == "cannot bring up network bridge: make its rules: Protocol not supported"
    assert "no nf_tables" in caught.value.hint and "--net none and host" in caught.value.hint
    assert net.links() == set() and net.leases() == []
