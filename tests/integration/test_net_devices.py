"""/linux/netDevices: an interface goes into the container, with its addresses; and comes back when create fails.

The "host" is a network namespace of the test's own: minirun runs in it, and nobody else's network is touched.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Runtime, run
from tests.integration.seen import wait_for

pytestmark = pytest.mark.needs("root", "busybox", "ip")


class Host:
    """A network namespace, held by a process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __call__(self, *words: object) -> subprocess.CompletedProcess[str]:
        return run("nsenter", "-t", str(self.pid), "-n", *map(str, words))

    def ip(self, words: str) -> str:
        done = self("ip", *words.split())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def interfaces(self) -> dict[str, set[str]]:
        """Name -> its state and global addresses."""
        found = {}
        for link in json.loads(self.ip("-j addr")):
            addresses = {f"{row['local']}/{row['prefixlen']}" for row in link["addr_info"] if row["scope"] != "link"}
            found[link["ifname"]] = addresses | ({"up"} if "UP" in link["flags"] else set())
        return found


@pytest.fixture
def host() -> Iterator[Host]:
    with subprocess.Popen(["unshare", "--net", "sleep", "100"]) as process:
        try:
            own = Path("/proc/self/ns/net").readlink()
            wait_for(lambda: Path(f"/proc/{process.pid}/ns/net").readlink() != own)
            made = Host(process.pid)
            made.ip("link add eth0 mtu 1400 type veth peer name far")
            for address in ("10.1.2.3/24 brd +", "10.1.2.4/32 scope host", "fd01::1/64 nodad"):
                made.ip(f"addr add {address} dev eth0")
            yield made
        finally:
            process.kill()


KEPT = "mtu=1400 10.1.2.3/24 fd01::1/64"


def run_in(host: Host, minirun: Runtime, bundle: Bundle, *words: str) -> subprocess.CompletedProcess[str]:
    bundle.args(*words)
    return host(MINIRUN, "--root", minirun.root, "run", "-b", bundle.write(), minirun.name())


def inside(text: str) -> dict[str, str]:
    """The probe's interfaces, without link-local addresses (the kernel's own)."""
    rows = (line.split() for line in text.splitlines())
    return {name: " ".join(word for word in words if not word.startswith("fe80")) for name, *words in rows}


def test_moved_with_its_addresses(minirun: Runtime, bundle: Bundle, host: Host, clean_host: None) -> None:
    """Permanent global ones: of what belongs to the host alone (scope host) nothing comes along."""
    bundle.config["linux"]["netDevices"] = {"eth0": {}}
    done = run_in(host, minirun, bundle, "/probe", "interfaces")
    assert done.returncode == 0, done.stderr
    assert inside(done.stdout)["eth0"] == f"up {KEPT}"
    wait_for(lambda: set(host.interfaces()) == {"lo"})  # a virtual one ends with its namespace, and so does its peer


def test_renamed(minirun: Runtime, bundle: Bundle, host: Host) -> None:
    host.ip("link set eth0 up")
    host.ip("link add eth1 type ifb")
    bundle.config["linux"]["netDevices"] = {"eth0": {"name": "net0"}, "eth1": {"name": "net1"}}
    seen = inside(run_in(host, minirun, bundle, "/probe", "interfaces").stdout)
    assert seen == {**seen, "net0": f"up {KEPT}", "net1": "up mtu=1500"}
    assert not {"eth0", "eth1"} & set(seen)


def test_a_template(minirun: Runtime, bundle: Bundle, host: Host) -> None:
    """The kernel finds the number: two of one template."""
    host.ip("link add other type ifb")
    bundle.config["linux"]["netDevices"] = {"eth0": {"name": "net%d"}, "other": {"name": "net%d"}}
    seen = inside(run_in(host, minirun, bundle, "/probe", "interfaces").stdout)
    assert seen == {**seen, "net0": f"up {KEPT}", "net1": "up mtu=1500"}


def test_between_containers_of_a_pod(minirun: Runtime, bundle: Bundle, host: Host, tmp_path: Path) -> None:
    """A namespace that is joined: the interface stays in it, for it is the namespace's now."""
    kept = tmp_path / "netns"
    kept.touch()
    subprocess.run(["unshare", f"--net={kept}", "ip", "link", "set", "lo", "up"], check=True)
    try:
        for space in bundle.config["linux"]["namespaces"]:
            if space["type"] == "network":
                space["path"] = str(kept)
        bundle.config["linux"]["netDevices"] = {"eth0": {"name": "net0"}}
        assert inside(run_in(host, minirun, bundle, "/probe", "interfaces").stdout)["net0"] == f"up {KEPT}"
        assert "eth0" not in host.interfaces()
        again = run("nsenter", f"--net={kept}", "ip", "-br", "addr", "show", "dev", "net0")
        assert "10.1.2.3/24" in again.stdout and "fd01::1/64" in again.stdout
    finally:
        subprocess.run(["umount", kept], check=True)


