"""An ordinary user with ranges of ids, through newuidmap and newgidmap: who is who inside, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, ROOT, Json, run
from tests.integration.people import Account, Person
from tests.integration.seen import mounts, outside, status_of, wait_for

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap")


def rows_of(text: str) -> list[list[int]]:
    return [[int(word) for word in line.split()] for line in text.splitlines()]


def test_a_range_of_ids(somebody: Person, account: Account) -> None:
    """Root inside is the user outside, everybody else of the range; groups can be set, ids can be changed."""
    somebody.bundle.config["root"]["readonly"] = False
    somebody.bundle.config["process"]["user"] = {"uid": 0, "gid": 0, "additionalGids": [5, 70]}
    seen = somebody.ask(
        "id", "cat /proc/self/uid_map", "cat /proc/self/gid_map", "cat /proc/self/setgroups", "write /tmp/new x", "caps"
    )
    assert seen[0] == "uid=0 gid=0 groups=5,70"
    wanted = [[0, account.uid, 1], [1, account.first, account.size]]
    assert rows_of(seen[1]) == wanted and rows_of(seen[2])[1] == wanted[1] and seen[3] == "allow"
    made = (somebody.bundle.rootfs / "tmp/new").stat()
    assert (made.st_uid, made.st_gid) == (account.uid, account.gid)
    assert "CapEff:\t0000000020000420" in seen[5]
    assert not list((somebody.runtime_dir / "minirun").iterdir())


def test_the_page(somebody: Person, account: Account) -> None:
    """docs/rootless.md: its mappings, with this user's numbers."""
    text = (ROOT / "docs/rootless.md").read_text()
    (found,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    for old, new in (("1000", account.uid), ("100000", account.first), ("65536", account.size)):
        found = re.sub(rf"\b{old}\b", str(new), found)
    somebody.bundle.config["linux"].update(json.loads(found))
    assert rows_of(somebody.ask("cat /proc/self/gid_map", "id")[0])[1] == [1, account.first, account.size]


def test_another_user_inside(somebody: Person, account: Account) -> None:
    """Its process is another's outside too; the user who made it can look at it, enter it and end it nevertheless."""
    somebody.bundle.config["root"]["readonly"] = False
    somebody.bundle.config["process"]["user"] = {"uid": 7, "gid": 8, "additionalGids": [9]}
    os.chmod(somebody.bundle.rootfs / "tmp", 0o1777)
    name = somebody.start("/probe", "trap")
    state = json.loads(somebody("state", name).stdout)
    seen = status_of(outside(state["pid"], "status"))
    assert seen["Uid"].split()[0] == str(account.first + 6) and seen["Groups"] == str(account.first + 8)
    assert somebody("exec", name, "/probe", "id").stdout == "uid=7 gid=8 groups=9\n"
    assert somebody("exec", "-u", "0:0", "-g", "33", name, "/probe", "id").stdout == "uid=0 gid=0 groups=33\n"
    assert somebody("ps", "-f", "json", name).returncode == 0
    assert somebody("kill", name, "USR1").returncode == 0
    wait_for(lambda: "SIGUSR1" in (somebody.bundle.path / "out").read_text())
    assert somebody("delete", "--force", name).returncode == 0
    assert read(f"/proc/{state['pid']}/stat").rpartition(")")[2].split()[:1] in ([], ["Z"]), (
        "its new parent may be slow"
    )


def test_a_group_for_the_terminal(somebody: Person) -> None:
    """gid=5 is in the template of root's bundles: it needs a range."""
    pts = next(mount for mount in somebody.bundle.config["mounts"] if mount["destination"] == "/dev/pts")
    pts["options"].append("gid=5")
    somebody.bundle.config["linux"]["namespaces"].append({"type": "network"})
    seen = somebody.ask("mountinfo", "loopback")
    assert "gid=" in " ".join(mounts(seen[0])["/dev/pts"].superblock) and seen[1] == "up ok"


def test_what_is_written_from_outside(somebody: Person) -> None:
    """Clocks and oom_score_adj: files in /proc of a process that is about to become another's; of exec's too."""
    somebody.bundle.config["linux"]["namespaces"].append({"type": "time"})
    somebody.bundle.config["linux"]["timeOffsets"] = {"boottime": {"secs": 5}, "monotonic": {"secs": 7}}
    somebody.bundle.config["process"].update(oomScoreAdj=200, rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}])
    seen = somebody.ask("time-offsets", "oomscore", "pid", "id", "rlimits")
    assert seen[0].split() == ["monotonic", "7", "0", "boottime", "5", "0"]
    assert seen[1:4] == ["200", "1", "uid=0 gid=0 groups="] and "RLIMIT_CORE 0 0" in seen[4]
    name = somebody.start("/probe", "pause")
    process = {"cwd": "/", "args": ["/probe", "oomscore"], "oomScoreAdj": 300}
    (somebody.bundle.path / "process.json").write_text(json.dumps(process))
    done = somebody("exec", "--process", "process.json", name)
    assert done.stdout == "300\n", done.stderr


