"""Cgroups of those who are not the host's root: given one, given none; and what --rootless says to it.

The user here is in a cgroup that was given to him (cgroups(7), Delegation), or in one that was not.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.cgroups import tree
from minirun.facts import find_cgroup_root
from tests.conftest import MINIRUN, Bundle, Json, Runtime, run
from tests.integration.people import Done, Person
from tests.integration.seen import outside, wait_for

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap")

ROOT = Path(find_cgroup_root() or "/nonexistent")
LIMITED = {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}  # the one controller that a hybrid host leaves to v2


@pytest.fixture
def delegated(somebody: Person) -> Iterator[Path]:
    """A directory of the user's, with a shell's in it; whatever is left in there goes."""
    own = ROOT / f"minirun-rootless-{os.getpid()}"
    shell = own / "shell"
    shell.mkdir(parents=True)
    for directory in (own, shell):
        for name in (".", "cgroup.procs", "cgroup.subtree_control"):
            os.chown(directory / name, somebody.uid, somebody.gid)
    yield own
    tree.kill(str(own))
    wait_for(lambda: not tree.populated(str(own)))
    for inner in reversed(tree.subtree(str(own))):
        tree.rmdir(inner, 5)


def within(somebody: Person, cgroup: Path, *words: str) -> Done:
    somebody.bundle.write()
    become = f"setpriv --reuid {somebody.uid} --regid {somebody.gid} --clear-groups"
    enter = f'echo $$ > {cgroup}/cgroup.procs && exec {become} "$@"'
    argv = ["sh", "-c", enter, "-", str(MINIRUN), *words]
    with open(somebody.bundle.path / "out", "w+") as out:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=60, env=somebody.env,
            cwd=somebody.bundle.path, text=True,
        )  # fmt: skip
        out.seek(0)
        return subprocess.CompletedProcess(argv, done.returncode, out.read(), "")


def test_a_cgroup_in_what_was_given(somebody: Person, delegated: Path) -> None:
    """Below the shell's own, with the whole life: pause, kill --all, delete."""
    somebody.bundle.args("/probe", "pause")
    name = somebody.name()
    done = within(somebody, delegated / "shell", "run", "-d", name)
    assert done.returncode == 0, done.stdout
    made = delegated / "shell/minirun" / name
    pid = json.loads(somebody("state", name).stdout)["pid"]
    assert (made / "cgroup.procs").read_text().split() == [str(pid)] and made.stat().st_uid == somebody.uid
    assert outside(pid, "cgroup").splitlines()[-1] == f"0::/{made.relative_to(ROOT)}"
    for verb, status in (("pause", "paused"), ("resume", "running")):
        done = somebody(verb, name)
        assert done.returncode == 0, done.stderr
        assert json.loads(somebody("state", name).stdout)["status"] == status
    done = within(somebody, delegated / "shell", "exec", "-d", name, "/probe", "pause")
    assert done.returncode == 0 and len((made / "cgroup.procs").read_text().split()) == 2, done.stdout
    assert somebody("kill", "--all", name, "KILL").returncode == 0
    wait_for(lambda: json.loads(somebody("state", name).stdout)["status"] == "stopped")
    assert somebody("delete", name).returncode == 0
    assert not (delegated / "shell/minirun").exists()


@pytest.mark.parametrize(
    ("controller", "resources", "file", "value"),
    [
        ("hugetlb", LIMITED, "hugetlb.2MB.max", "0"),
        ("memory", {"memory": {"limit": 1 << 26}}, "memory.max", str(1 << 26)),
        ("pids", {"pids": {"limit": 20}}, "pids.max", "20"),
    ],
)
def test_a_path_and_a_limit_in_what_was_given(
    somebody: Person, delegated: Path, controller: str, resources: Json, file: str, value: str
) -> None:
    """An absolute cgroupsPath beside the shell's, where controllers can be handed down."""
    path = f"/{(delegated / 'web').relative_to(ROOT)}"
    if controller not in (ROOT / "cgroup.controllers").read_text().split():
        pytest.skip(f"no {controller} controller to hand down")
    tree.enable(str(ROOT), [controller])
    somebody.bundle.config["linux"].update(cgroupsPath=path, resources=resources)
    somebody.bundle.args("/probe", "pause")
    name = somebody.name()
    done = within(somebody, delegated / "shell", "run", "-d", name)
    assert done.returncode == 0, done.stdout
    assert (delegated / "web" / file).read_text() == f"{value}\n"
    assert somebody("delete", "--force", name).returncode == 0
    assert not (delegated / "web").exists()


