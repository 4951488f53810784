"""create, start, state, kill, delete: the state machine, and what each verb refuses."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.seen import outside, wait_for

pytestmark = pytest.mark.needs("root", "busybox")


def test_states(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """created, running, stopped, gone: with the members that runtime.md (State) asks for."""
    name = minirun.create(bundle.args("/probe", "pause"))
    created = minirun.state(name)
    assert created["status"] == "created"
    assert set(created) >= {"ociVersion", "id", "status", "pid", "bundle", "rootfs", "created"}
    assert (created["id"], created["bundle"], created["rootfs"]) == (name, str(bundle.path), str(bundle.rootfs))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", created["created"])
    assert os.path.exists(f"/proc/{created['pid']}")
    assert minirun("start", name).returncode == 0
    running = minirun.state(name)
    assert (running["status"], running["pid"]) == ("running", created["pid"])
    assert outside(running["pid"], "cmdline") == "/probe\0pause\0"
    assert minirun("kill", name).returncode == 0, "TERM is the default; the probe ends by it"
    wait_for(lambda: minirun.state(name)["status"] == "stopped")
    assert minirun.state(name)["pid"] == 0
    assert minirun("delete", name).returncode == 0
    assert "does not exist" in minirun("state", name).stderr


def test_the_waiting_process_is_small_and_hidden(minirun: Runtime, bundle: Bundle) -> None:
    """No memory to speak of, and not the host's program."""
    pid = minirun.state(minirun.create(bundle))["pid"]
    exe = os.readlink(f"/proc/{pid}/exe")
    assert exe.startswith("/memfd:minirun-init")
    rollup = outside(pid, "smaps_rollup")
    pss = int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
    assert pss < 1000


