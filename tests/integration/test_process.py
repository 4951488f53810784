"""/process: what the program is given, seen by the program itself and, while it waits, from the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Runtime, run
from tests.integration.seen import ask, outside, status_of, warnings

pytestmark = pytest.mark.needs("root", "busybox")

ALL_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def bits(*numbers: int) -> str:
    return f"{sum(1 << number for number in numbers):016x}"


def test_args_arrive_as_they_are(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    words = ["a b", "", "ü", "--", "-x", 'quote"', "$HOME"]
    assert minirun.output(bundle, "/probe", "args", *words).splitlines() == words


def test_a_program_is_searched_in_path(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["env"] = ["PATH=/nowhere:/bin"]
    assert minirun.output(bundle, "echo", "found") == "found\n"
    bundle.config["process"]["env"] = []
    assert minirun.output(bundle, "echo", "by default") == "by default\n"


def test_a_relative_program_starts_in_cwd(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["cwd"] = "/bin"
    assert minirun.output(bundle, "./echo", "here") == "here\n"


def test_environment(minirun: Runtime, bundle: Bundle) -> None:
    """In the order given; of a name given twice the last value; nothing of the caller's."""
    bundle.config["process"]["env"] = ["A=1", "PATH=/bin", "B=", "A=2=3", "C=ü x"]
    (text,) = ask(minirun, bundle, "printenv")
    assert text.splitlines() == ["A=2=3", "PATH=/bin", "B=", "C=ü x", "HOME=/root"]


@pytest.mark.parametrize(
    ("uid", "env", "home"), [(0, [], "/root"), (1000, [], "/home/guest"), (4711, [], "/"), (1000, ["HOME=/x"], "/x")]
)
def test_home(minirun: Runtime, bundle: Bundle, uid: int, env: list[str], home: str) -> None:
    """From the container's /etc/passwd, unless it is given."""
    bundle.config["process"]["user"] = {"uid": uid, "gid": 0}
    bundle.config["process"]["env"] = env
    assert ask(minirun, bundle, "printenv HOME") == [home]


@pytest.mark.needs("seccomp")
def test_home_under_a_filter(minirun: Runtime, bundle: Bundle) -> None:
    """The program is looked at before the filter is loaded: what is found out then must not come over HOME."""
    bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    assert ask(minirun, bundle, "printenv HOME") == ["/root"]


def test_cwd_is_made(minirun: Runtime, bundle: Bundle) -> None:
    """As runc and crun do; even below a root that will be read-only."""
    bundle.config["process"]["cwd"] = "/made/by/us"
    there, made = ask(minirun, bundle, "cwd", "stat /made/by/us")
    assert there == "/made/by/us" and made.startswith("dir 0755 0 0 0:0 ")
    assert (bundle.rootfs / "made/by/us").is_dir()


def test_cwd_that_only_root_may_enter(minirun: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "closed").mkdir(mode=0o700)
    bundle.config["process"].update(cwd="/closed", user={"uid": 1000, "gid": 1000})
    assert ask(minirun, bundle, "cwd", "id") == ["/closed", "uid=1000 gid=1000 groups="]


def test_user(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [10, 5], "umask": 0o027}
    bundle.config["root"]["readonly"] = False
    seen = ask(minirun, bundle, "id", "umask", "write /tmp/new x")
    assert seen[:2] == ["uid=1000 gid=1001 groups=5,10", "0027"]
    made = (bundle.rootfs / "tmp/new").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o7777) == (1000, 1001, 0o640)


def test_default_umask(minirun: Runtime, bundle: Bundle) -> None:
    assert ask(minirun, bundle, "umask", "id") == ["0022", "uid=0 gid=0 groups="]