@pytest.mark.parametrize("path", ["/elsewhere", "../../x", "/minirun/mine"])
def test_a_path_in_what_was_not_given(somebody: Person, delegated: Path, path: str) -> None:
    somebody.bundle.config["linux"]["cgroupsPath"] = path
    done = within(somebody, delegated / "shell", "run", somebody.name())
    assert done.returncode == 125 and "/linux/cgroupsPath" in done.stdout, done.stdout
    assert not (ROOT / "elsewhere").exists()


def test_nothing_given_nothing_asked(somebody: Person) -> None:
    """Then it runs without; what needs a cgroup says so."""
    name = somebody.start("/probe", "pause")
    done = somebody("pause", name)
    assert done.returncode == 125 and "it has no cgroup of its own" in done.stderr
    assert somebody("exec", "-d", name, "/probe", "trap", capture_output=False).returncode == 0
    other = json.loads(somebody("ps", "-f", "json", name).stdout)[-1]
    wait_for(lambda: "trap" in outside(other, "cmdline"))
    assert somebody("kill", "--all", name, "TERM").returncode == 0
    wait_for(lambda: not Path(f"/proc/{other}").exists() or ") Z" in outside(other, "stat"))
    assert somebody("delete", "--force", name).returncode == 0


def test_nothing_given_something_asked(somebody: Person) -> None:
    linux = somebody.bundle.config["linux"]
    for change in ({"resources": LIMITED}, {"cgroupsPath": "x"}, {"cgroupsPath": "/x/y"}):
        somebody.bundle.config["linux"] = {**linux, **change}
        done = somebody.run()
        assert done.returncode == 125 and "systemd-run --user --scope" in done.stderr, done.stderr
        assert f"config   /linux/{next(iter(change))} in" in done.stderr
    assert somebody("list", "-q").stdout == ""


def test_without_a_pid_namespace_either(somebody: Person) -> None:
    """Nobody can end what the container leaves behind."""
    linux = somebody.bundle.config["linux"]
    linux["namespaces"] = [space for space in linux["namespaces"] if space["type"] != "pid"]
    mounted = somebody.bundle.config["mounts"][0]
    mounted.update(type="bind", source="/proc", options=["rbind"])
    somebody.bundle.args("/probe", "id")
    done = somebody.run()
    assert done.returncode == 0 and "processes can outlive the container" in done.stderr, done.stderr


@pytest.mark.parametrize(("word", "code"), [("auto", 0), ("true", 0), ("false", 125)])
def test_the_option(somebody: Person, word: str, code: int) -> None:
    somebody.bundle.args("/probe", "pid").write()
    done = somebody("--rootless", word, "run", somebody.name())
    assert done.returncode == code, done.stderr
    assert code == 0 or ("/linux/cgroupsPath" in done.stderr and "--rootless=false wants one" in done.stderr)


@pytest.mark.parametrize(("flags", "code"), [((), 125), (("--rootless", "true"), 0), (("--rootless=false",), 125)])
def test_the_option_for_root(minirun: Runtime, bundle: Bundle, flags: tuple[str, ...], code: int) -> None:
    """Where cgroups are mounted read-only, as in a container."""
    words = [str(MINIRUN), *flags, "--root", str(minirun.root), "run", "-b", str(bundle.write()), minirun.name()]
    done = run("unshare", "-m", "sh", "-c", f'mount -o remount,bind,ro {ROOT} && exec "$@"', "-", *words)
    assert done.returncode == code, done.stderr
    if code:
        assert "is read-only" in done.stderr and "--rootless=true runs without a cgroup" in done.stderr
    else:
        assert done.stdout == "1\n" and "no device is refused" in done.stderr
    bundle.config["linux"]["resources"].update(LIMITED)
    bundle.write()
    done = run("unshare", "-m", "sh", "-c", f'mount -o remount,bind,ro {ROOT} && exec "$@"', "-", *words)
    assert done.returncode == 125 and "/linux/resources" in done.stderr, "a limit is never left out"
