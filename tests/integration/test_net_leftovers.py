"""What of networks is left behind: nothing, whoever is killed, however many there are at once."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from minirun.linux import link, nftables, rtnetlink
from minirun.network import leases, repair
from minirun.network.attach import Wanted, attach_tap, detach
from tests.integration.net_world import HOST, OUTSIDE, World
from tests.needs import ROOT, run

pytestmark = pytest.mark.needs("root", "nftables")


def test_everything_goes_with_the_last_user(net: World) -> None:
    rules = run("nft", "list", "ruleset").stdout
    for name in ("one", "two"):
        net.join(name, ports=["80"])
    assert net.tables() == ["minirun0"] and "minirun0" in net.links()
    net.leave("one", sweep=False)
    net.leave("two", sweep=False)
    assert net.leases() == [] and "minirun0" in net.links()
    repair.sweep(net.place.root)
    gone(net)
    assert run("nft", "list", "ruleset").stdout == rules == ""


def gone(net: World) -> None:
    """A network namespace's interfaces go some time after its last descriptor."""
    end = time.monotonic() + 3
    while net.links() and time.monotonic() < end:
        time.sleep(0.02)
    assert net.links() == set() and net.tables() == [] and net.leases() == []
    assert sorted(os.listdir(f"{net.place.root}/.networks")) == [".lock"]


