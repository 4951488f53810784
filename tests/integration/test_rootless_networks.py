"""pasta and slirp4netns for an ordinary user's containers: addresses, names, published ports, and an end with them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.citizens import Citizen, Tun, until
from tests.integration.people import Account

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap", "tun")
KINDS = [
    pytest.param("pasta", marks=pytest.mark.needs("pasta")),
    pytest.param("slirp4netns", marks=pytest.mark.needs("slirp4netns")),
]
SERVER = "mkdir -p /tmp/w; echo hello > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w"


@pytest.fixture(scope="module")
def settled(account: Account) -> Iterator[Citizen]:
    place = Path(tempfile.mkdtemp(prefix="minirun-test-"))
    place.chmod(0o755)
    (place / "tun").mkdir()
    (place / "his").mkdir(mode=0o755)
    tun = Tun(place / "tun")
    made = Citizen(place / "his", account)
    made.within = tun.within
    try:
        done = made("image", "build-rootfs", "busybox")
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        tun.end()
        shutil.rmtree(place)


@pytest.fixture
def he(settled: Citizen) -> Iterator[Citizen]:
    yield settled
    settled.clear()
    settled.nothing_left()


def answer(port: int) -> str:
    """What an HTTP server says; it may need a moment to begin."""
    end = time.monotonic() + 5
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                said = b""
                while part := client.recv(4096):
                    said += part
            if said:
                return said.decode().rpartition("\r\n\r\n")[2]
        except OSError:
            pass
        if time.monotonic() > end:
            return "nothing"
        time.sleep(0.05)


def refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def carriers(he: Citizen) -> list[str]:
    return [line for line in he.find_processes() if "pasta" in line or "slirp" in line]


def port_of(he: Citizen) -> int:
    return int(he.container("port", "web", "80").strip().rpartition(":")[2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_port(he: Citizen, kind: str) -> None:
    """It answers while the container lives, is shown, and is free again afterwards; the carrier goes with it."""
    he.container("run", "-d", "--name", "web", "--net", kind, "-p", "127.0.0.1::80", "busybox", "sh", "-c", SERVER)
    port = port_of(he)
    assert answer(port) == "hello\n"
    assert f"127.0.0.1:{port}->80/tcp" in he.container("ps")
    assert len(carriers(he)) == 1
    done = he("container", "run", "--rm", "--net", kind, "-p", f"127.0.0.1:{port}:80", "busybox", "true")
    assert done.returncode == 125 and f"cannot publish port {port}/tcp" in done.stderr, done.stderr
    assert "Address already in use" in done.stderr
    he.container("restart", "-t", "0", "web")
    port = port_of(he)  # any free one, each time
    assert answer(port) == "hello\n"
    he.container("rm", "-f", "web")
    assert refused(port) and until(lambda: carriers(he), []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_inside(he: Citizen, kind: str) -> None:
    """An address, a way out, the container's own name, a resolver; the host's loopback is out of reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        gateway = "$(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')"
        script = "ip -4 -o addr show eth0 | wc -l; ip route | grep -c default"
        script += "; ping -c1 -W2 $(hostname) > /dev/null && echo self"
        for place in ("127.0.0.1", gateway):
            script += f"; nc -w 1 {place} {port} < /dev/null || echo no"
        script += "; cat /etc/resolv.conf"
        done = he("container", "run", "--rm", "--net", kind, "busybox", "sh", "-c", script)
    seen = done.stdout.split("\n", 5)
    assert seen[:5] == ["1", "1", "self", "no", "no"], done
    if kind == "slirp4netns":
        assert seen[5] == "nameserver 10.0.2.3\n"
    else:
        assert "nameserver 127." not in seen[5]


@pytest.mark.needs("pasta")
def test_pasta_is_the_default(he: Citizen) -> None:
    he.container("run", "-d", "--name", "c", "busybox", "sleep", "1000")
    assert "pasta" in he.inspect("c")["NetworkSettings"]["Networks"] and len(carriers(he)) == 1
    he.container("stop", "-t", "0", "c")
    assert until(lambda: carriers(he), []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_monitor_that_was_killed(he: Citizen, kind: str) -> None:
    """slirp4netns ends with it; pasta is ended by whoever comes next."""
    he.container("run", "-d", "--name", "lost", "--net", kind, "busybox", "sleep", "1000")
    (monitor,) = os.listdir(he.root / ".holders")
    os.kill(int(monitor), signal.SIGKILL)
    if kind == "slirp4netns":
        assert until(lambda: carriers(he), []) == []
    he.container("ps")
    assert until(lambda: carriers(he), []) == []
    he.container("rm", "lost")


@pytest.mark.needs("pasta")
def test_a_carrier_whose_container_nobody_knows(he: Citizen) -> None:
    """Its directory was taken away by hand: prune ends what carried its packets."""
    he.container("run", "-d", "--name", "gone", "--net", "pasta", "busybox", "sleep", "1000")
    container_id = he.inspect("gone")["Id"]
    for line in [line for line in he.find_processes() if "pasta" not in line]:
        os.kill(int(line.split()[0]), signal.SIGKILL)
    shutil.rmtree(he.storage / "containers" / container_id)
    shutil.rmtree(he.root / container_id)
    assert len(carriers(he)) == 1
    done = he("system", "prune", "-f")
    assert done.returncode == 0 and f"network of {container_id[:12]}: its container is gone" in done.stdout, done
    assert until(lambda: carriers(he), []) == []


@pytest.mark.needs("pasta")
def test_ten_at_once(he: Citizen) -> None:
    words = ("container", "run", "--rm", "--net", "pasta", "busybox", "sh", "-c")
    several = [he.begin(*words, f"ip -o -4 addr show eth0 | wc -l; exit {number}") for number in range(10)]
    for number, process in enumerate(several):
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (number, "1\n"), err


def test_where_the_device_is_closed(he: Citizen, open_place: Path) -> None:
    """Without --net a container has none, and a warning says why; who asks for it by name gets an error."""
    tun = Tun(open_place, "600")
    within, he.within = he.within, tun.within
    try:
        done = he("container", "run", "--rm", "busybox", "ls", "/sys/class/net")
        assert done.returncode == 0 and done.stdout == "lo\n", done.stderr
        assert "the container has no network: /dev/net/tun cannot be opened" in done.stderr
        done = he("container", "run", "--rm", "--net", "slirp4netns", "busybox", "true")
        assert done.returncode == 125 and "cannot connect the container by slirp4netns" in done.stderr, done.stderr
        assert "chmod 0666 /dev/net/tun" in done.stderr
        assert he.containers() == []
    finally:
        he.within = within
        tun.end()
