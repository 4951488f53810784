"""One suite for every isolation: the same bundle, the same verbs, the same answers.

``container`` runs here; ``vm`` needs a kernel for guests (``make guest-kernel``) and a KVM that can run it, as the lab
has.  What only a machine has is in test_machines.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.integration.seen import ask, wait_for
from tests.vm.both import PATIENCE, Isolated

pytestmark = pytest.mark.needs("root", "busybox", "compiler")
# -- a program and its end -----------------------------------------------------------------------------------------


def test_what_a_program_sees(isolated: Isolated, bundle: Bundle) -> None:
    """User, groups, umask, capabilities, limits, environment, host name, working directory, mounts: as asked."""
    (bundle.path / "data").mkdir()
    (bundle.path / "data" / "file").write_text("from outside")
    (bundle.path / "one").write_text("a file alone")
    (bundle.rootfs / "tmp" / "own").touch()
    for path in (bundle.path / "data" / "file", bundle.rootfs / "tmp" / "own"):
        os.chown(path, 1000, 1000)
    config = bundle.config
    config["hostname"] = "both"
    config["root"]["readonly"] = True
    config["mounts"] += [
        {"destination": "/data", "source": "data", "type": "bind", "options": ["rbind"]},
        {"destination": "/read/only", "source": str(bundle.path / "data"), "options": ["bind", "ro"]},
        {"destination": "/etc/one", "source": "one", "options": ["bind"]},
    ]
    config["linux"]["maskedPaths"] = ["/proc/kcore", "/etc/group"]
    config["linux"]["readonlyPaths"] = ["/proc/sys"]
    config["process"].update(
        user={"uid": 1000, "gid": 1000, "additionalGids": [5, 10], "umask": 0o27}, cwd="/tmp",
        env=["PATH=/bin", "GREETING=a b"], noNewPrivileges=True, oomScoreAdj=17,
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
        capabilities={name: ["CAP_KILL", "CAP_CHOWN"] for name in ("bounding", "permitted", "inheritable")},
    )  # fmt: skip
    seen = ask(
        isolated, bundle, "id", "umask", "cwd", "hostname", "pid", "printenv GREETING", "printenv HOME", "nonewprivs",
        "oomscore", "stat /dev/null", "devnull-check", "openrw /tmp/own", "cat /data/file", "openrw /read/only/file",
        "cat /etc/one", "openrw /proc/sys/kernel/hostname", "stat /etc/group", "caps", "rlimits",
    )  # fmt: skip
    assert seen[:15] == [
        "uid=1000 gid=1000 groups=5,10", "0027", "/tmp", "both", "1", "a b", "/home/guest", "1", "17",
        "char 0666 0 0 1:3 0", "ok", "EROFS", "from outside", "EROFS", "a file alone",
    ]  # fmt: skip
    assert seen[15] in ("EROFS", "EACCES") and seen[16].startswith("char 0666 0 0 1:3")
    assert "CapBnd:\t0000000000000021" in seen[17] and "CapEff:\t0000000000000000" in seen[17]
    assert "RLIMIT_NOFILE 100 200" in seen[18]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("/bin/sh", "-c", "exit 7"), 7),
        (("/bin/sh", "-c", "(kill -SEGV $$) ; sleep 0"), 0),
        (("/nope",), 127),
        (("/etc/passwd",), 126),
    ],
)
def test_the_end_is_the_program_s(isolated: Isolated, bundle: Bundle, words: tuple[str, ...], code: int) -> None:
    done = isolated.run(bundle.args(*words))
    assert done.returncode == code
    if code in (126, 127):
        reason = "No such file or directory" if code == 127 else "Permission denied"
        assert f"cannot find {words[0]}: {reason}" in done.stderr
        assert "/process/args/0" in done.stderr


def test_streams_are_kept_apart_and_whole(isolated: Isolated, bundle: Bundle) -> None:
    """Standard input to its end, both outputs, binary, and more than any buffer holds."""
    data = os.urandom(1 << 20)
    bundle.args("/bin/sh", "-c", "cat; echo err >&2").write()
    done = subprocess.run(
        isolated.words("run", "-b", bundle.path, isolated.name()), input=data, capture_output=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, b"err\n")
    assert done.stdout == data


def test_written_files_are_the_host_s(isolated: Isolated, bundle: Bundle) -> None:
    """With the owner and mode that the program gave them."""
    bundle.config["root"]["readonly"] = False
    isolated.output(bundle, "/probe", "write", "/tmp/new", "text")
    assert (bundle.rootfs / "tmp" / "new").read_text() == "text"
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    isolated.output(bundle, "/probe", "write", "/tmp/other", "more")
    found = (bundle.rootfs / "tmp" / "other").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1000, 1000, 0o644)


def test_pids_limit(isolated: Isolated, bundle: Bundle) -> None:
    bundle.config["linux"]["resources"]["pids"] = {"limit": 3}
    if isolated.isolation != "vm" and not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("no pids controller in cgroup v2 here")
    done = isolated.run(bundle.args("/bin/sh", "-c", "sleep 1 & sleep 1 & sleep 1 & sleep 1 & wait"))
    assert "can't fork" in done.stderr


def test_memory_limit_kills(isolated: Isolated, bundle: Bundle) -> None:
    bundle.config["linux"]["resources"]["memory"] = {"limit": 32 << 20}
    if isolated.isolation != "vm" and not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("no memory controller in cgroup v2 here")
    assert isolated.run(bundle.args("/probe", "memhog", str(64 << 20))).returncode == 137


def test_hooks(isolated: Isolated, bundle: Bundle) -> None:
    """On the host with the state on standard input; inside before the program; after the end."""
    bundle.config["root"]["readonly"] = False
    log = bundle.path / "log"
    script = bundle.path / "hook"
    script.write_text(f"#!/bin/sh\nprintf '%s ' $1 >> {log}\ncat >> {log}\necho >> {log}\n")
    script.chmod(0o755)
    bundle.config["hooks"] = {
        name: [{"path": str(script), "args": ["hook", name]}] for name in ("createRuntime", "poststart", "poststop")
    }
    bundle.config["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/state"]}]
    isolated.output(bundle, "/bin/sh", "-c", "cat /tmp/state")
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == ["createRuntime", "poststart", "poststop"]
    states = [json.loads(line[1]) for line in lines]
    assert [state["status"] for state in states] == ["creating", "running", "stopped"]
    assert states[0]["pid"] > 0


# -- a life in steps -----------------------------------------------------------------------------------------------


def test_a_life_in_steps(isolated: Isolated, bundle: Bundle) -> None:
    name = isolated.create(bundle.args("/bin/sh", "-c", "echo started; exec sleep 1000"))
    assert isolated.state(name)["status"] == "created"
    assert not (bundle.path / "out").read_text()
    assert isolated("start", name).returncode == 0
    wait_for(lambda: (bundle.path / "out").read_text() == "started\n", 20)
    assert isolated.state(name)["status"] == "running"
    done = isolated("exec", name, "/bin/sh", "-c", "cat; echo $0; exit 3", "zero", input="typed\n", stdin=None)
    assert (done.returncode, done.stdout) == (3, "typed\nzero\n")
    done = isolated(
        "exec",
        "--user",
        "1000:1000",
        "--cwd",
        "/tmp",
        "-e",
        "A=b",
        name,
        "/probe",
        *["id", "--", "cwd", "--", "printenv", "A"],
    )
    assert done.stdout == "uid=1000 gid=1000 groups=\n/tmp\nb\n"
    done = isolated("exec", name, "/nope")
    assert done.returncode == 127 and "cannot find /nope: No such file or directory" in done.stderr
    assert isolated("pause", name).returncode == 0
    assert isolated.state(name)["status"] == "paused"
    assert isolated("resume", name).returncode == 0
    assert isolated("exec", name, "/bin/true").returncode == 0
    assert isolated("kill", name, "KILL").returncode == 0
    wait_for(lambda: isolated.state(name)["status"] == "stopped", 20)
    assert isolated("delete", name).returncode == 0
    assert isolated("state", name).returncode != 0


def test_a_start_that_fails(isolated: Isolated, bundle: Bundle) -> None:
    """What init says after the gate was opened, by another process than it was created by."""
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}
    name = isolated.create(bundle.args("/bin/true"))
    done = isolated("start", name)
    assert done.returncode == 125
    assert "cannot run startContainer hook /bin/false" in done.stderr and "/hooks/startContainer/0" in done.stderr
    assert isolated("state", name).returncode != 0, "a failed hook ends the container altogether"


def test_trace(isolated: Isolated, bundle: Bundle) -> None:
    """Every step of init's has its time, wherever init is."""
    done = isolated.run(bundle.args("/bin/true"), "--trace")
    assert done.returncode == 0
    timed = [
        line for line in (done.stdout + done.stderr).splitlines() if " us " in line or " ms " in line or "µs" in line
    ]
    assert any("pivot into the rootfs" in line for line in timed)


