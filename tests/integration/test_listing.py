"""list, ps, spec, features: what people and programs read."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime, run
from tests.integration.seen import wait_for

pytestmark = pytest.mark.needs("root", "busybox")


def test_an_empty_list(minirun: Runtime) -> None:
    """As runc: the heading alone, null, nothing."""
    assert minirun("list").stdout.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert minirun("list", "--format", "json").stdout == "null\n"
    assert minirun("list", "-q").stdout == ""


def test_list(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"a": "b"}
    running = minirun.start(bundle.args("/probe", "pause"))
    created = minirun.create(bundle)
    stopped = minirun.start(bundle.args("/probe", "pid"))
    wait_for(lambda: minirun.state(stopped)["status"] == "stopped")
    rows = {row["id"]: row for row in json.loads(minirun("list", "-f", "json").stdout)}
    assert {name: rows[name]["status"] for name in rows} == {running: "running", created: "created", stopped: "stopped"}
    row = rows[running]
    assert row["pid"] == minirun.state(running)["pid"] and rows[stopped]["pid"] == 0
    assert (row["bundle"], row["rootfs"]) == (str(bundle.path), str(bundle.rootfs))
    assert row["owner"] == pwd.getpwuid(os.geteuid()).pw_name and row["ociVersion"].startswith("1.")
    assert row["annotations"] == {"a": "b"}
    assert minirun("list", "--quiet").stdout.splitlines() == sorted([running, created, stopped])
    table = [line.split() for line in minirun("list").stdout.splitlines()]
    assert table[0] == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert [running, str(row["pid"]), "running", str(bundle.path), row["created"], row["owner"]] in table
    assert minirun("list", "-f", "xml").returncode == 2


def test_list_passes_over_strays(minirun: Runtime, bundle: Bundle) -> None:
    """A file, a foreign directory: listed honestly or not at all, never a crash."""
    name = minirun.create(bundle)
    (minirun.root / "a-file").write_text("")
    (minirun.root / ".hidden").mkdir()
    (minirun.root / "emptydir").mkdir()
    done = minirun("list", "-q")
    assert done.returncode == 0 and name in done.stdout.split()
    assert minirun("delete", "--force", "emptydir").returncode == 0


def test_ps(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.start(bundle.args("/bin/sh", "-c", "/bin/sleep 100 & exec /bin/sleep 101"))
    wait_for(lambda: len(json.loads(minirun("ps", "--format=json", name).stdout)) == 2)
    pids = json.loads(minirun("ps", "-f", "json", name).stdout)
    assert minirun.state(name)["pid"] in pids
    table = minirun("ps", name).stdout.splitlines()
    assert table[0].split()[:3] == ["UID", "PID", "PPID"]
    assert sorted(int(line.split()[1]) for line in table[1:]) == pids
    own = minirun("ps", name, "-o", "pid,args").stdout.splitlines()
    assert own[0].split() == ["PID", "COMMAND"]
    assert {" ".join(line.split()[1:]) for line in own[1:]} == {"/bin/sleep 100", "/bin/sleep 101"}
    assert minirun("ps", name, "-o", "args").returncode == 125, (
        "without a PID column there is no telling whose they are"
    )
    assert minirun("ps", name, "--nonsense").returncode == 125


def test_spec(minirun: Runtime, tmp_path: Path, bundle: Bundle) -> None:
    """A config that runs at once (with a terminal switched off, a rootfs put beside it)."""
    assert minirun("spec", cwd=tmp_path / "rootfs").returncode == 0
    target = tmp_path / "rootfs/config.json"
    config = json.loads(target.read_text())
    assert config["process"]["args"] == ["sh"] and config["root"] == {"path": "rootfs", "readonly": True}
    again = minirun("spec", "--bundle", tmp_path / "rootfs")
    assert again.returncode == 125 and "exists" in again.stderr
    target.write_text("{}")
    assert minirun("spec", "--force", "-b", tmp_path / "rootfs").returncode == 0
    assert json.loads(target.read_text()) == config
    config["process"].update(terminal=False, args=["/probe", "hostname"])
    bundle.config = config
    assert minirun.output(bundle) == "minirun\n"
    assert minirun("spec", "-b", "/no/such").returncode == 125


def test_spec_rootless(minirun: Runtime, tmp_path: Path) -> None:
    minirun("spec", "--rootless", "-b", tmp_path)
    linux = json.loads((tmp_path / "config.json").read_text())["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    assert {"type": "user"} in linux["namespaces"] and {"type": "network"} not in linux["namespaces"]
    assert "resources" not in linux


@pytest.mark.needs("runc")
@pytest.mark.parametrize("flags", [(), ("--rootless",)])
def test_spec_is_what_runc_writes(minirun: Runtime, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Apart from what newer versions of runc changed, and the name."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    minirun("spec", *flags, "-b", tmp_path / "a")
    run("runc", "spec", *flags, "-b", tmp_path / "b")
    ours, theirs = (json.loads((tmp_path / name / "config.json").read_text()) for name in "ab")
    for config in (ours, theirs):
        for member in ("ociVersion", "hostname"):
            config.pop(member)
        for name in ("ambient", "inheritable"):  # runc up to 1.1 filled them (CVE-2022-29162)
            config["process"]["capabilities"].pop(name, None)
        spaces = config["linux"]["namespaces"]  # runc lists "cgroup" where the host is v2 alone
        config["linux"]["namespaces"] = sorted(space["type"] for space in spaces if space["type"] != "cgroup")
    assert ours == theirs


def test_features(minirun: Runtime) -> None:
    found = json.loads(minirun("features").stdout)
    assert set(found) >= {"ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations"}
    assert set(found["hooks"]) == {
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
    }  # fmt: skip
    assert set(found["linux"]["namespaces"]) == {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}
    assert found["linux"]["cgroup"] | {"v1": False, "v2": True, "systemd": True} == found["linux"]["cgroup"]
    assert "CAP_CHOWN" in found["linux"]["capabilities"]
    assert {"ro", "rro", "rbind", "tmpcopyup", "rprivate", "nosymfollow"} <= set(found["mountOptions"])
    assert all("\n" not in value for value in found["annotations"].values())
    assert minirun("features", "x").returncode == 2


def test_verbs_that_are_not_there_yet(minirun: Runtime) -> None:
    for words in (("checkpoint", "--image-path", "x", "id"), ("restore", "id")):
        done = minirun(*words)
        assert done.returncode != 0 and words[0] in done.stderr and "Traceback" not in done.stderr
    assert minirun("checkpoint", "--help").returncode == 0, "podman asks"
