"""--systemd-cgroup against a real systemd: scopes and slices, what becomes of them, failures, kill -9.

The limits themselves need controllers and are tested in the lab (tests/lab/test_systemd_limits.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, ROOT, Bundle, Json, Runtime, require
from tests.integration.booted import Booted, booted

pytestmark = pytest.mark.needs("root", "busybox", "systemd")

CALLS = 60  # more system calls than a create has before init is told to wait


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    require("root", "busybox", "systemd")
    with booted(tmp_path_factory.getbasetemp()) as found:
        yield found


@pytest.fixture
def minirun(systemd: Booted, tmp_path: Path) -> Iterator[Runtime]:
    """minirun where this systemd is pid 1, with --systemd-cgroup."""
    script = tmp_path / "minirun"
    script.write_text(f'#!/bin/sh\nexec {" ".join(systemd.enter)} {MINIRUN} --systemd-cgroup "$@"\n')
    script.chmod(0o755)
    runtime = Runtime(tmp_path / "state", script)
    before = units(systemd)
    yield runtime
    for name in runtime.used:
        runtime("delete", "--force", name)
    assert units(systemd) == before, "no unit may stay"


def units(systemd: Booted) -> list[str]:
    listed = systemd("systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=scope")
    return sorted(line.split()[0] for line in listed.stdout.splitlines())


def directory(systemd: Booted, name: str) -> Path:
    return systemd.root / "system.slice" / f"minirun-{name}.scope"


def until(condition: object, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_the_life_of_a_scope(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.start(bundle.args("/probe", "pause"))
    unit = f"minirun-{name}.scope"
    home = directory(systemd, name)
    assert (home / "cgroup.procs").read_text().split() != []
    assert systemd.show(unit, "ActiveState") == "active"
    assert systemd.show(unit, "Delegate") == "yes" and systemd.show(unit, "Slice") == "system.slice"
    assert systemd.show(unit, "Description") == f"minirun container {name}"
    assert minirun.state(name)["status"] == "running"
    assert minirun("exec", name, "/bin/cat", "/proc/self/cgroup").stdout.splitlines()[-1] == "0::/"
    assert minirun("pause", name).returncode == 0 and minirun.state(name)["status"] == "paused"
    assert minirun("resume", name).returncode == 0
    assert minirun("kill", name, "KILL").returncode == 0
    assert until(lambda: minirun.state(name)["status"] == "stopped")
    assert minirun("delete", name).returncode == 0
    assert not home.exists() and not systemd.loaded(unit)


def test_run_in_the_foreground(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    done = minirun.run(bundle.args("/bin/sh", "-c", "echo inside; exit 7"))
    assert (done.returncode, done.stdout) == (7, "inside\n"), done.stderr
    assert not directory(systemd, minirun.used[-1]).exists()


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("machine-a.slice:pod:ID", "machine.slice/machine-a.slice/pod-ID.scope"),
        ("::ID", "system.slice/ID.scope"),
        ("-.slice:x:ID", "x-ID.scope"),
        ("::minirun-ID.slice", "minirun.slice/minirun-ID.slice"),
    ],
)
def test_cgroups_path(systemd: Booted, minirun: Runtime, bundle: Bundle, given: str, place: str) -> None:
    word = uuid.uuid4().hex[:8]
    bundle.config["linux"]["cgroupsPath"] = given.replace("ID", word)
    name = minirun.start(bundle.args("/probe", "pause"))
    home = systemd.root / place.replace("ID", word)
    assert (home / "cgroup.procs").read_text().split() != []
    assert minirun("delete", "--force", name).returncode == 0
    assert not home.exists()


def test_devices_are_in_the_unit_too(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    """systemd writes its own filter again at every reload (that is how containers lost their GPUs)."""
    rules = bundle.config["linux"]["resources"].setdefault("devices", [])
    rules.append({"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"})
    rules.append({"allow": True, "type": "b", "major": 7, "access": "r"})
    name = minirun.start(bundle.args("/probe", "pause"))
    unit = f"minirun-{name}.scope"
    assert systemd.show(unit, "DevicePolicy") == "strict"
    allowed = systemd("systemctl", "show", "-p", "DeviceAllow", unit).stdout.splitlines()
    for line in ("/dev/char/10:200 rw", "block-7 r", "/dev/char/1:3 rwm", "char-136 rwm", "char-* m"):
        assert f"DeviceAllow={line}" in allowed
    assert minirun("exec", name, "/bin/head", "-c", "1", "/dev/zero").returncode == 0
    systemd("systemctl", "daemon-reload")
    assert minirun("exec", name, "/bin/head", "-c", "1", "/dev/zero").returncode == 0
    assert minirun("exec", name, "/bin/sh", "-c", "echo > /dev/null").returncode == 0


def test_update_of_devices_reaches_the_unit(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    """Both filters must agree: the unit's has to learn what is allowed now, and to forget it again."""
    tun = {"destination": "/tun", "source": "/dev/net/tun", "type": "bind", "options": ["bind"]}
    bundle.config["mounts"].append(tun)
    name = minirun.start(bundle.args("/probe", "pause"))

    def opens() -> bool:
        return minirun("exec", name, "/bin/sh", "-c", ": < /tun").returncode == 0

    assert not opens()
    for allow in (True, False):
        rule = {"allow": allow, "type": "c", "major": 10, "minor": 200, "access": "r"}
        done = minirun("update", "-r", "-", name, stdin=None, input=json.dumps({"devices": [rule]}))
        assert done.returncode == 0, done.stderr
        assert opens() == allow
        systemd("systemctl", "daemon-reload")
        assert opens() == allow


