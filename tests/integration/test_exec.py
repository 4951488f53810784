"""exec: one more process; every option, strictly read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Json, Runtime, run
from tests.integration.seen import ask_in, mark, outside, status_of, wait_for

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture
def running(minirun: Runtime, bundle: Bundle) -> str:
    """A container whose first process waits; /tmp can be written."""
    bundle.config["root"]["readonly"] = False
    mark(bundle)
    return minirun.start(bundle.args("/probe", "pause"))


def cgroup_line(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("0::"))


def test_as_the_container_is(minirun: Runtime, running: str) -> None:
    """Namespaces, root, environment, user, capabilities, limits, cgroup: what config.json gave the first process."""
    pid = minirun.state(running)["pid"]
    seen = ask_in(
        minirun, running, "id", "cwd", "printenv HOME", "hostname", "nonewprivs", "ns", "cgroup", "caps", "rlimits"
    )
    assert seen[:5] == ["uid=0 gid=0 groups=", "/", "/root", "minirun", "1"]
    for line in seen[5].splitlines():
        kind, inode = line.split()
        if not kind.endswith("_for_children"):
            assert os.readlink(f"/proc/{pid}/ns/{kind}") == f"{kind}:[{inode}]"
    assert cgroup_line(seen[6]) == "0::/"
    own = status_of(outside(pid, "status"))
    caps = dict(line.split(":\t") for line in seen[7].splitlines())
    assert caps == {name: own[name] for name in caps}
    assert "RLIMIT_NOFILE 1024 1024" in seen[8].splitlines()
    found = ask_in(minirun, running, "pid", "sid", "pgid", "fds")
    assert found[0] == found[1] == found[2] != "1"
    assert [line.split()[0] for line in found[3].splitlines()] == ["0", "1", "2"]


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("true", 0)])
def test_exit_codes(minirun: Runtime, running: str, command: str, code: int) -> None:
    assert minirun("exec", running, "/bin/sh", "-c", command).returncode == code


def test_a_program_that_is_not_there(minirun: Runtime, running: str, bundle: Bundle) -> None:
    missing = minirun("exec", running, "/no/such")
    assert missing.returncode == 127 and "No such file" in missing.stderr
    assert minirun("exec", running, "nosuch").returncode == 127
    assert minirun("exec", running, "/etc/passwd").returncode == 126
    assert minirun("exec", running, "/etc").returncode == 126


def test_standard_streams(minirun: Runtime, running: str) -> None:
    done = minirun("exec", running, "/bin/sh", "-c", "cat; echo err >&2", stdin=None, input="typed\n")
    assert (done.stdout, done.stderr) == ("typed\n", "err\n")


def test_environment_and_cwd(minirun: Runtime, running: str) -> None:
    flags = ("--env", "A=1", "-e", "B=2 3", "--env=PATH=/bin", "-eA=4", "--cwd", "/tmp")
    seen = ask_in(minirun, running, "printenv", "cwd", flags=flags)
    assert seen[0].splitlines() == ["PATH=/bin", "TERM=xterm", "A=4", "B=2 3", "HOME=/root"]
    assert seen[1] == "/tmp"


@pytest.mark.parametrize("word", ["NOVALUE", "=x", ""])
def test_bad_environment(minirun: Runtime, running: str, word: str) -> None:
    assert minirun("exec", "--env", word, running, "/probe", "pid").returncode in (2, 125)


def test_a_cwd_that_is_not_there(minirun: Runtime, running: str) -> None:
    done = minirun("exec", "--cwd", "/no/such", running, "/probe", "pid")
    assert done.returncode in (125, 126, 127) and "/no/such" in done.stderr
    assert minirun("exec", "--cwd", "relative", running, "/probe", "pid").returncode == 125


USERS = {
    "1000": "uid=1000 gid=0 groups=", "1000:1000": "uid=1000 gid=1000 groups=", "0:5": "uid=0 gid=5 groups=",
    "4294967294:4294967294": "uid=4294967294 gid=4294967294 groups=",
}  # fmt: skip


@pytest.mark.parametrize("user", USERS)
def test_user(minirun: Runtime, running: str, user: str) -> None:
    assert ask_in(minirun, running, "id", flags=("--user", user)) == [USERS[user]]


@pytest.mark.parametrize(
    "user",
    ["0x10", "1000:", ":1000", "-1", "1000:1000:1", "4294967295", "99999999999", " 5", "5 ", "root", "1e3", "+5", "٣"],
)
def test_users_are_read_strictly(minirun: Runtime, running: str, user: str) -> None:
    """A lenient reading ran programs as root (CVE-2026-30892)."""
    done = minirun("exec", f"--user={user}", running, "/probe", "id")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr


def test_an_empty_user_is_refused(minirun: Runtime, running: str) -> None:
    done = minirun("exec", "--user", "", running, "/probe", "id")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr


def test_additional_groups(minirun: Runtime, running: str) -> None:
    flags = ("-u", "1:2", "--additional-gids", "7", "-g", "3")
    assert ask_in(minirun, running, "id", flags=flags) == ["uid=1 gid=2 groups=3,7"]
    assert minirun("exec", "-g", "x", running, "/probe", "id").returncode == 2


def test_capabilities(minirun: Runtime, running: str) -> None:
    """Added to bounding, effective, permitted; never to inheritable (CVE-2022-29162)."""
    (text,) = ask_in(minirun, running, "caps", flags=("--cap", "CAP_NET_RAW", "-c", "CAP_CHOWN"))
    caps = dict(line.split(":\t") for line in text.splitlines())
    assert int(caps["CapEff"], 16) == int(caps["CapBnd"], 16) == 1 << 29 | 1 << 5 | 1 << 10 | 1 << 13 | 1
    assert int(caps["CapInh"], 16) == int(caps["CapAmb"], 16) == 0


@pytest.mark.parametrize("given", [True, False])
def test_no_new_privileges(minirun: Runtime, bundle: Bundle, given: bool) -> None:
    bundle.config["process"]["noNewPrivileges"] = False
    mark(bundle)
    name = minirun.start(bundle.args("/probe", "pause"))
    assert ask_in(minirun, name, "nonewprivs", flags=("--no-new-privs",) if given else ()) == [str(int(given))]


@pytest.fixture
def document(bundle: Bundle) -> Callable[[Json], Path]:
    """A process document as containerd and podman write it."""

    def write(process: Json) -> Path:
        path = bundle.path / "process.json"
        path.write_text(json.dumps(process))
        return path

    return write


def test_process_file(minirun: Runtime, running: str, document: Callable[[Json], Path]) -> None:
    """The whole process comes from it; nothing of config.json's."""
    asked = "id -- printenv -- cwd -- umask -- caps -- nonewprivs -- oomscore"
    process: Json = {
        "args": ["/probe", *asked.split()], "cwd": "/tmp", "env": ["X=1"], "oomScoreAdj": 77, "terminal": False,
        "user": {"uid": 5, "gid": 6, "additionalGids": [7], "umask": 63},
        "capabilities": {"bounding": ["CAP_KILL"]}, "apparmorProfile": "",
    }  # fmt: skip
    path = document(process)
    for form in (("--process", str(path)), (f"--process={path}",), ("-p", str(path))):
        lines = minirun("exec", *form, running).stdout.splitlines()
        assert lines[:5] == ["uid=5 gid=6 groups=7", "X=1", "HOME=/", "/tmp", "0077"]
        assert "CapBnd:\t0000000000000020" in lines and lines[-2:] == ["0", "77"]


