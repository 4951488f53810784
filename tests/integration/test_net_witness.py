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
