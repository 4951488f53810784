"""Networks by the verbs people use: ``network ...`` and ``container run --net``, on a host of their own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import run
from tests.integration import shop as shop_of
from tests.integration.net_world import HOST, World, world
from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox", "nftables")


class Town(Shop):
    """Its host is ``net``'s."""

    net: World

    def network(self, *argv: str) -> str:
        done = run(*self.base, "network", *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def refused(self, *argv: str) -> str:
        done = run(*self.base, "network", *argv)
        assert done.returncode != 0
        return done.stderr

    def server(self, name: str, *flags: str) -> None:
        self.out(
            "run", "-d", "--name", name, *flags, IMAGE, "nc", "-ll", "-p", "80", "-e", "echo", f"hello from {name}"
        )

    def asks(self, address: str, port: int, *flags: str) -> str:
        """A container of its own that connects; what it hears."""
        return self("run", "--rm", *flags, IMAGE, "nc", "-w", "2", address, str(port), timeout=20).stdout.strip()


@pytest.fixture
def town(tmp_path: Path, busybox_storage: Path) -> Iterator[Town]:
    with world(tmp_path) as net:
        made = Town(shop_of.copy(busybox_storage, tmp_path / "town"), tmp_path / "root")
        made.net = net
        yield made
        made.close()
        gone(made)


def gone(town: Town) -> None:
    """No interface, no table, no lease: some time after the last one's end."""
    end = time.monotonic() + 5
    while any(left(town)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left(town) == (set(), [], [])


def left(town: Town) -> tuple[set[str], list[str], list[str]]:
    known = os.listdir(town.root / ".networks")
    return town.net.links(), town.net.tables(), [name for name in known if name[0] != "."]


def hears(town: Town, where: str, address: str, port: int) -> str:
    end = time.monotonic() + 3  # until the server inside listens
    while time.monotonic() < end:
        try:
            return town.net.ask(where, address, port).strip()
        except OSError:
            time.sleep(0.05)
    return "nobody"


def test_by_name_by_published_port_and_not_at_all(town: Town) -> None:
    town.server("web", "-p", "8080:80")
    assert hears(town, "host", "127.0.0.1", 8080) == "hello from web"
    assert hears(town, "host", "::1", 8080) == hears(town, "outside", HOST, 8080) == "hello from web"
    assert town.asks("web", 80) == "hello from web"
    assert "80/tcp -> 0.0.0.0:8080" in town.out("port", "web")
    assert town.asks("10.90.0.2", 80, "--net", "none") == ""
    shown = town("run", "--rm", "--net", "none", IMAGE, "ip", "-o", "address").stdout
    assert "127.0.0.1" in shown and "eth0" not in shown
    assert town.asks("localhost", 80, "--net", "container:web") == "hello from web"
    done = town("run", "--rm", "--net", "host", "-p", "80:80", IMAGE, "ip", "link")
    assert "uplink" in done.stdout and "--publish does nothing on the host's network" in done.stderr


def test_a_port_is_free_again_for_the_restarted(town: Town) -> None:
    """The relay for ::1 listens too: it must go when the container does, though the monitor stays."""
    town.server("web", "-p", "8080:80", "--restart", "always")
    for _ in range(2):
        assert hears(town, "host", "::1", 8080) == "hello from web"
        before = town.status("web")["restarts"]
        os.kill(town.status("web")["pid"], 9)
        end = time.monotonic() + 5
        while town.status("web")["restarts"] == before and time.monotonic() < end:
            time.sleep(0.05)
        town.until("web", "running")
    assert hears(town, "host", "127.0.0.1", 8080) == "hello from web"


def test_a_network_of_ones_own(town: Town) -> None:
    made = town.network("create", "--subnet", "10.5.0.0/24", "--ipv6", "--label", "app=web", "-o", "mtu=1400", "back")
    assert len(made) == 64
    town.server("db", "--net", "back", "--ip", "10.5.0.9", "--network-alias", "store")
    assert town.asks("store", 80, "--net", "back") == "hello from db"
    assert town.asks("db", 80) == ""
    (shown,) = json.loads(town.network("inspect", "back"))
    (member,) = shown["Containers"].values()
    assert member["Name"] == "db" and member["IPv4Address"] == "10.5.0.9/24" and member["IPv6Address"].startswith("fd")
    live = shown["Live"]
    assert live["Problems"] == [] and live["Ports"][0]["Container"] == "db" and live["Ports"][0]["RxPackets"] > 0
    assert live["Bridge"]["State"] == "up" and live["Bridge"]["Addresses"][0] == "10.5.0.1/24"
    assert "up, 1 container" in town.network("ls")
    assert shown["Id"] == made and shown["Device"] and shown["Labels"] == {"app": "web"}
    assert town.network("ls", "-q", "--filter", "label=app=web") == made[:12]
    assert "1400" in town.out("exec", "db", "cat", "/sys/class/net/eth0/mtu")
    assert "in use by db" in town.refused("rm", "back")
    town.out("rm", "-f", "db")
    assert town.network("rm", made[:6]) == "back"
    assert "no network 'back'" in town("run", "--rm", "--net", "back", IMAGE, "true").stderr


def test_connect_and_disconnect(town: Town) -> None:
    town.network("create", "lan")
    town.server("web")
    town.network("connect", "--alias", "www", "lan", "web")
    assert town.asks("www", 80, "--net", "lan") == "hello from web"
    assert "it is on it" in town.refused("connect", "lan", "web")
    assert "no network 'nowhere'" in town.refused("connect", "nowhere", "web")
    networks = "{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{end}}"
    assert town.out("inspect", "-f", networks, "web") == "bridge lan"
    same = "{{eq .NetworkSettings.IPAddress .NetworkSettings.Networks.bridge.IPAddress}}"
    assert town.out("inspect", "-f", same, "web") == "true"
    town.network("disconnect", "bridge", "web")
    route = town.out("exec", "web", "ip", "route", "show", "default")
    assert route.startswith("default via") and "eth1" in route, "the other network is the way out now"
    assert town.out("inspect", "-f", networks, "web") == "lan"
    assert town.asks("web", 80) == "" and town.asks("web", 80, "--net", "lan") == "hello from web"
    town.out("restart", "-t", "0", "web")
    assert town.asks("www", 80, "--net", "lan") == "hello from web"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--subnet", "10.5.0.0/33", "x"), "is no subnet"),
        (("--subnet", "192.0.2.0/25", "x"), "overlaps with 192.0.2.0/24, an address of uplink"),
        (("--gateway", "10.5.0.1", "x"), "a gateway without its subnet"),
        (("--subnet", "10.5.0.0/24", "--gateway", "10.6.0.1", "x"), "is no address of 10.5.0.0/24"),
        (("--subnet", "10.5.0.0/24", "--ip-range", "10.6.0.0/25", "x"), "is no part of the subnet"),
        (("--subnet", "10.5.0.0/24", "--subnet", "10.6.0.0/24", "x"), "one of IPv4 and one of IPv6"),
        (("-o", "icc=false", "x"), "there is no such option"),
        (("-d", "macvlan", "x"), "no driver 'macvlan'"),
        (("--gateway", "fd00::1", "x"), "a gateway without its subnet"),
        (("-o", "device=a b", "x"), "is no name of an interface"),
        (("-o", "device=..", "x"), "is no name of an interface"),
        (("none",), "none of none"),
        (("../x",), "letters, digits"),
        (("bridge",), "there is one of that name"),
    ],
)
def test_what_is_no_network_is_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    with world(tmp_path):
        bare = Town(tmp_path / "town", tmp_path / "root")
        error = bare.refused("create", *words)
        assert said.lower() in error.lower() and error.startswith("minirun: ")
        assert not (tmp_path / "town" / "networks" / "x.json").exists()