def test_a_hundred_at_once_get_a_hundred_addresses_and_leave_nothing(net: World) -> None:
    """In ten processes, ten times each."""
    code = (
        "import sys, os\n"
        "from minirun.network import netns, repair\n"
        "from minirun.network.attach import *\n"
        "from minirun.network.ports import parse\n"
        "place = Place(storage=sys.argv[1], root=sys.argv[2])\n"
        "for number in range(10):\n"
        "    name = f'{int(sys.argv[3]) * 10 + number:064x}'\n"
        "    fd = netns.new()\n"
        "    got = attach(place, name, 'c' + name[-3:], fd, [Wanted()], parse('80'))\n"
        "    print(got.interfaces[0].ip, got.ports[0].hostPort, flush=True)\n"
        "    if number % 2: detach(place, name, sweep=False); os.close(fd)\n"
        "sys.stdin.read()\n"
        "for number in range(10):\n"
        "    detach(place, f'{int(sys.argv[3]) * 10 + number:064x}')\n"
    )
    words = [sys.executable, "-c", code, net.place.storage, net.place.root]
    started = [
        subprocess.Popen(
            [*words, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(10)
    ]
    lines = []
    for each in started:
        assert each.stdout is not None
        lines.append([each.stdout.readline().split() for _ in range(10)])
    stay = [line[0] for each in lines for line in each[::2]]
    assert len(set(stay)) == len(stay) == 50
    for each in started:
        _, errors = each.communicate("")
        assert each.returncode == 0, errors
    gone(net)


CRASHING = (
    "import sys, os, time\n"
    "from minirun.network import netns\n"
    "from minirun.network.attach import *\n"
    "from minirun.network.ports import parse\n"
    "place = Place(storage=sys.argv[1], root=sys.argv[2])\n"
    "attach(place, 'f' * 64, 'crashed', netns.new(), [Wanted()], parse('8080:80'))\n"
    "print('there', flush=True)\n"
    "time.sleep(60)\n"
)


def crash(net: World) -> None:
    """A monitor that is killed with all it holds."""
    child = subprocess.Popen(
        [sys.executable, "-c", CRASHING, net.place.storage, net.place.root], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert child.stdout is not None and child.stdout.readline() == b"there\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_what_a_killed_monitor_left_is_removed_by_prune(net: World) -> None:
    crash(net)
    assert net.leases() == ["bridge 10.90.0.2"]
    end = time.monotonic() + 3
    while net.links() != {"minirun0"} and time.monotonic() < end:
        time.sleep(0.02)
    assert repair.repair(net.place.root) == ["lease of 10.90.0.2 on bridge", "bridge minirun0 of bridge"]
    gone(net)


def test_and_by_the_next_container(net: World) -> None:
    crash(net)
    end = time.monotonic() + 3
    while net.links() != {"minirun0"} and time.monotonic() < end:
        time.sleep(0.02)
    net.join("next", ports=["8080:80"])
    assert net.leases() == ["bridge 10.90.0.2"]
    net.serve("next", 80)
    assert net.ask("outside", HOST, 8080) == f"next sees {OUTSIDE}"


def test_killed_at_every_request_to_the_kernel(net: World) -> None:
    """attach, in a child that kills itself before its n-th request; the next one finds nothing in its way."""
    step, ended = 0, False
    while not ended:
        step += 1
        child = os.fork()
        if not child:
            attach_and_die(net, step)
        _, status = os.waitpid(child, 0)
        ended = os.WIFEXITED(status)  # it got to its end
        if step % 3 == 0:
            net.join("next", ports=["8080:80"])
            net.leave("next")
        end = (
            time.monotonic() + 3
        )  # a lease whose interface is still there counts as used: the kernel may take a moment
        while net.links() and time.monotonic() < end:
            repair.repair(net.place.root)
        repair.repair(net.place.root)
        gone(net)
    assert step > 15


def attach_and_die(net: World, step: int) -> None:
    """Never returns.  Requests are rtnetlink's and nf_tables'; each lease and device file is one as well."""
    left = step

    def counted(real: Any) -> Any:
        def call(*words: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*words, **more)

        return call

    try:
        rtnetlink.Route.ask = counted(rtnetlink.Route.ask)  # type: ignore[method-assign]
        nftables.Tables.commit = counted(nftables.Tables.commit)  # type: ignore[method-assign]
        leases.replace = counted(leases.replace)
        leases.Ledger.add = counted(leases.Ledger.add)  # type: ignore[method-assign]
        net.join("dies", ports=["8080:80"])
    finally:
        os._exit(0)


def test_a_root_that_is_removed_at_once_leaves_no_bridge(net: World) -> None:
    """As a script does that cleans up right behind its container."""
    net.join("one", ports=["80"])
    net.leave("one", sweep=False)
    shutil.rmtree(net.place.root)
    repair.linger(net.place.root, 0.1)
    assert not os.path.exists(net.place.root) and net.tables() == []
    assert "minirun0" not in net.links()


def test_a_bridge_of_somebody_elses_is_not_touched(net: World) -> None:
    run("ip", "link", "add", "minirun0", "type", "bridge")
    net.join("one")
    assert net.tables() == ["minirun1"]
    net.leave("one")
    assert net.links() == {"minirun0"}


def test_a_tap_for_a_machine(net: World) -> None:
    word, attached = attach_tap(net.place, "e" * 64, "guest", [Wanted()], [])
    name = attached.interfaces[0].name
    assert word == f"{name},mac=02:6d:0a:5a:00:02,address=10.90.0.2/24,gateway=10.90.0.1"
    from minirun.vm.devices.net import open_tap

    fd = open_tap(name)  # as the VMM does
    net.join("web")
    assert "guest" in net.hosts("web")
    seen = next(each for each in link.interfaces(rtnetlink.Route()) if each.name == name)
    assert seen.kind == "tun" and seen.master
    os.close(fd)
    detach(net.place, "e" * 64)
    assert name not in net.links()


def test_relayed_connections_end_as_they_should(net: World) -> None:
    """Half-closed is half-closed; the thread's listener goes with the container."""
    net.join("web", ports=["8080:80"])
    server = net.plug("web", socket.AF_INET, socket.SOCK_STREAM)
    server.bind(("0.0.0.0", 80))
    server.listen()
    client = net.plug("host", socket.AF_INET6, socket.SOCK_STREAM)
    client.connect(("::1", 8080))
    far, _ = server.accept()
    client.sendall(b"x" * 300000)
    client.shutdown(socket.SHUT_WR)
    got = b""
    while data := far.recv(1 << 16):
        got += data
    far.sendall(b"answer")
    far.close()
    assert len(got) == 300000 and client.recv(100) == b"answer" and client.recv(100) == b""
    before = threading.active_count()
    net.leave("web")
    net.join("web", ports=["8080:80"])
    assert threading.active_count() <= before


def test_the_next_at_the_same_address_has_not_the_ports_of_the_killed(net: World) -> None:
    crash(net)
    end = time.monotonic() + 3
    while net.links() != {"minirun0"} and time.monotonic() < end:
        time.sleep(0.02)
    assert net.join("next").interfaces[0].ip == "10.90.0.2/24"
    net.serve("next", 80)
    assert not net.reaches("outside", HOST, 8080) and not net.reaches("host", HOST, 8080)
