"""/hooks: all six kinds: where they run, in what order, what they read, and what their failure does."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import warnings

pytestmark = pytest.mark.needs("root", "busybox")

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
INSIDE = ("createContainer", "startContainer")


@pytest.fixture
def hooked(bundle: Bundle) -> Bundle:
    """Every hook appends to /log of the rootfs (host paths: BUNDLE/rootfs/log): its name, then its state document."""
    bundle.config["root"]["readonly"] = False
    bundle.config["hooks"] = {kind: [logging(bundle, kind, "1"), logging(bundle, kind, "2")] for kind in KINDS}
    bundle.config["annotations"] = {"color": "blue"}
    return bundle


def logging(bundle: Bundle, kind: str, word: str) -> Json:
    log = "/log" if kind == "startContainer" else f"{bundle.rootfs}/log"
    shell = "/bin/sh"
    script = f'echo "$0 $1 {word} $V" >> {log}; cat >> {log}; echo >> {log}'
    return {"path": shell, "args": [shell, "-c", script, kind, "arg"], "env": ["V=value", "PATH=/bin:/usr/bin"]}


def read_log(bundle: Bundle) -> list[tuple[str, Json]]:
    """(first line, state) of each hook that ran."""
    path = bundle.rootfs / "log"
    lines = [line for line in path.read_text().splitlines() if line] if path.exists() else []
    return [(title, json.loads(document)) for title, document in zip(lines[::2], lines[1::2], strict=True)]


def script(kind: str, text: str, **more: object) -> Json:
    return {kind: [{"path": "/bin/sh", "args": ["sh", "-c", text], **more}]}


def test_order_arguments_and_environment(minirun: Runtime, hooked: Bundle, clean_host: None) -> None:
    done = minirun.run(hooked.args("/bin/sh", "-c", "echo the program >> /log; echo '{}' >> /log"))
    assert done.returncode == 0, done.stderr
    titles = [title for title, _ in read_log(hooked)]
    first = [f"{kind} arg {number} value" for kind in KINDS[:4] for number in (1, 2)]
    assert titles[:8] == first
    assert sorted(titles[8:-2]) == ["poststart arg 1 value", "poststart arg 2 value", "the program"]
    assert titles[-2:] == ["poststop arg 1 value", "poststop arg 2 value"]


def test_the_state_on_standard_input(minirun: Runtime, hooked: Bundle) -> None:
    """Status, pid and bundle of each moment (runtime.md, State)."""
    name = minirun.create(hooked.args("/probe", "pause"))
    pid = minirun.state(name)["pid"]
    assert [title.split()[0] for title, _ in read_log(hooked)] == [kind for kind in KINDS[:3] for _ in "12"]
    assert minirun("start", name).returncode == 0
    minirun("kill", name, "KILL")
    assert minirun("delete", "--force", name).returncode == 0
    states = {title.split()[0]: state for title, state in read_log(hooked)}
    for kind, state in states.items():
        assert (state["id"], state["bundle"], state["annotations"]) == (name, str(hooked.path), {"color": "blue"}), kind
        assert state["ociVersion"].startswith("1.")
    words = {kind: states[kind]["status"] for kind in KINDS}
    assert words == {
        "prestart": "creating", "createRuntime": "creating", "createContainer": "creating", "startContainer": "created",
        "poststart": "running", "poststop": "stopped",
    }  # fmt: skip
    assert {states[kind]["pid"] for kind in KINDS[:5]} == {pid}
    assert states["poststop"].get("pid", 0) == 0


def test_where_they_run(minirun: Runtime, bundle: Bundle) -> None:
    """prestart, createRuntime, poststart, poststop: the runtime's namespaces; the others: the container's."""
    record = f"readlink /proc/self/ns/uts >> {bundle.rootfs}/tmp/"
    bundle.config["root"]["readonly"] = False
    hooks: Json = {}
    for kind in KINDS:
        text = record + kind
        if kind == "startContainer":
            text = f"/probe ns > /tmp/{kind}; /probe ls / > /tmp/root"
        elif kind == "createContainer":  # before pivot_root: host paths, but the container's mounts are there already
            text += f"; ls {bundle.rootfs}/dev/pts > {bundle.rootfs}/tmp/pts; hostname > {bundle.rootfs}/tmp/name"
        hooks |= script(kind, text, env=["PATH=/bin:/usr/bin:/sbin"])
    bundle.config["hooks"] = hooks
    done = minirun.run(bundle.args("/probe", "ns"))
    assert done.returncode == 0, done.stderr
    inside = next(line for line in done.stdout.splitlines() if line.startswith("uts")).split()[1]
    own = os.readlink("/proc/self/ns/uts")
    for kind in KINDS:
        text = (bundle.rootfs / "tmp" / kind).read_text()
        assert (inside in text) == (kind in INSIDE) and (own in text) == (kind not in INSIDE), kind
    assert (bundle.rootfs / "tmp/pts").read_text() == "ptmx\n"
    assert (bundle.rootfs / "tmp/name").read_text() == "minirun\n"
    assert "probe" in (bundle.rootfs / "tmp/root").read_text()


def test_a_prestart_hook_may_set_up_the_network(minirun: Runtime, bundle: Bundle) -> None:
    """What docker's libnetwork does: it gets the pid from the state and enters the namespace by it."""
    text = 'pid=$(sed "s/.*\\"pid\\": *\\([0-9]*\\).*/\\1/"); nsenter -t $pid -n sysctl -qw net.ipv4.ip_forward=1'
    for kind in ("prestart", "createRuntime"):
        bundle.config["hooks"] = script(kind, text, env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
        assert minirun.output(bundle, "/probe", "sysctl", "net.ipv4.ip_forward") == "1\n"


@pytest.mark.parametrize("kind", KINDS[:3])
def test_failure_before_created(minirun: Runtime, hooked: Bundle, clean_host: None, kind: str) -> None:
    """Create fails, the container is destroyed, poststop runs (runtime.md, Lifecycle)."""
    hooked.config["hooks"][kind].insert(1, script("x", "exit 3")["x"][0])
    name = minirun.name()
    done = minirun("create", "-b", hooked.write(), name, stderr=None, stdout=None, capture_output=False)
    assert done.returncode == 125
    assert "does not exist" in minirun("state", name).stderr
    titles = [title.split()[0] for title, _ in read_log(hooked)]
    assert titles.count(kind) == 1 and titles[-2:] == ["poststop", "poststop"]
    assert "startContainer" not in titles
    said = minirun.run(hooked).stderr
    assert f"/hooks/{kind}/1" in said and "exit code was 3" in said


@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
@pytest.mark.parametrize("verb", ["run", "start"])
def test_failure_at_start(minirun: Runtime, hooked: Bundle, clean_host: None, kind: str, verb: str) -> None:
    """Start fails, the container is stopped and destroyed, poststop runs (runtime-spec 1.3)."""
    hooked.config["hooks"][kind].insert(1, script("x", "exit 3")["x"][0])
    hooked.args("/probe", "pause")
    if verb == "run":
        done = minirun.run(hooked)
        name = minirun.used[-1]
    else:
        name = minirun.create(hooked)
        done = minirun("start", name)
    assert done.returncode == 125 and f"/hooks/{kind}/1" in done.stderr, done.stderr
    assert "does not exist" in minirun("state", name).stderr
    assert [title.split()[0] for title, _ in read_log(hooked)][-2:] == ["poststop", "poststop"]


def test_failure_of_poststop_is_a_warning(minirun: Runtime, hooked: Bundle, clean_host: None) -> None:
    hooked.config["hooks"]["poststop"].insert(1, script("x", "exit 3")["x"][0])
    done = minirun.run(hooked.args("/probe", "exit", "5"))
    assert done.returncode == 5
    assert len(warnings(done.stderr)) == 1 and "/hooks/poststop/1" in done.stderr
    assert [title for title, _ in read_log(hooked)][-1] == "poststop arg 2 value"


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer", "poststart"])
def test_timeout(minirun: Runtime, bundle: Bundle, clean_host: None, kind: str) -> None:
    bundle.config["hooks"] = script(kind, "exec sleep 30", timeout=1, env=["PATH=/bin:/usr/bin"])
    began = time.monotonic()
    done = minirun.run(bundle.args("/probe", "pause"))
    assert 0.9 < time.monotonic() - began < 5
    assert done.returncode == 125 and f"/hooks/{kind}/0" in done.stderr and "timeout" in done.stderr


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
def test_a_missing_hook(minirun: Runtime, bundle: Bundle, clean_host: None, kind: str) -> None:
    bundle.config["hooks"] = {kind: [{"path": "/no/such/hook"}]}
    done = minirun.run(bundle)
    assert done.returncode == 125 and "/no/such/hook" in done.stderr and f"/hooks/{kind}/0" in done.stderr


def test_a_hook_that_does_not_read_its_state(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {f"key{number}": "x" * 1000 for number in range(200)}
    for kind in KINDS:
        bundle.config["hooks"] = {kind: [{"path": "/bin/true"}]}
        assert minirun.run(bundle.args("/probe", "pid")).returncode == 0, kind


def test_a_large_state_arrives_whole(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """More than a pipe holds."""
    bundle.config["annotations"] = {f"key{number}": "x" * 1000 for number in range(200)}
    bundle.config["root"]["readonly"] = False
    for kind in KINDS:
        target = "/tmp/state" if kind == "startContainer" else f"{bundle.rootfs}/tmp/state"
        bundle.config["hooks"] = script(kind, f"cat > {target}", env=["PATH=/bin:/usr/bin"])
        assert minirun.run(bundle.args("/probe", "pid")).returncode == 0, kind
        document = json.loads((bundle.rootfs / "tmp/state").read_text())
        assert document["annotations"] == bundle.config["annotations"], kind


def test_hooks_have_no_descriptors_of_ours(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = False
    for kind in KINDS:
        target = "/tmp/fds" if kind == "startContainer" else f"{bundle.rootfs}/tmp/fds"
        bundle.config["hooks"] = script(kind, f"ls -l /proc/self/fd > {target}", env=["PATH=/bin:/usr/bin"])
        assert minirun.run(bundle.args("/probe", "pid")).returncode == 0, kind
        lines = (bundle.rootfs / "tmp/fds").read_text()
        assert not any(word in lines for word in ("minirun-plan", "minirun-init", "socket:", "anon_inode")), (
            f"{kind}: {lines}"
        )


def test_where_a_hook_runs(minirun: Runtime, bundle: Bundle) -> None:
    """On the host in the bundle; createContainer's in the rootfs, as under runc; startContainer's in /process/cwd."""
    bundle.config["root"]["readonly"] = False
    bundle.config["process"]["cwd"] = "/tmp"
    for kind in KINDS:
        target = "/where" if kind == "startContainer" else f"{bundle.rootfs}/where"
        bundle.config["hooks"] = script(kind, f"pwd > {target}", env=["PATH=/bin:/usr/bin"])
        assert minirun.run(bundle.args("/probe", "pid")).returncode == 0, kind
        expected = {"createContainer": str(bundle.rootfs), "startContainer": "/tmp"}.get(kind, str(bundle.path))
        assert (bundle.rootfs / "where").read_text().strip() == expected, kind


def test_a_hook_inside_has_the_programs_environment(minirun: Runtime, bundle: Bundle) -> None:
    """Unless it has its own, be it empty; as with runc."""
    bundle.config["root"]["readonly"] = False
    bundle.config["process"]["env"] = ["PATH=/bin", "ONE=two"]
    for more, expected in (({}, "two\n"), ({"env": []}, "\n"), ({"env": ["ONE=three"]}, "three\n")):
        bundle.config["hooks"] = script("startContainer", "echo $ONE > /one", **more)
        assert minirun.run(bundle.args("/probe", "pid")).returncode == 0
        assert (bundle.rootfs / "one").read_text() == expected


@pytest.mark.parametrize("kind", INSIDE)
def test_a_failed_hooks_words_come_out_of_the_terminal(minirun: Runtime, bundle: Bundle, kind: str) -> None:
    """Inside, a hook writes where the program would; with a terminal that is ours, we must show it."""
    bundle.config["process"]["terminal"] = True
    bundle.config["hooks"] = script(kind, "echo 'no such luck' >&2; exit 3", env=["PATH=/bin"])
    done = minirun.run(bundle.args("/probe", "pid"))
    assert done.returncode == 125 and "no such luck" in done.stdout, done


def test_what_the_hosts_hooks_print(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """crun's run.oci.hooks.stdout and .stderr: a file, appended to; a relative one is the bundle's."""
    printing = [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {word}; echo {word}! >&2"]} for word in ("one", "two")]
    bundle.config["hooks"] = {"createRuntime": printing, "poststart": printing[:1], "poststop": printing[1:]}
    bundle.config["annotations"] = {"run.oci.hooks.stdout": "out", "run.oci.hooks.stderr": str(tmp_path / "err")}
    (bundle.path / "out").write_text("before\n")
    done = minirun.run(bundle.args("/bin/true"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (bundle.path / "out").read_text().split() == ["before", "one", "two", "one", "two"]
    assert (tmp_path / "err").read_text().split() == ["one!", "two!", "one!", "two!"]
    assert (tmp_path / "err").stat().st_mode & 0o777 == 0o600


def test_no_place_for_what_hooks_print(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["hooks"] = script("createRuntime", "true")
    bundle.config["annotations"] = {"run.oci.hooks.stdout": "/nowhere/out"}
    done = minirun.run(bundle.args("/bin/true"))
    assert done.returncode == 125
    assert "cannot run createRuntime hook /bin/sh: /nowhere/out: No such file or directory" in done.stderr