def test_the_waiting_process_has_its_rights_already(minirun: Runtime, bundle: Bundle) -> None:
    """From outside, before exec: all five sets exactly, ids, no_new_privs, limits."""
    names = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
        "inheritable": ["CAP_CHOWN", "CAP_SETUID"],
        "ambient": ["CAP_CHOWN"],
    }
    bundle.config["process"].update(capabilities=names, user={"uid": 7, "gid": 8, "additionalGids": [9]})
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    seen = status_of(outside(minirun.state(name := minirun.create(bundle))["pid"], "status"))
    sets = {line: seen[line] for line in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")}
    assert sets == {
        "CapBnd": bits(0, 5, 7, 13), "CapPrm": bits(0, 5, 7), "CapEff": bits(0, 5), "CapInh": bits(0, 7),
        "CapAmb": bits(0),
    }  # fmt: skip
    assert (seen["Uid"], seen["Gid"], seen["Groups"], seen["NoNewPrivs"]) == ("7 7 7 7", "8 8 8 8", "9", "1")
    limits = [line.split() for line in outside(minirun.state(name)["pid"], "limits").splitlines()]
    assert ["Max", "open", "files", "100", "200", "files"] in limits


def test_capabilities_of_root(minirun: Runtime, bundle: Bundle) -> None:
    """After exec by root: permitted is bounding and inheritable (capabilities(7))."""
    names = dict.fromkeys(("bounding", "permitted", "effective"), ["CAP_KILL", "CAP_CHOWN"])
    bundle.config["process"]["capabilities"] = names
    (text,) = ask(minirun, bundle, "caps")
    lines = dict(line.split(":\t") for line in text.splitlines())
    expected = {"CapInh": bits(), "CapPrm": bits(0, 5), "CapEff": bits(0, 5), "CapBnd": bits(0, 5), "CapAmb": bits()}
    assert lines == expected


def test_ambient_capabilities_pass_to_a_user(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"].update(
        capabilities=dict.fromkeys(ALL_SETS, ["CAP_NET_BIND_SERVICE"]), user={"uid": 1000, "gid": 1000}
    )
    (text,) = ask(minirun, bundle, "caps")
    assert {line.split(":\t")[1] for line in text.splitlines()} == {bits(10)}


def test_no_capabilities_at_all(minirun: Runtime, bundle: Bundle) -> None:
    del bundle.config["process"]["capabilities"]
    (text,) = ask(minirun, bundle, "caps")
    assert {line.split(":\t")[1] for line in text.splitlines()} == {bits()}


def test_an_unknown_capability_is_a_warning(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["capabilities"]["bounding"].append("CAP_FLY")
    done = minirun.run(bundle.args("/probe", "pid"))
    assert (done.returncode, done.stdout) == (0, "1\n")
    assert warnings(done.stderr) == ["/process/capabilities/bounding/3: CAP_FLY is not a capability of Linux, ignored"]


def test_a_capability_that_cannot_be_granted_is_a_warning(minirun: Runtime, bundle: Bundle) -> None:
    """The runtime itself runs without it; config.md, process.capabilities."""
    bundle.config["process"]["capabilities"] = dict.fromkeys(ALL_SETS, ["CAP_KILL", "CAP_SYS_TIME"])
    bundle.args("/probe", "caps")
    words = ("--root", minirun.root, "run", "-b", bundle.write(), minirun.name())
    done = run("setpriv", "--bounding-set=-sys_time", MINIRUN, *words)
    assert done.returncode == 0, done.stderr
    assert {line.split(":\t")[1] for line in done.stdout.splitlines()} == {bits(5)}
    assert warnings(done.stderr) and all("CAP_SYS_TIME" in line for line in warnings(done.stderr)), done.stderr


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges(minirun: Runtime, bundle: Bundle, wanted: bool) -> None:
    bundle.config["process"]["noNewPrivileges"] = wanted
    assert ask(minirun, bundle, "nonewprivs") == [str(int(wanted))]


def test_rlimits(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_CPU", "soft": 10, "hard": (1 << 64) - 1},
    ]
    lines = ask(minirun, bundle, "rlimits")[0].splitlines()
    assert {"RLIMIT_NOFILE 100 200", "RLIMIT_CORE 0 0", "RLIMIT_CPU 10 unlimited"} <= set(lines)


def test_raising_a_hard_limit_needs_a_right(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1 << 20, "hard": 1 << 20}]
    words = ("--root", minirun.root, "run", "-b", bundle.write(), minirun.name())
    done = run("prlimit", "--nofile=1024:1024", "setpriv", "--bounding-set=-sys_resource", MINIRUN, *words)
    assert done.returncode == 125
    assert "/process/rlimits/0" in done.stderr and "CAP_SYS_RESOURCE" in done.stderr


def test_oom_score(minirun: Runtime, bundle: Bundle) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert ask(minirun, bundle, "oomscore") == [str(own)]
    bundle.config["process"]["oomScoreAdj"] = 500
    assert ask(minirun, bundle, "oomscore") == ["500"]


def test_session_and_descriptors(minirun: Runtime, bundle: Bundle) -> None:
    """A session of its own, and nothing open beyond stdio."""
    with open("/dev/null") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        seen = ask(minirun, bundle, "pid", "sid", "pgid", "ppid", "fds", "signals", "keyring")
    assert seen[:4] == ["1", "1", "1", "0"]
    assert [line.split()[0] for line in seen[4].splitlines()] == ["0", "1", "2"]
    assert dict(line.split(":\t") for line in seen[5].splitlines())["SigIgn"] == bits()
    assert seen[6].endswith(";_ses")


def test_no_keyring_can_be_prepared(minirun: Runtime, bundle: Bundle) -> None:
    """Every container gets a keyring of its own: no name leads to one that somebody else has put there."""
    first, second = (ask(minirun, bundle, "keyring")[0].split()[0] for _ in range(2))
    assert first != second


def test_no_new_keyring(minirun: Runtime, bundle: Bundle) -> None:
    kept = minirun.run(bundle.args("/probe", "keyring"), "--no-new-keyring").stdout.split()[0]
    again = minirun.run(bundle.args("/probe", "keyring"), "--no-new-keyring").stdout.split()[0]
    assert kept == again
