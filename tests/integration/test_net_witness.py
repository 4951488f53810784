"""pyroute2 looks at what our own netlink has made: the same bridge, pair, addresses, routes and rules."""

from __future__ import annotations

import pytest

from tests.integration.net_world import World, inside

pytestmark = pytest.mark.needs("root", "nftables")


def test_pyroute2_sees_what_we_made(net: World) -> None:
    pyroute2 = pytest.importorskip("pyroute2")
    got = net.join("web", ports=["8080:80"]).interfaces[0]
    with pyroute2.IPRoute() as route:
        (bridge,) = route.get_links(ifname="minirun0")
        (port,) = [each for each in route.get_links() if each.get_attr("IFLA_MASTER") == bridge["index"]]
        assert bridge.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge" and bridge["state"] == "up"
        assert port.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "veth"
        assert port.get_attr("IFLA_IFALIAS") == "minirun web"
        addresses = [each.get_attr("IFA_ADDRESS") for each in route.get_addr(index=bridge["index"], family=2)]
        assert addresses == [got.gateway]
    with inside(net.fds["web"]), pyroute2.IPRoute() as route:
        (eth0,) = route.get_links(ifname="eth0")
        assert eth0.get_attr("IFLA_ADDRESS") == got.mac and eth0.get_attr("IFLA_MTU") == 1500
        (address,) = route.get_addr(index=eth0["index"], family=2)
        assert f"{address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}" == got.ip
        assert address.get_attr("IFA_BROADCAST") == "10.90.0.255"
        (default,) = route.get_default_routes(family=2)
        assert default.get_attr("RTA_GATEWAY") == got.gateway
        assert not route.get_addr(index=eth0["index"], family=10), "no IPv6, so no fe80:: either"


def test_nft_sees_the_rules_as_we_mean_them(net: World) -> None:
    """nft(8) knows every expression: it prints rules that could be read back."""
    from tests.needs import run

    net.join("web", ports=["8080:80", "127.0.0.1:53:5353/udp"])
    text = run("nft", "list", "table", "inet", "minirun0").stdout
    for line in (
        'iifname "minirun0" ip daddr 127.0.0.0/8 drop',
        "elements = { tcp . 8080 : 10.90.0.2 . 80 }",
        "elements = { 127.0.0.1 . udp . 53 : 10.90.0.2 . 5353 }",
        "meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @any4",
        'ip saddr 10.90.0.0/24 oifname != "minirun0" masquerade',
        "ip saddr 10.90.0.0/24 ip daddr 10.90.0.0/24 ct status dnat masquerade",
        'oifname "minirun0" iifname != "minirun0" jump into',
        "ct state established,related accept",
        "ct status dnat accept",
    ):
        assert line in text
    assert run("nft", "-c", "-f", "-", input=text, stdin=None).returncode == 0


def test_what_live_says_is_what_is_there(net: World) -> None:
    """And each thing that somebody breaks is told by name; the next container mends the rules."""
    from minirun.network import live
    from minirun.network.bridge import device_of
    from minirun.network.leases import Ledger
    from tests.needs import run

    net.join("web", ports=["8080:80", "127.0.0.1:53:5353/udp"])
    with Ledger(net.place.root) as ledger:
        device, leases = device_of(ledger, "bridge"), ledger.leases("bridge")
    assert device
    seen = live.document(device, leases)
    assert seen["Problems"] == [] and live.states([(device, leases)]) == ["up, 1 container"]
    assert seen["Bridge"]["State"] == "up" and seen["Bridge"]["Addresses"] == ["10.90.0.1/24"]
    assert [each["Container"] for each in seen["Ports"]] == ["web"]
    assert seen["Rules"]["Published"] == ["tcp 0.0.0.0:8080 -> 10.90.0.2:80", "udp 127.0.0.1:53 -> 10.90.0.2:5353"]
    assert seen["Rules"]["Chains"]["early"] == 2

    run("nft", "flush", "ruleset")
    problems = live.document(device, leases)["Problems"]
    assert problems[0].startswith("table inet minirun0 lacks early") and "port 8080/tcp is not redirected" in problems
    net.join("next")
    assert live.document(device, leases)["Problems"] == []
    run("ip", "address", "del", "10.90.0.1/24", "dev", "minirun0")
    run("ip", "link", "set", leases[0].link, "nomaster")
    assert live.document(device, leases)["Problems"] == [
        "the bridge minirun0 has lost 10.90.0.1/24",
        "web is not plugged into minirun0",
    ]
    run("ip", "link", "del", "minirun0")
    assert live.states([(device, leases)]) == ["damaged"]


def test_rules_that_were_flushed_stop_nobody_from_leaving(net: World) -> None:
    from tests.needs import run

    net.join("web", ports=["8080:80"])
    net.join("db", ports=["8081:80"])
    run("nft", "flush", "ruleset")
    net.leave("web")
    assert net.leases() == ["bridge 10.90.0.3"] and net.tables() == ["minirun0"]
    net.serve("db", 80)
    assert net.reaches("outside", "192.0.2.1", 8081)


def test_prune_removes_what_removed_roots_have_left(net: World) -> None:
    """Not a bridge whose root is there, or that somebody is on, or of another's."""
    import shutil

    from minirun.network import orphans
    from minirun.network.attach import Place
    from tests.needs import run

    net.join("web")
    here, net.place = net.place, Place(storage=net.place.storage, root=net.place.root + "-gone")
    net.join("lost")
    assert {"minirun0", "minirun1"} <= net.links()
    shutil.rmtree(net.place.root)
    net.place = here
    assert orphans.remove() == []  # somebody is on it still
    run("ip", "link", "add", "minirun7", "type", "bridge")
    run("nft", "add", "table", "inet", "minirun9")
    for each in net.links():
        if each.startswith("mr") and "lost" in run("ip", "link", "show", each).stdout:
            run("ip", "link", "del", each)
    assert orphans.remove() == ["bridge minirun1 of bridge, whose root is gone"]
    assert sorted(each for each in net.links() if each.startswith("minirun")) == ["minirun0", "minirun7"]
    assert sorted(net.tables()) == ["minirun0", "minirun9"]
    run("ip", "link", "del", "minirun0")
    assert orphans.remove() == ["table inet minirun0, whose bridge is gone"]