@pytest.mark.parametrize("up", [True, False])
def test_back_again_when_create_fails(minirun: Runtime, bundle: Bundle, host: Host, clean_host: None, up: bool) -> None:
    """Under its name, with its number, its addresses and its state; nothing else is touched."""
    if up:
        host.ip("link set eth0 up")
    before, number = host.interfaces(), host.ip("-br link show dev eth0")
    bundle.config["linux"]["netDevices"] = {"eth0": {"name": "net0"}}
    for words in (("/not/there",), ("/probe", "interfaces")):
        if words[0] == "/probe":  # a second device that is not there: the first one had gone already
            bundle.config["linux"]["netDevices"]["eth9"] = {}
        done = run_in(host, minirun, bundle, *words)
        assert done.returncode in (125, 127), done.stderr
        assert host.interfaces() == before
        assert host.ip("-br link show dev eth0").split()[2] == number.split()[2]


def test_in_a_user_namespace(minirun: Runtime, open_bundle: Bundle, host: Host) -> None:
    linux = open_bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    linux["netDevices"] = {"eth0": {}}
    done = run_in(host, minirun, open_bundle, "/probe", "interfaces")
    assert done.returncode == 0, done.stderr
    assert inside(done.stdout)["eth0"] == f"up {KEPT}"


def test_traffic(minirun: Runtime, bundle: Bundle, host: Host) -> None:
    """One end of a veth pair: what the container sends arrives."""
    host.ip("link add v0 type veth peer name v1")
    host.ip("addr add 10.9.0.1/24 dev v0")
    host.ip("addr add 10.9.0.2/24 dev v1")
    host.ip("link set v0 up")
    bundle.config["linux"]["netDevices"] = {"v1": {"name": "eth0"}}
    for names in bundle.config["process"]["capabilities"].values():
        names.append("CAP_NET_RAW")
    done = run_in(host, minirun, bundle, "/bin/busybox", "ping", "-c1", "-W5", "10.9.0.1")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("devices", "pointer", "said"),
    [
        ({"eth9": {}}, "/linux/netDevices/eth9", "cannot move the interface eth9 into the container: No such device"),
        ({"eth0": {"name": "lo"}}, "/linux/netDevices/eth0", "the container's network namespace has an interface lo"),
        ({"lo": {"name": "lo1"}}, "/linux/netDevices/lo", "cannot move the interface lo into the container as lo1: "),
        ({"eth0": {"name": "a/b"}}, "/linux/netDevices/eth0/name", "'a/b' is not an interface's name"),
        ({"x" * 16: {}}, f"/linux/netDevices/{'x' * 16}", "is not an interface's name"),
    ],
)
def test_refused(
    minirun: Runtime, bundle: Bundle, host: Host, clean_host: None, devices: object, pointer: str, said: str
) -> None:
    before = host.interfaces()
    bundle.config["linux"]["netDevices"] = devices
    done = run_in(host, minirun, bundle, "/probe", "pid")
    assert done.returncode == 125 and said in done.stderr and f"  config   {pointer} in " in done.stderr
    assert host.interfaces() == before


def test_created_and_deleted(minirun: Runtime, bundle: Bundle, host: Host) -> None:
    """Between create and start it is there already; delete does not bring it back."""
    bundle.config["linux"]["netDevices"] = {"eth0": {}}
    name = minirun.name()
    with open(bundle.path / "out", "wb") as out:
        words = [str(MINIRUN), "--root", str(minirun.root), "create", "-b", str(bundle.write()), name]
        subprocess.run(["nsenter", "-t", str(host.pid), "-n", *words], check=True, stdout=out, stderr=out)
    pid = minirun.state(name)["pid"]
    assert "10.1.2.3/24" in run("nsenter", "-t", str(pid), "-n", "ip", "-br", "addr").stdout
    assert minirun("delete", "--force", name).returncode == 0
    wait_for(lambda: set(host.interfaces()) == {"lo"})