def test_bad_process_files(minirun: Runtime, running: str, document: Callable[[Json], Path]) -> None:
    for process in (
        {"args": [], "cwd": "/"},
        {"args": ["x"], "cwd": "tmp"},
        {"args": [1], "cwd": "/"},
        {"args": ["x"]},
    ):
        done = minirun("exec", "--process", document(process), running)
        assert (done.returncode == 125 and "/process" in done.stderr) or "/args" in done.stderr, done.stderr
    assert minirun("exec", "--process", "/no/such", running).returncode == 125
    assert minirun("exec", "--process", document({}), running, "/probe", "pid").returncode == 2
    assert minirun("exec", running).returncode == 2


@pytest.mark.parametrize("flag", ["--detach", "-d"])
def test_detach_with_pid_file(minirun: Runtime, running: str, bundle: Bundle, flag: str) -> None:
    file = bundle.path / "x.pid"
    with open(bundle.path / "exec-out", "wb") as out:
        words = ("exec", flag, "--pid-file", file, running, "/bin/sh", "-c", "echo $$; exec /bin/sleep 30")
        done = minirun(*words, capture_output=False, stdout=out, stderr=out)
    assert done.returncode == 0
    pid = int(file.read_text())
    inside = status_of(outside(pid, "status"))["NSpid"].split()
    wait_for(lambda: (bundle.path / "exec-out").read_text())
    assert inside == [str(pid), (bundle.path / "exec-out").read_text().strip()]
    assert pid in json.loads(minirun("ps", "-f", "json", running).stdout)


