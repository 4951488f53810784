"""/linux/namespaces: new ones, absent ones, joined ones; time offsets; lo."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.seen import ask, ask_in, mark, outside

pytestmark = pytest.mark.needs("root", "busybox")

# config.json's word -> /proc/PID/ns
FILES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time"}


def spaces(text: str) -> dict[str, str]:
    """The probe's `ns`."""
    return dict(line.split() for line in text.splitlines())


def own(name: str) -> str:
    return os.readlink(f"/proc/self/ns/{name}").split("[")[1].rstrip("]")


def listed(bundle: Bundle, **paths: str) -> None:
    bundle.config["linux"]["namespaces"] = [
        {"type": name, **({"path": path} if path else {})} for name, path in paths.items()
    ]
    for name, members in (("uts", ("hostname",)),):
        if name not in paths:
            for member in members:
                bundle.config.pop(member, None)


@pytest.fixture
def holder(minirun: Runtime, bundle: Bundle) -> Iterator[int]:
    """Somebody with namespaces of every kind but user, made by unshare(1); its pid namespace's first process."""
    argv = ["unshare", "-m", "-n", "-i", "-u", "-C", "-T", "-p", "--fork", "--kill-child", "sleep", "60"]
    with subprocess.Popen(argv) as process:
        path = f"/proc/{process.pid}/task/{process.pid}/children"
        while not (children := Path(path).read_text().split()):
            pass
        yield int(children[0])
        process.kill()


@pytest.mark.parametrize("without", ["network", "ipc", "uts", "cgroup", "pid"])
def test_new_namespaces_and_an_absent_one(minirun: Runtime, bundle: Bundle, clean_host: None, without: str) -> None:
    """All are new; what is not listed is the runtime's own."""
    words = {"pid", "network", "mount", "ipc", "uts", "cgroup", "time"} - {without}
    listed(bundle, **dict.fromkeys(words, ""))
    if without == "network":  # sysfs shows the network namespace's devices: it needs one of its own to be mounted
        bundle.config["mounts"] = [m for m in bundle.config["mounts"] if m["type"] != "sysfs"]
    seen = spaces(ask(minirun, bundle, "ns")[0])
    for word, file in FILES.items():
        assert (seen[file] != own(file)) == (word != without), word
    assert seen["user"] == own("user")