def test_config_changes_after_create_have_no_effect(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.create(bundle.args("/probe", "cwd"))
    (bundle.path / "config.json").write_text("{}")
    assert minirun("start", name).returncode == 0
    wait_for(lambda: minirun.state(name)["status"] == "stopped")
    assert (bundle.path / "out").read_text() == "/\n"


def test_the_bundle_may_go(minirun: Runtime, bundle: Bundle) -> None:
    """start, exec and delete live from what create kept."""
    name = minirun.create(bundle.args("/probe", "pause"))
    (bundle.path / "config.json").unlink()
    assert minirun("start", name).returncode == 0
    assert minirun("exec", name, "/probe", "pid").stdout == "2\n"
    assert minirun("delete", "--force", name).returncode == 0


def test_an_id_is_free_again_after_delete(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.create(bundle)
    again = minirun("create", "-b", bundle.path, name)
    assert again.returncode == 125 and "exists" in again.stderr
    assert minirun.state(name)["status"] == "created", "the first one is as it was"
    minirun("delete", "--force", name)
    with open(bundle.path / "out", "wb") as out:
        done = minirun("create", "-b", bundle.path, name, capture_output=False, stdout=out, stderr=out)
    assert done.returncode == 0


def test_a_created_container_is_deleted_without_force(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """As by runc and crun (the specification would have an error): nothing of the user's has run yet."""
    name = minirun.create(bundle.args("/probe", "pause"))
    assert minirun("delete", name).returncode == 0
    assert "does not exist" in minirun("state", name).stderr


def test_a_regular_expression_names_several(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    names = [minirun.start(bundle.args("/probe", "pause")) for _ in range(3)]
    refused = minirun("delete", "--regex", "^t-")
    assert refused.returncode == 125 and "it is running" in refused.stderr
    assert minirun("kill", "--regex", f"^({names[0]}|{names[1]})$", "KILL").returncode == 0
    wait_for(lambda: minirun.state(names[1])["status"] == "stopped")
    assert minirun.state(names[2])["status"] == "running"
    assert minirun("delete", "--force", "--regex", "^t-[0-9a-f]+$").returncode == 0
    assert minirun("list", "-q").stdout == ""
    bad = minirun("delete", "--regex", "*")
    assert bad.returncode == 2 and "not a regular expression" in bad.stderr


def test_signal_0_asks(minirun: Runtime, bundle: Bundle) -> None:
    """kill(2): whether it could be sent; to the cgroup of a container that has stopped as well."""
    name = minirun.start(bundle.args("/probe", "pause"))
    assert minirun("kill", name, "0").returncode == 0
    assert minirun.state(name)["status"] == "running"
    minirun("kill", name, "KILL")
    wait_for(lambda: minirun.state(name)["status"] == "stopped")
    assert minirun("kill", "--all", name, "0").returncode == 0
    assert minirun("kill", name, "0").returncode == 125


def test_what_is_refused_in_running(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.start(bundle.args("/probe", "pause"))
    twice = minirun("start", name)
    assert twice.returncode == 125 and "running, not created" in twice.stderr
    done = minirun("delete", name)
    assert done.returncode == 125 and "running" in done.stderr
    assert minirun.state(name)["status"] == "running"


def test_what_is_refused_in_stopped(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.start(bundle.args("/probe", "pid"))
    wait_for(lambda: minirun.state(name)["status"] == "stopped")
    for words in (("start", name), ("exec", name, "/probe", "pid"), ("pause", name), ("resume", name)):
        assert minirun(*words).returncode == 125, words
    killed = minirun("kill", name, "TERM")
    assert killed.returncode == 125 and "container not running" in killed.stderr
    assert minirun("kill", "--all", name, "KILL").returncode == 0, "what is left may be killed"


@pytest.mark.parametrize("verb", ["state", "start", "kill", "delete", "pause", "resume", "ps", "events"])
def test_a_container_that_is_not_there(minirun: Runtime, verb: str) -> None:
    done = minirun(verb, "nobody")
    assert done.returncode == 125 and "container nobody does not exist" in done.stderr


def test_force_is_content_with_nothing(minirun: Runtime) -> None:
    assert minirun("delete", "--force", "nobody").returncode == 0
    assert minirun("delete", "-f", "nobody").returncode == 0


def test_force_ends_everything(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Children too, and those that ignore TERM; quickly."""
    script = "trap '' TERM; /bin/sleep 100 & /bin/sleep 100 & exec /bin/sleep 100"
    name = minirun.start(bundle.args("/bin/sh", "-c", script))
    wait_for(lambda: len(minirun("ps", "-f", "json", name).stdout.split(",")) == 3)
    began = time.monotonic()
    assert minirun("delete", "--force", name).returncode == 0
    assert time.monotonic() - began < 2


SIGNALS = {
    "TERM": "SIGTERM", "SIGUSR1": "SIGUSR1", "usr2": "SIGUSR2", "sighup": "SIGHUP", "10": "SIGUSR1",
    "RTMIN": "SIGRTMIN+0",    "SIGRTMIN+1": "SIGRTMIN+1", "rtmin+15": "SIGRTMIN+15", "35": "SIGRTMIN+1",
}  # fmt: skip


def test_signals(minirun: Runtime, bundle: Bundle) -> None:
    """By every spelling, as pid 1 of the container sees them."""
    name = minirun.start(bundle.args("/probe", "trap"))
    log = bundle.path / "out"
    wait_for(lambda: "ready" in log.read_text())
    seen = 1
    for word in [*SIGNALS][1:]:
        assert minirun("kill", name, word).returncode == 0, word
        seen += 1
        wait_for(lambda: len(log.read_text().splitlines()) == seen)  # noqa: B023
    words = [line.split()[0] for line in log.read_text().splitlines()[1:]]
    assert words == [*SIGNALS.values()][1:]
    assert minirun("kill", name, "TERM").returncode == 0
    wait_for(lambda: minirun.state(name)["status"] == "stopped")


@pytest.mark.parametrize("word", ["NOPE", "000", "65", "-1", "SIG", "RTMIN+99", "1x", "", "TERM+1"])
def test_no_signals(minirun: Runtime, bundle: Bundle, word: str) -> None:
    name = minirun.start(bundle.args("/probe", "pause"))
    done = minirun("kill", name, "--", word) if word.startswith("-") else minirun("kill", name, word)
    assert done.returncode == 2, done.stderr
    assert minirun.state(name)["status"] == "running"


@pytest.mark.parametrize("flag", ["--all", "-a"])
def test_kill_all(minirun: Runtime, bundle: Bundle, flag: str) -> None:
    """Every process; the signal itself, and KILL through cgroup.kill."""
    script = "/bin/sleep 100 & echo $!; /bin/sleep 100 & wait; /bin/sleep 100"
    name = minirun.start(bundle.args("/bin/sh", "-c", script))
    wait_for(lambda: len(minirun("ps", "-f", "json", name).stdout.split(",")) == 3)
    assert minirun("kill", flag, name, "USR1").returncode == 0
    wait_for(lambda: len(minirun("ps", "-f", "json", name).stdout.split(",")) < 3)
    assert minirun("kill", flag, name, "KILL").returncode == 0
    wait_for(lambda: minirun.state(name)["status"] == "stopped")


def test_kill_in_created(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    name = minirun.create(bundle)
    assert minirun("kill", name, "KILL").returncode == 0
    wait_for(lambda: minirun.state(name)["status"] == "stopped")
    assert minirun("start", name).returncode == 125
    assert minirun("delete", name).returncode == 0


def test_without_a_pid_namespace_everything_ends_all_the_same(
    minirun: Runtime, bundle: Bundle, clean_host: None, tmp_path: Path
) -> None:
    """There the kernel does not end the children with the first process; the cgroup does."""
    spaces = bundle.config["linux"]["namespaces"]
    bundle.config["linux"]["namespaces"] = [space for space in spaces if space["type"] != "pid"]
    script = "/bin/sleep 100 </dev/null >/dev/null 2>&1 & echo $!"
    done = minirun.run(bundle.args("/bin/sh", "-c", script))
    assert done.returncode == 0, done.stderr
    assert not os.path.exists(f"/proc/{done.stdout.strip()}/exe")


def test_kill_without_a_pid_namespace_ends_everything(minirun: Runtime, bundle: Bundle) -> None:
    """As with runc: no kernel ends the others when init goes; and what is left of them can be killed still."""
    bundle.config["linux"]["namespaces"] = [n for n in bundle.config["linux"]["namespaces"] if n["type"] != "pid"]
    name = minirun.start(bundle.args("/bin/sh", "-c", "/bin/sleep 100 & /bin/sleep 100 & wait"))
    wait_for(lambda: len(minirun("ps", "-f", "json", name).stdout.split(",")) == 3)
    assert minirun("kill", name, "KILL").returncode == 0
    wait_for(lambda: minirun("ps", "-f", "json", name).stdout.strip() in ("[]", "null"))
    wait_for(lambda: minirun.state(name)["status"] == "stopped")
    assert minirun("kill", name, "KILL").returncode == 0