@pytest.mark.parametrize(
    ("uids", "gids", "setgroups"),
    [("range", "own", "deny"), ("own", "range", "allow"), ("foreign", "foreign", "allow")],
)
def test_the_two_maps_are_written_one_by_one(
    somebody: Person, account: Account, uids: str, gids: str, setgroups: str
) -> None:
    """Himself alone each of them the kernel takes from the user; one id that is not his own needs the helper."""
    linux = somebody.bundle.config["linux"]
    for member, word, own in (("uidMappings", uids, account.uid), ("gidMappings", gids, account.gid)):
        if word == "own":
            linux[member] = [{"containerID": 0, "hostID": own, "size": 1}]
        elif word == "foreign":
            linux[member] = [{"containerID": 0, "hostID": account.first + 5, "size": 1}]
    assert somebody.ask("id", "cat /proc/self/setgroups")[1] == setgroups


def test_several_rows_and_no_root(somebody: Person, account: Account) -> None:
    """0 is not mapped: the program's user makes everything that is made."""
    rows: list[Json] = [
        {"containerID": 1000, "hostID": account.uid, "size": 1},
        {"containerID": 5, "hostID": account.first, "size": 10},
        {"containerID": 65534, "hostID": account.first + 50, "size": 1},
    ]
    somebody.bundle.config["linux"].update(uidMappings=rows, gidMappings=rows)
    somebody.bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [65534]}
    seen = somebody.ask("id", "cat /proc/self/uid_map", "stat /dev/shm", "openrw /dev/null", "caps")
    assert seen[0] == "uid=1000 gid=1000 groups=65534" and len(rows_of(seen[1])) == 3
    assert seen[2].startswith("dir 1777 1000 1000") and seen[3] == "ok"
    assert "CapEff:\t0000000000000000" in seen[4] and "CapBnd:\t0000000020000420" in seen[4]
    name = somebody.start("/probe", "pause")
    assert somebody("exec", "-u", "5:5", name, "/probe", "id").stdout == "uid=5 gid=5 groups=65534\n"
    done = somebody("exec", "-u", "0", name, "/probe", "id")
    assert done.returncode == 125 and "uid 0 is not mapped by /linux/uidMappings" in done.stderr
    assert "/process/user/uid" in done.stderr


def test_another_containers_user_namespace(somebody: Person) -> None:
    """The pod's second container: the first one's ids and network, without mappings of its own."""
    linux = somebody.bundle.config["linux"]
    linux["namespaces"].append({"type": "network"})
    first = json.loads(somebody("state", somebody.start("/probe", "pause")).stdout)["pid"]
    for space in linux["namespaces"]:
        if space["type"] in ("user", "network"):
            space["path"] = f"/proc/{first}/ns/{'net' if space['type'] == 'network' else 'user'}"
    del linux["uidMappings"], linux["gidMappings"]
    somebody.bundle.config["process"]["user"] = {"uid": 3, "gid": 3, "additionalGids": [4]}
    seen = somebody.ask("ns", "id", "pid")
    found = dict(line.split() for line in seen[0].splitlines())
    assert f"user:[{found['user']}]" == os.readlink(f"/proc/{first}/ns/user")
    assert f"net:[{found['net']}]" == os.readlink(f"/proc/{first}/ns/net")
    assert seen[1:] == ["uid=3 gid=3 groups=4", "1"]


