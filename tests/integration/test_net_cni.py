"""CNI: the distribution's plugins, and one of our own that writes down how it was called."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.network.attach import Place, Wanted, detach
from tests.integration.net_world import HOST, OUTSIDE, World, inside
from tests.needs import run

pytestmark = pytest.mark.needs("root", "nftables")
RECORDER = """#!/bin/sh
document=$(cat)
printf '{"command": "%s", "netns": "%s", "name": "%s", "args": "%s", "stdin": %s}\\n' \
  "$CNI_COMMAND" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$document" >> LOG
case $CNI_COMMAND in
ADD) if [ -e FAIL ]; then echo '{"code": 7, "msg": "no luck", "details": "today"}'; exit 1; fi
  echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.77.0.5/24", "gateway": "10.77.0.1"}],
   "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:05", "sandbox": "x"}],
   "dns": {"nameservers": ["10.77.0.53"]}}' ;;
esac
"""


class Plugins:
    """A folder of configurations, one of plugins, and what the recorder was told."""

    def __init__(self, path: Path, net: World) -> None:
        self.configurations, self.plugins, self.log, self.fail = (
            path / name for name in ("net.d", "bin", "log", "fail")
        )
        self.configurations.mkdir()
        self.plugins.mkdir()
        program = self.plugins / "recorder"
        program.write_text(RECORDER.replace("LOG", str(self.log)).replace("FAIL", str(self.fail)))
        program.chmod(0o755)
        net.place = Place(
            storage=net.place.storage, root=net.place.root, cniConf=str(self.configurations),
            cniPath=f"{self.plugins}:/usr/lib/cni:/opt/cni/bin",
        )  # fmt: skip

    def write(self, name: str, *plugins: dict[str, Any], version: str = "1.0.0") -> None:
        document = {"cniVersion": version, "name": name, "plugins": list(plugins)}
        (self.configurations / f"{name}.conflist").write_text(json.dumps(document))

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def cni(tmp_path: Path, net: World) -> Plugins:
    return Plugins(tmp_path, net)


def test_plugins_are_called_as_the_specification_says(net: World, cni: Plugins) -> None:
    capable = {"type": "recorder", "capabilities": {"portMappings": True, "aliases": True}, "own": 1}
    cni.write("theirs", capable, {"type": "recorder"})
    got = net.join("web", Wanted(name="theirs", ip="10.77.0.5", aliases=["www"]), ports=["8080:80"])
    assert got.interfaces[0].ip == "10.77.0.5/24" and got.interfaces[0].mac == "02:00:00:00:00:05"
    assert got.nameservers == ["10.77.0.53"]
    assert f"10.77.0.5\t{net.id('web')[:12]} web www" in net.hosts("web")
    first, second = cni.calls()
    assert first["command"] == "ADD" and first["name"] == "eth0" and first["args"] == "IgnoreUnknown=1;IP=10.77.0.5"
    assert first["stdin"]["own"] == 1 and first["stdin"]["name"] == "theirs" and "prevResult" not in first["stdin"]
    assert first["stdin"]["runtimeConfig"] == {
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""}],
        "aliases": {"theirs": ["www"]},
    }
    assert "runtimeConfig" not in second["stdin"] and second["stdin"]["prevResult"]["ips"]
    (cni.configurations / "theirs.conflist").unlink()  # DEL is with what ADD was
    net.leave("web")
    ends = cni.calls()[2:]
    assert [each["command"] for each in ends] == ["DEL", "DEL"]
    assert [each["stdin"].get("own") for each in ends] == [None, 1] and all(
        each["stdin"]["prevResult"] for each in ends
    )
    assert net.leases() == []


def test_a_plugin_that_fails_is_quoted_and_undone(net: World, cni: Plugins) -> None:
    cni.write("theirs", {"type": "recorder"})
    cni.fail.touch()
    with pytest.raises(MinirunError) as caught:
        net.join("web", Wanted(name="theirs"))
    assert str(caught.value) == "cannot use CNI network theirs: recorder ADD: no luck today"
    assert [each["command"] for each in cni.calls()] == ["ADD", "DEL"] and net.leases() == []


@pytest.mark.parametrize("kind", ["../bin/recorder", "/bin/sh", "..", "", "missing"])
def test_a_plugin_is_a_name(net: World, cni: Plugins, kind: str) -> None:
    cni.write("theirs", {"type": kind})
    with pytest.raises(MinirunError, match="no plugin"):
        net.join("web", Wanted(name="theirs"))
    assert not cni.log.exists() and net.leases() == []


def test_a_network_of_ours_comes_first_and_broken_files_are_passed_over(net: World, cni: Plugins) -> None:
    (cni.configurations / "00.conf").write_text("{broken")
    (cni.configurations / "10.conf").write_text('{"cniVersion": "1.0.0", "name": "single", "type": "recorder"}')
    cni.write("bridge", {"type": "recorder"})
    assert net.join("one").interfaces[0].ip == "10.90.0.2/24"
    assert net.join("two", Wanted(name="single")).interfaces[0].ip == "10.77.0.5/24"
    with pytest.raises(MinirunError, match="no network 'other'"):
        net.join("three", Wanted(name="other"))


@pytest.mark.needs("cni")
def test_the_distributions_bridge(net: World, cni: Plugins, tmp_path: Path) -> None:
    ipam = {"type": "host-local", "dataDir": str(tmp_path / "ipam"), "ranges": [[{"subnet": "10.66.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}  # fmt: skip
    cni.write(
        "theirs",
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        version="0.4.0",
    )
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True).stdout.count("-A")
    got = net.join("web", Wanted(name="theirs"), ports=["8080:80"])
    assert got.interfaces[0].ip.startswith("10.66.0.") and got.interfaces[0].gateway == "10.66.0.1"
    net.join("db", Wanted(name="theirs"))
    net.serve("web", 80)
    assert net.ask("db", net.ip("web"), 80) == f"web sees {net.ip('db')}"
    assert net.ask("outside", HOST, 8080) == f"web sees {OUTSIDE}"
    with inside(net.fds["web"]):
        assert "10.66.0.1" in run("ip", "route").stdout
    detach(net.place, net.id("web"))  # with its namespace; the other one without, as after a crash
    net.leave("db")
    assert net.leases() == [] and not [
        each for each in os.listdir(tmp_path / "ipam" / "theirs") if each.startswith("10.")
    ]
    after = subprocess.run(["iptables-save"], capture_output=True, text=True).stdout
    assert "10.66.0." not in after and after.count("-A") <= rules + 12, "portmap keeps its chains, nothing of ours"
