"""What becomes of a container's configuration in an ordinary user's namespace."""

from __future__ import annotations

import pytest

from minirun.container import own_ids
from minirun.container.record import Container
from minirun.container.rootless import Place, adapt
from tests.conftest import Json

RANGE = Place(gids=((0, 1000, 1), (1, 100000, 65536)), setgroups=True, delegated=False)
ALONE = Place(gids=((0, 1000, 1),), setgroups=False, delegated=False)
ASKED: Json = {
    "userns": {}, "apparmor": "", "cgroupParent": "", "sysctl": {}, "pid": ["private", ""], "cgroupns": "private",
}  # fmt: skip


def container(network: str = "none", **asked: object) -> Container:
    return Container(id="a" * 64, name="x", created="", network=network, asked={**ASKED, **asked})


def config() -> Json:
    kinds = {"/proc": "proc", "/dev/pts": "devpts", "/sys": "sysfs", "/sys/fs/cgroup": "cgroup"}
    return {
        "process": {"user": {"uid": 0, "gid": 0, "additionalGids": [10]}, "apparmorProfile": "docker-default"},
        "mounts": [
            {"destination": place, "type": kind, "source": kind, "options": ["nosuid", "gid=5"]}
            for place, kind in kinds.items()
        ],
        "linux": {"cgroupsPath": "/minirun/x", "sysctl": {"net.ipv4.ping_group_range": "0 2147483647"}},
    }


def adapted(made: Container, place: Place, warnings: list[str] | None = None) -> Json:
    return adapt(config(), made, place, (warnings if warnings is not None else []).append)


def types(made: Json) -> dict[str, str]:
    return {mount["destination"]: mount["type"] for mount in made["mounts"]}


def test_with_a_range() -> None:
    made = adapted(container(), RANGE)
    assert "cgroupsPath" not in made["linux"] and "apparmorProfile" not in made["process"]
    assert made["linux"]["sysctl"] == {"net.ipv4.ping_group_range": "0 65536"}
    assert made["process"]["user"]["additionalGids"] == [10]
    assert [mount["options"] for mount in made["mounts"]] == [["nosuid", "gid=5"]] * 4


def test_alone() -> None:
    warnings: list[str] = []
    made = adapted(container(), ALONE, warnings)
    assert "additionalGids" not in made["process"]["user"] and len(warnings) == 1
    assert made["linux"]["sysctl"] == {"net.ipv4.ping_group_range": "0 0"}
    options = {mount["destination"]: mount["options"] for mount in made["mounts"]}
    assert options["/dev/pts"] == ["nosuid"]


def test_a_cgroup_that_was_delegated() -> None:
    place = Place(gids=RANGE.gids, setgroups=True, delegated=True)
    assert adapted(container(), place)["linux"]["cgroupsPath"] == "a" * 64
    assert adapted(container(cgroupParent="/mine"), place)["linux"]["cgroupsPath"] == "/minirun/x"


@pytest.mark.parametrize(
    ("made", "place"),
    [
        (container("host"), "/sys"), (container(pid=["host", ""]), "/proc"),
        (container(cgroupns="host"), "/sys/fs/cgroup"),
    ],
)  # fmt: skip
def test_file_systems_of_the_hosts_namespaces_are_bound(made: Container, place: str) -> None:
    found = adapted(made, RANGE)
    assert {target for target, kind in types(found).items() if kind == "bind"} == {place}
    (mount,) = [mount for mount in found["mounts"] if mount["destination"] == place]
    assert mount["source"] == place and mount["options"][:2] == ["rbind", "rslave"]


def test_what_was_asked_for_is_never_left_out() -> None:
    asked = container(apparmor="mine", sysctl={"net.ipv4.ping_group_range": "0 5"})
    made = adapt({**config(), "linux": {**config()["linux"]}}, asked, RANGE, print)
    assert made["process"]["apparmorProfile"] == "docker-default"
    assert made["linux"]["sysctl"]["net.ipv4.ping_group_range"] == "0 2147483647", "left to whoever put it there"


def test_the_rows_of_a_map() -> None:
    assert own_ids.rows(1000, [(100000, 65536), (300000, 10)]) == "0 1000 1\n1 100000 65536\n65537 300000 10\n"