def test_properties_by_annotation(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {
        "org.systemd.property.TimeoutStopSec": "7",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.example": "not ours",
    }
    name = minirun.start(bundle.args("/probe", "pause"))
    unit = f"minirun-{name}.scope"
    assert systemd.show(unit, "TimeoutStopUSec") == "7s" and systemd.show(unit, "CollectMode") == "inactive-or-failed"


def test_a_name_that_is_taken(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    """It stays as it is; ours is as if never attempted."""
    name = minirun.name()
    unit = f"minirun-{name}.scope"
    argv = [*systemd.enter, "systemd-run", "--scope", "-q", "--unit", unit, "sleep", "60"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        assert until(lambda: systemd.loaded(unit))
        done = minirun("run", "-b", bundle.write(), name)
        assert done.returncode == 125, done.stderr
        assert f"cannot have systemd make /system.slice/{unit}: " in done.stderr
        assert "config   /linux/cgroupsPath in" in done.stderr and "StartTransientUnit() -> EEXIST" in done.stderr
        assert systemd.show(unit, "ActiveState") == "active" and not (minirun.root / name).exists()
        systemd("systemctl", "stop", unit)
        other.wait(10)


def test_a_failed_unit_of_that_name_is_no_obstacle(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    """A scope that failed is remembered until somebody resets it."""
    name = minirun.name()
    unit = f"minirun-{name}.scope"
    systemd("systemd-run", "--scope", "-q", "--unit", unit, "-p", "RuntimeMaxSec=1ms", "sleep", "1")
    assert until(lambda: systemd.show(unit, "ActiveState") == "failed")
    done = minirun("run", "-b", bundle.args("/bin/echo", "fine").write(), name)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_failures_leave_nothing(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    missing = minirun.run(bundle.args("/nothing"))
    assert missing.returncode == 127 and "cannot find /nothing" in missing.stderr
    bundle.args("/bin/true").config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    assert minirun.run(bundle).returncode == 125
    del bundle.config["hooks"]
    bundle.config["annotations"] = {"org.systemd.property.Nonesuch": "true"}
    unknown = minirun.run(bundle)
    assert unknown.returncode == 125 and "StartTransientUnit() -> EINVAL" in unknown.stderr
    bundle.config["annotations"] = {"org.systemd.property.Wrong": "no quotes"}
    wrong = minirun.run(bundle)
    assert wrong.returncode == 125 and "/annotations/org.systemd.property.Wrong" in wrong.stderr
    del bundle.config["annotations"]
    bundle.config["linux"]["cgroupsPath"] = "/a/path"
    path = minirun.run(bundle)
    assert path.returncode == 125 and "SLICE:PREFIX:NAME" in path.stderr and "/linux/cgroupsPath" in path.stderr
    for name in minirun.used:
        assert not directory(systemd, name).exists() and not (minirun.root / name).exists()


def test_explain(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    """Where the cgroup will be and what is asked for; init comes first, because a scope needs a process."""
    done = minirun("run", "--explain=json", "-b", bundle.write(), "web")
    first, second = json.loads(done.stdout)[:2]
    assert (first["op"], first["fields"]["into_cgroup"]) == ("spawn", False)
    assert second["does"] == "have systemd make /system.slice/minirun-web.scope"
    assert "Delegate=true" in second["fields"]["properties"]
    assert not directory(systemd, "web").exists()


@pytest.mark.parametrize("number", range(1, CALLS, 4))
def test_killed_while_it_creates(systemd: Booted, minirun: Runtime, bundle: Bundle, number: int) -> None:
    """kill -9 after the Nth call: ``delete --force`` takes the scope away too."""
    name = minirun.name()
    bundle.args("/probe", "pause").write()
    program = Path(__file__).with_name("killed.py")
    argv = [*systemd.enter, "env", f"PYTHONPATH={ROOT}", sys.executable, str(program), str(number), "self"]
    argv += ["--systemd-cgroup", "--root", str(minirun.root), "create", "-b", str(bundle.path), name]
    with open(bundle.path / "out", "wb") as out:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
    assert done.returncode in (0, 128 + signal.SIGKILL, -signal.SIGKILL), (bundle.path / "out").read_text()
    gone = minirun("delete", "--force", name)
    assert gone.returncode == 0, gone.stderr
    assert until(lambda: not directory(systemd, name).exists()) and not (minirun.root / name).exists()
    assert until(lambda: not systemd.loaded(f"minirun-{name}.scope"))


def test_another_ones_scope_is_not_stopped(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    """A container whose scope is gone, and whose unit's name somebody else has by now."""
    name = minirun.start(bundle.args("/probe", "pause"))
    unit = f"minirun-{name}.scope"
    minirun("kill", name, "KILL")
    assert until(lambda: not directory(systemd, name).exists())
    argv = [*systemd.enter, "systemd-run", "--scope", "-q", "--unit", unit, "sleep", "60"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        assert until(lambda: systemd.loaded(unit))
        assert minirun("delete", name).returncode == 0
        assert systemd.show(unit, "ActiveState") == "active"
        systemd("systemctl", "stop", unit)
        other.wait(10)


def test_without_the_bus(systemd: Booted, minirun: Runtime, bundle: Bundle) -> None:
    """The error names the option; delete works all the same, for systemd sees by itself that a scope is empty."""
    nowhere = ["env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere"]
    argv = [*nowhere, str(MINIRUN), "--systemd-cgroup", "--root", str(minirun.root)]
    refused = systemd(*argv, "run", "-b", bundle.args("/probe", "pause").write(), minirun.name())
    assert refused.returncode == 125 and "unix:path=/nowhere" in refused.stderr
    assert "hint     without --systemd-cgroup" in refused.stderr
    name = minirun.start(bundle)
    path = minirun.root / name / "state.json"
    state: Json = json.loads(path.read_text())
    assert state["unit"] == f"minirun-{name}.scope" and state["cgroupDriver"] == "systemd"
    path.write_text(json.dumps(state | {"bus": "unix:path=/nowhere"}))
    assert minirun("delete", "--force", name).returncode == 0
    assert until(lambda: not systemd.loaded(f"minirun-{name}.scope"))


def test_where_systemd_does_not_run(tmp_path: Path, bundle: Bundle) -> None:
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("systemd is this machine's init")
    runtime = Runtime(tmp_path / "state")
    for option in ("--systemd-cgroup", "--cgroup-manager=systemd"):
        done = runtime(option, "run", "-b", bundle.write(), "nobody")
        assert done.returncode == 125 and "/run/systemd/system is not there" in done.stderr
        assert "hint     without --systemd-cgroup (--cgroup-manager=systemd)" in done.stderr
        assert not (tmp_path / "state").exists()
