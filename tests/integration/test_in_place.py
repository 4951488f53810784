"""No mount namespace in config.json: the container's mounts are the host's, below its rootfs, and go with it.

Everything here runs in a mount namespace of the test's own: should minirun fail, the host has no mounts too many.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Runtime

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture
def inherited(bundle: Bundle) -> Bundle:
    linux = bundle.config["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "mount"]
    return bundle


def script(
    bundle: Bundle, minirun: Runtime, text: str, shared: str = "--make-rprivate"
) -> subprocess.CompletedProcess[str]:
    """A shell's script in a mount namespace; $M is minirun, $B the bundle, $ID a container's name."""
    bundle.write()
    head = f"set -eu; mount {shared} /; M='{MINIRUN} --root {minirun.root}'; B={bundle.path}; ID={minirun.name()}\n"
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", head + text], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )


SEEN = """
before=$(cat /proc/self/mountinfo | wc -l)
$M run -b $B $ID
[ "$(cat /proc/self/mountinfo | wc -l)" = "$before" ] && echo same
readlink /proc/self/ns/mnt
"""


@pytest.mark.parametrize("shared", ["--make-rprivate", "--make-rshared"])
def test_run_leaves_no_mount(minirun: Runtime, inherited: Bundle, clean_host: None, shared: str) -> None:
    """It is in the caller's namespace, sees its own root, and afterwards nothing is mounted that was not before."""
    inherited.args("/probe", "ns", "--", "ls", "/", "--", "stat", "/dev/null", "--", "access", "/etc", "w")
    done = script(inherited, minirun, SEEN, shared)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    own = next(line.split()[1] for line in lines if line.startswith("mnt "))
    assert f"mnt:[{own}]" in lines and "same" in lines and "probe" in lines
    assert "char 0666 0 0 1:3 0" in lines and "EROFS" in lines


LIFE = """
before=$(cat /proc/self/mountinfo | wc -l)
$M create -b $B $ID > /dev/null 2>&1 < /dev/null
$M start $ID
$M exec $ID /probe ls /
$M exec $ID /probe cat /etc/passwd
$M delete --force $ID
[ "$(cat /proc/self/mountinfo | wc -l)" = "$before" ] && echo same
"""


def test_exec_is_in_its_root(minirun: Runtime, inherited: Bundle, clean_host: None) -> None:
    done = script(inherited.args("/probe", "pause"), minirun, LIFE)
    assert done.returncode == 0, done.stderr
    assert "probe" in done.stdout.split() and "guest:x:1000" in done.stdout and "same" in done.stdout.split()


FAILS = """
before=$(cat /proc/self/mountinfo | wc -l)
$M run -b $B $ID && exit 1
[ "$(cat /proc/self/mountinfo | wc -l)" = "$before" ] && echo same
"""


def test_a_failure_leaves_no_mount(minirun: Runtime, inherited: Bundle, clean_host: None) -> None:
    done = script(inherited.args("/no/such/program"), minirun, FAILS)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


KILLED = """
before=$(cat /proc/self/mountinfo | wc -l)
$M create -b $B $ID > /dev/null 2>&1 < /dev/null &
while [ "$(cat /proc/self/mountinfo | wc -l)" = "$before" ]; do :; done
kill -9 $! 2> /dev/null || true; wait $! || true
$M delete --force $ID
[ "$(cat /proc/self/mountinfo | wc -l)" = "$before" ] && echo same
"""


def test_a_killed_create_leaves_what_delete_takes_away(minirun: Runtime, inherited: Bundle, clean_host: None) -> None:
    done = script(inherited.args("/probe", "pause"), minirun, KILLED)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


MOUNTED = """
mount --bind $B/rootfs $B/rootfs
$M run -b $B $ID
grep -c " $B/rootfs " /proc/self/mountinfo
"""


def test_what_lay_on_the_rootfs_before_stays(minirun: Runtime, inherited: Bundle, clean_host: None) -> None:
    """As a snapshotter mounts it: ours goes, theirs does not."""
    done = script(inherited.args("/probe", "pid"), minirun, MOUNTED)
    assert (done.returncode, done.stdout) == (0, "1\n1\n"), done.stderr


JOINED = """
unshare -m --propagation private sleep 30 > /dev/null 2>&1 & holder=$!
while [ "$(readlink /proc/$holder/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ]; do :; done
sed -i "s/HOLDER/$holder/" $B/config.json
before=$(cat /proc/self/mountinfo | wc -l)
$M run -b $B $ID
readlink /proc/$holder/ns/mnt
[ "$(cat /proc/self/mountinfo | wc -l)" = "$before" ] && echo same
kill $holder
"""


def test_a_joined_one_becomes_the_containers(minirun: Runtime, inherited: Bundle, clean_host: None) -> None:
    inherited.config["linux"]["namespaces"].append({"type": "mount", "path": "/proc/HOLDER/ns/mnt"})
    done = script(inherited.args("/probe", "ns"), minirun, JOINED)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    own = next(line.split()[1] for line in lines if line.startswith("mnt "))
    assert f"mnt:[{own}]" in lines and "same" in lines


def test_the_runtimes_own_is_not_joined(minirun: Runtime, inherited: Bundle, clean_host: None) -> None:
    """Its root would change under everybody who is in it."""
    inherited.config["linux"]["namespaces"].append({"type": "mount", "path": "/proc/self/ns/mnt"})
    done = minirun.run(inherited)
    assert done.returncode == 125 and "/linux/namespaces" in done.stderr and "leave" in done.stderr
    assert Path("/etc/passwd").exists()


def test_not_with_a_user_namespace(minirun: Runtime, inherited: Bundle, clean_host: None) -> None:
    linux = inherited.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    done = minirun("--log-format", "json", "run", "-b", inherited.write(), minirun.name())
    assert done.returncode == 125
    told = json.loads(done.stderr.splitlines()[-1])
    assert "mount namespace" in told["msg"] + json.dumps(told) and "/linux/namespaces" in json.dumps(told)