def behind(somebody: Person, helper: str | Path, *flags: str) -> list[str]:
    """``run`` where ``helper`` lies in newuidmap's place; 3 and 4 can be preserved, 9 was left open by mistake."""
    hide = f"exec 3</dev/null 4</dev/null 9</dev/null; mount --bind {helper} /usr/bin/newuidmap"
    become = f"exec setpriv --reuid {somebody.uid} --regid {somebody.gid} --clear-groups"
    somebody.bundle.write()
    words = ["unshare", "-m", "sh", "-c", f'{hide} && {become} "$@"', "-", str(MINIRUN), "run", *flags]
    return [*words, somebody.name()]


def with_helper(somebody: Person, helper: str | Path, *flags: str) -> subprocess.CompletedProcess[str]:
    env = {**somebody.env, "LD_LIBRARY_PATH": "/tmp"}
    return run(*behind(somebody, helper, *flags), env=env, cwd=somebody.bundle.path)


def test_the_helpers_get_nothing_of_ours(somebody: Person, account: Account) -> None:
    """A setuid program is run without environment, and with no descriptor but its three; what it says is the reason."""
    spy = somebody.runtime_dir / "spy"
    spy.write_text(
        "#!/bin/sh\nexec >&2\n"
        'echo "[$0 $*] env=[$(tr "\\0" " " < /proc/$$/environ)] $(readlink /proc/$$/fd/0)"\n'
        'for fd in /proc/$$/fd/*; do echo "$fd"; done; exit 1\n'
    )
    spy.chmod(0o755)
    done = with_helper(somebody, spy, "--preserve-fds", "2")
    reason = done.stderr.splitlines()[0].partition("minirun: cannot write uid_map through newuidmap: ")[2]
    assert f"0 {account.uid} 1 1 {account.first} {account.size}] env=[] /dev/null" in reason, done.stderr
    fds = {int(word.rpartition("/")[2]) for word in reason.partition("/dev/null ")[2].split()}
    assert fds == {0, 1, 2, 3, 10}, "the shell has its script at 10, and the directory at the lowest that was free"
    assert "host, newuidmap(1) -> EPERM" in done.stderr


def test_the_plan_names_the_helper(somebody: Person, account: Account) -> None:
    somebody.bundle.write()
    done = somebody("run", "--explain", "x")
    row = f"write uid_map through newuidmap: 0 {account.uid} 1, 1 {account.first} {account.size}"
    assert row in done.stdout, done.stdout


def test_ended_while_a_helper_works(somebody: Person) -> None:
    """SIGTERM in the middle: neither init nor the helper is left, nor a trace of the container."""
    slow = somebody.runtime_dir / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    words = behind(somebody, slow)
    with subprocess.Popen(words, env=somebody.env, cwd=somebody.bundle.path, stderr=subprocess.PIPE) as minirun:
        wait_for(lambda: {"sleep", "minirun-init"} <= set(programs(somebody.uid)))
        minirun.terminate()
        assert minirun.wait(10) != 0
    wait_for(lambda: not programs(somebody.uid))
    assert somebody("list", "-q").stdout == ""


def programs(uid: int) -> list[str]:
    """The names of a user's programs; a zombie has none."""
    found = [
        read(str(path / "cmdline")).partition("\0")[0]
        for path in Path("/proc").glob("[0-9]*")
        if owner(path.name) == uid
    ]
    return [name.rpartition("/")[2] for name in found if name]


def test_without_the_helpers(somebody: Person) -> None:
    """A host without the package: said with its name, before anything is begun."""
    done = with_helper(somebody, "/dev/null")
    assert done.returncode == 125 and "/linux/uidMappings" in done.stderr, done.stderr
    assert "through newuidmap, which is not here" in done.stderr and "package uidmap" in done.stderr
    assert somebody("list", "-q").stdout == ""


def test_a_refused_range_leaves_nothing(somebody: Person, account: Account) -> None:
    somebody.bundle.config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 5}]
    done = somebody.run()
    assert done.returncode == 125 and "newgidmap: gid range [0-5) -> [0-5) not allowed" in done.stderr, done.stderr
    assert "the host's own users and groups" in done.stderr and "usermod" not in done.stderr, "root is not given away"
    assert not programs(somebody.uid) and somebody("list", "-q").stdout == ""


def read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def owner(pid: str) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1