def test_prune_leaves_what_is_used(town: Town) -> None:
    for name in ("used", "idle"):
        town.network("create", name)
    town.out("create", "--net", "used", IMAGE, "true")
    assert town.network("prune", "-f") == "idle"


def test_a_killed_monitors_network_is_the_next_ones(town: Town) -> None:
    town.server("web", "-p", "8080:80")
    os.kill(town.status("web")["monitor"], 9)
    assert town.out("ps", "-a", "--format", "json") and town.status("web")["status"] == "exited"
    town.server("again", "-p", "8080:80")
    assert hears(town, "host", "127.0.0.1", 8080) == "hello from again"


def test_many_at_once_leave_nothing(town: Town) -> None:
    """The fixture looks for what is left."""
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(lambda _: town("run", "--rm", "-p", "80", IMAGE, "hostname", "-i"), range(18)))
    assert [done.returncode for done in runs] == [0] * 18, [done.stderr for done in runs]
    assert all(done.stdout.startswith("10.90.0.") for done in runs)
    assert not any(town.left().values())


def test_explain_makes_nothing(town: Town) -> None:
    done = town("run", "--explain=json", "-p", "8080:80", IMAGE, "true")
    assert done.returncode == 0 and not (town.root / ".networks").exists()
    (town.root / ".networks").mkdir(parents=True)


@pytest.mark.skipif(
    os.path.exists("/run/systemd/resolve/resolv.conf"), reason="systemd-resolved knows the real servers"
)
def test_name_servers_that_cannot_be_reached_are_told(town: Town, tmp_path: Path) -> None:
    host = tmp_path / "resolv.conf"
    host.write_text("nameserver 127.0.0.1\n")
    words = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(host), *town.base]
    for flags, said in (((), True), (("--dns", "192.0.2.53"), False)):
        done = run(*words, "container", "run", "--rm", *flags, IMAGE, "cat", "/etc/resolv.conf")
        assert done.returncode == 0 and done.stdout == "nameserver 192.0.2.53\n" * (not said)
        assert ("the host's name servers are on its own loopback" in done.stderr) == said