def test_sub_cgroup(minirun: Runtime, running: str) -> None:
    pid = minirun.state(running)["pid"]
    from minirun.facts import find_cgroup_root

    below = Path(find_cgroup_root() + "/minirun/" + running + "/inner")
    below.mkdir()
    for form in ("inner", "/inner", "pids:/inner"):
        assert cgroup_line(ask_in(minirun, running, "cgroup", flags=("--cgroup", form))[0]) == "0::/inner"
    assert minirun("exec", "--cgroup", "../x", running, "/probe", "pid").returncode == 2
    assert minirun("exec", "--cgroup", "missing", running, "/probe", "pid").returncode == 125
    assert cgroup_line(outside(pid, "cgroup")).endswith(running)


def test_preserve_fds(minirun: Runtime, running: str, bundle: Bundle) -> None:
    """Descriptor 3 is opened by a shell: in here it belongs to pytest."""
    words = f"{MINIRUN} --root {minirun.root} exec --preserve-fds 1 {running} /probe fds"
    done = run("sh", "-c", f"exec 3>{bundle.path}/given; {words}")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["0", "1", "2", "3"]


def test_words_after_the_command_are_its_own(minirun: Runtime, running: str) -> None:
    assert minirun("exec", running, "/probe", "args", "--env", "-t", "--").stdout == "--env\n-t\n--\n"
    assert minirun("exec", "--", running, "/probe", "args", "-x").stdout == "-x\n"
    assert minirun("exec", running, "--", "/probe", "args", "-x").stdout == "-x\n"


@pytest.mark.parametrize(
    ("flag", "pointer", "module"),
    [
        ("--process-label=x", "/process/selinuxLabel", "SELinux"),
        ("--apparmor=minirun-none", "/process/apparmorProfile", "AppArmor"),
    ],
)
def test_a_label_that_cannot_be_given(minirun: Runtime, running: str, flag: str, pointer: str, module: str) -> None:
    """Without the module; or with it, but without such a label."""
    done = minirun("exec", flag, running, "/probe", "pid")
    assert done.returncode == 125 and f"  config   {pointer} in " in done.stderr
    assert f"{module} is not in force on this host" in done.stderr or "-> E" in done.stderr


def test_in_created(minirun: Runtime, bundle: Bundle) -> None:
    """runc allows it: the namespaces are there."""
    mark(bundle)
    name = minirun.create(bundle)
    assert ask_in(minirun, name, "pid", "ls /proc")[0] == "2"


def test_ignore_paused(minirun: Runtime, running: str, bundle: Bundle) -> None:
    """It goes in, and runs when the container is resumed."""
    minirun("pause", running)
    words = ("exec", "--ignore-paused", "--detach", running, "/probe", "write", "/tmp/ran", "x")
    import subprocess

    with subprocess.Popen([str(minirun.program), "--root", str(minirun.root), *words]) as process:
        assert minirun("resume", running).returncode == 0
        assert process.wait(10) == 0
    wait_for(lambda: (bundle.rootfs / "tmp/ran").exists())