def test_signals_reach_the_program(isolated: Isolated, running: str) -> None:
    """Which may catch them: its end is its own."""
    assert isolated("kill", running, "TERM").returncode == 0
    wait_for(lambda: isolated.state(running)["status"] == "stopped", 20)


def test_run_passes_signals_on(isolated: Isolated, bundle: Bundle) -> None:
    bundle.args("/bin/sh", "-c", "trap 'echo caught; exit 9' TERM; echo ready; while true; do sleep 0.1; done").write()
    argv = isolated.words("run", "-b", bundle.path, isolated.name())
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "caught\n"
        assert process.wait(PATIENCE) == 9


def test_nobody_outlives_the_first_process(isolated: Isolated, bundle: Bundle) -> None:
    name = isolated.start(bundle.args("/bin/sh", "-c", "sleep 1000 & sleep 1000 & exec sleep 1000"))
    with subprocess.Popen(isolated.words("exec", name, "/bin/sleep", "1000")) as visitor:
        time.sleep(1)
        assert visitor.poll() is None
        isolated("kill", name, "KILL")
        assert visitor.wait(PATIENCE) == 137
    wait_for(lambda: isolated.state(name)["status"] == "stopped", 20)


def test_the_runtime_s_death_is_not_the_container_s(isolated: Isolated, bundle: Bundle) -> None:
    """kill -9 of the minirun that waits: the container goes on; of its process: state tells, delete cleans."""
    bundle.args("/bin/sh", "-c", "echo up; exec sleep 1000").write()
    name = isolated.name()
    argv = isolated.words("run", "-b", bundle.path, name)
    with open(bundle.path / "out", "wb") as out, subprocess.Popen(argv, stdout=out) as process:
        wait_for(lambda: (bundle.path / "out").read_text() == "up\n", PATIENCE)
        process.kill()
    assert isolated.state(name)["status"] == "running"
    assert isolated("exec", name, "/bin/true").returncode == 0
    os.kill(isolated.state(name)["pid"], signal.SIGKILL)
    wait_for(lambda: isolated.state(name)["status"] == "stopped", 20)
    assert isolated("delete", "--force", name).returncode == 0