def test_loopback_is_up(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """From inside, and by netlink from outside, in the container's namespace."""
    bundle.args("/probe", "pause")
    mark(bundle)
    name = minirun.start(bundle)
    assert ask_in(minirun, name, "loopback") == ["up ok"]
    pyroute2 = pytest.importorskip("pyroute2")
    path = f"/proc/{minirun.state(name)['pid']}/ns/net"
    with pyroute2.NetNS(path, flags=0) as route:
        links = {link.get_attr("IFLA_IFNAME"): link["flags"] for link in route.get_links()}
        addresses = {row.get_attr("IFA_ADDRESS") for row in route.get_addr()}
    assert links["lo"] & 1 and "127.0.0.1" in addresses
    minirun("delete", "--force", name)


@pytest.mark.parametrize("word", ["network", "ipc", "uts", "cgroup", "pid", "time"])
def test_joined_by_path(minirun: Runtime, bundle: Bundle, holder: int, word: str) -> None:
    """One at a time; the others are new."""
    words = dict.fromkeys(("pid", "network", "mount", "ipc", "uts", "cgroup", "time"), "")
    listed(bundle, **{**words, word: f"/proc/{holder}/ns/{FILES[word]}"})
    bundle.config.pop("hostname", None)
    seen = spaces(ask(minirun, bundle, "ns")[0])
    for other, file in FILES.items():
        theirs = os.readlink(f"/proc/{holder}/ns/{file}").split("[")[1].rstrip("]")
        assert (seen[file] == theirs) == (other == word), other
        assert seen[file] != own(file)


def test_all_joined_at_once(minirun: Runtime, bundle: Bundle, holder: int) -> None:
    """As a pod's second container; in a pid namespace that has a first process already."""
    paths = {word: f"/proc/{holder}/ns/{file}" for word, file in FILES.items() if word != "mount"}
    listed(bundle, mount="", **paths)
    bundle.config.pop("hostname", None)
    seen = ask(minirun, bundle, "ns", "pid", "ls /proc")
    assert spaces(seen[0])["pid"] == os.readlink(f"/proc/{holder}/ns/pid").split("[")[1].rstrip("]")
    assert int(seen[1]) > 1 and "1" in seen[2].split()


def test_network_of_another_container(minirun: Runtime, bundle: Bundle) -> None:
    first = minirun.start(bundle.args("/probe", "pause"))
    pid = minirun.state(first)["pid"]
    for space in bundle.config["linux"]["namespaces"]:
        if space["type"] == "network":
            space["path"] = f"/proc/{pid}/ns/net"
    seen = ask(minirun, bundle, "ns", "loopback")
    assert f"net:[{spaces(seen[0])['net']}]" == os.readlink(f"/proc/{pid}/ns/net")
    assert seen[1] == "up ok"


def test_network_kept_by_a_bind(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """As `ip netns` keeps one: a file that a namespace is bound on."""
    kept = bundle.path / "netns"
    kept.touch()
    subprocess.run(["unshare", f"--net={kept}", "true"], check=True)
    try:
        for space in bundle.config["linux"]["namespaces"]:
            if space["type"] == "network":
                space["path"] = str(kept)
        assert spaces(ask(minirun, bundle, "ns")[0])["net"] == str(kept.stat().st_ino)
    finally:
        subprocess.run(["umount", kept], check=True)


def test_a_path_to_another_kind(minirun: Runtime, bundle: Bundle, holder: int) -> None:
    words = dict.fromkeys(("pid", "mount", "uts"), "")
    listed(bundle, **words, ipc=f"/proc/{holder}/ns/net")
    done = minirun.run(bundle)
    assert done.returncode == 125 and "/linux/namespaces/3/path" in done.stderr


def test_a_path_that_is_not_there(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    listed(bundle, mount="", pid="", uts="", ipc="/proc/999999999/ns/ipc")
    done = minirun.run(bundle)
    assert done.returncode == 125 and "No such file" in done.stderr


def test_time_offsets(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["linux"]["namespaces"].append({"type": "time"})
    bundle.config["linux"]["timeOffsets"] = {"boottime": {"secs": 100000}, "monotonic": {"secs": 5, "nanosecs": 7}}
    seen = ask(minirun, bundle, "time-offsets", "clock", "pid")
    rows = {line.split()[0]: line.split()[1:] for line in seen[0].splitlines()}
    assert rows == {"monotonic": ["5", "7"], "boottime": ["100000", "0"]}
    clock = dict(line.split() for line in seen[1].splitlines())
    assert float(clock["boottime"]) - float(clock["monotonic"]) > 90000
    assert seen[2] == "1"


def test_exec_joins_what_the_container_has(minirun: Runtime, bundle: Bundle) -> None:
    """Time too, and only what it has: here the network is the host's."""
    listed(bundle, pid="", mount="", ipc="", uts="", cgroup="", time="")
    bundle.config["mounts"] = [m for m in bundle.config["mounts"] if m["type"] != "sysfs"]
    bundle.config["linux"]["timeOffsets"] = {"boottime": {"secs": 100000}}
    mark(bundle)
    name = minirun.start(bundle.args("/probe", "pause"))
    seen = spaces(ask_in(minirun, name, "ns")[0])
    pid = minirun.state(name)["pid"]
    theirs = {file: os.readlink(f"/proc/{pid}/ns/{file}").split("[")[1].rstrip("]") for file in FILES.values()}
    assert theirs.items() <= seen.items()
    assert seen["net"] == own("net")
    assert "NSpid:" in outside(pid, "status")
