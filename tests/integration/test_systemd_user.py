"""--systemd-cgroup by an ordinary user: a manager of his own, on his own bus, and a login that is not below it.

Where he comes from is a cgroup of root's; so he may not clone3 into his manager's scopes, only be moved there.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.spec.template import template
from tests.conftest import MINIRUN, Bundle, Runtime, require
from tests.integration.booted import UNITS, Booted, booted

pytestmark = pytest.mark.needs("root", "userns", "busybox", "systemd")

UID = pwd.getpwnam("daemon").pw_uid  # systemd --user asks the password file for its home
HOME = f"/run/user/{UID}"
MANAGER = f"""
[Unit]
DefaultDependencies=no
[Service]
User={UID}
Type=notify
Slice=user.slice
Delegate=yes
Environment=XDG_RUNTIME_DIR={HOME} HOME={HOME}
ExecStart=/lib/systemd/systemd --user --unit=lab.target --log-target=null
"""
SETUP = """
set -e
mkdir -p {home}/systemd/user
cp {folder}/manager.service /run/systemd/system/
cp {folder}/lab.target {folder}/dbus.* {home}/systemd/user/
chown -R {uid} {home}
chmod 700 {home}
systemctl daemon-reload
systemctl start manager.service
"""


@pytest.fixture(scope="module")
def systemd() -> Iterator[Booted]:
    require("root", "userns", "busybox", "systemd")
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("this machine's own systemd gets no manager that is not of its making")
    base = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="minirun-test-"))
    try:
        with booted(base) as found:
            for name, text in UNITS.items():
                own = text.replace("/run/dbus/system_bus_socket", "%t/bus").replace(
                    "--system --addr", "--session --addr"
                )
                (folder / name).write_text(own)
            (folder / "manager.service").write_text(MANAGER)
            done = found("sh", "-c", SETUP.format(folder=folder, home=HOME, uid=UID))
            assert done.returncode == 0, done.stderr
            yield found
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def minirun(systemd: Booted, open_place: Path) -> Iterator[Runtime]:
    drop = f"setpriv --reuid {UID} --regid {UID} --clear-groups env -i PATH=/usr/bin:/bin XDG_RUNTIME_DIR={HOME}"
    script = open_place / "minirun"
    script.write_text(f'#!/bin/sh\nexec {" ".join(systemd.enter)} {drop} {MINIRUN} --systemd-cgroup "$@"\n')
    script.chmod(0o755)
    state = open_place / "state"
    state.mkdir()
    os.chown(state, UID, UID)
    runtime = Runtime(state, script)
    yield runtime
    for name in runtime.used:
        runtime("delete", "--force", name)


@pytest.fixture
def own_bundle(open_bundle: Bundle) -> Bundle:
    """His, with a user namespace that maps him alone."""
    open_bundle.config = template(rootless=True, uid=UID, gid=UID)
    open_bundle.config["process"]["terminal"] = False
    os.chown(open_bundle.path, UID, UID)
    return open_bundle.args("/probe", "pause")


def test_a_life(systemd: Booted, minirun: Runtime, own_bundle: Bundle) -> None:
    name = minirun.start(own_bundle)
    home = systemd.root / f"user.slice/manager.service/user.slice/minirun-{name}.scope"
    assert (home / "cgroup.procs").read_text().split() != []
    assert home.stat().st_uid == UID
    done = minirun("exec", name, "/bin/cat", "/proc/self/cgroup")
    assert done.stdout.splitlines()[-1] == "0::/", done.stderr
    assert minirun("pause", name).returncode == 0 and minirun.state(name)["status"] == "paused"
    assert minirun("resume", name).returncode == 0
    (home / "deep").mkdir()
    os.chown(home / "deep", UID, UID)
    os.chown(home / "deep" / "cgroup.procs", UID, UID)
    deep = minirun("exec", "--cgroup", "deep", name, "/bin/cat", "/proc/self/cgroup")
    assert deep.stdout.splitlines()[-1] == "0::/deep", deep.stderr
    assert minirun("delete", "--force", name).returncode == 0
    assert not home.exists()


def test_exec_says_who_moves_it(minirun: Runtime, own_bundle: Bundle) -> None:
    name = minirun.start(own_bundle)
    steps = json.loads(minirun("exec", "--explain=json", name, "/bin/true").stdout)
    assert [step["op"] for step in steps[:2]] == ["spawn", "make_cgroup"]
    assert steps[1]["does"].startswith("have systemd move init into /user.slice/manager.service/user.slice/")


def test_root_of_his_user_namespace(systemd: Booted, minirun: Runtime, own_bundle: Bundle) -> None:
    """As podman calls it: root inside, himself to the bus, which looks at the peer and not at what it is told."""
    script = Path(minirun.program)
    script.write_text(script.read_text().replace(str(MINIRUN), f"unshare -U -r -m {MINIRUN}"))
    linux = own_bundle.config["linux"]
    linux["namespaces"] = [space for space in linux["namespaces"] if space["type"] != "user"]
    del linux["uidMappings"], linux["gidMappings"]
    name = minirun.start(own_bundle.args("/probe", "pause"))
    home = systemd.root / f"user.slice/manager.service/user.slice/minirun-{name}.scope"
    assert len((home / "cgroup.procs").read_text().split()) == 1 and home.stat().st_uid == UID
    assert minirun("delete", "--force", name).returncode == 0
    assert not home.exists()


def test_nobody_without_a_bus(systemd: Booted, minirun: Runtime, own_bundle: Bundle) -> None:
    drop = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin"]
    done = systemd(*drop, MINIRUN, "--systemd-cgroup", "run", "-b", own_bundle.write(), "nobody")
    assert done.returncode == 125 and "no bus of your own" in done.stderr
    assert "hint     log in" in done.stderr and "without --systemd-cgroup" in done.stderr
