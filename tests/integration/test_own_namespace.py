"""An ordinary user's namespace for the people's verbs: how it is made, who meets in it, and whom nobody joins."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Json, run
from tests.integration.people import Account, Person

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap")

LAST = "from minirun.cli.entry import entry\nentry()\n"
WITNESS = """
from minirun.container import holders, own_namespace
from minirun.runtime.store import Store
import os, json
store, warnings = Store(sys.argv[1]), []
groups = len(os.getgroups())
own_namespace.enter(store, "/tmp", warnings.append)
print(json.dumps({
    "user": os.readlink("/proc/self/ns/user"), "mnt": os.readlink("/proc/self/ns/mnt"),
    "ids": os.getresuid() + os.getresgid(),
    "uids": open("/proc/self/uid_map").read().split(), "gids": open("/proc/self/gid_map").read().split(),
    "setgroups": open("/proc/self/setgroups").read().strip(), "cwd": os.getcwd(), "warnings": warnings,
    "groups": len(os.getgroups()) == groups, "holders": os.listdir(store.root + "/.holders"),
}), flush=True)
sys.stdin.read()
holders.leave(store.root)
"""


class Inside:
    """Processes that have entered, and stay until they are told to go."""

    def __init__(self, somebody: Person, place: Path) -> None:
        self.somebody = somebody
        self.root = somebody.runtime_dir / "minirun"
        self.script = place / "witness"
        text = MINIRUN.read_text()
        assert text.endswith(LAST)
        self.script.write_text(text.removesuffix(LAST) + WITNESS)
        self.script.chmod(0o755)
        self.there: list[subprocess.Popen[str]] = []

    def begin(self, **who: object) -> subprocess.Popen[str]:
        options: Json = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        options |= {"env": self.somebody.env, **self.somebody.who, **who}
        self.there.append(subprocess.Popen([str(self.script), str(self.root)], **options))
        return self.there[-1]

    def enter(self, **who: object) -> tuple[subprocess.Popen[str], Json]:
        process = self.begin(**who)
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        found: Json = json.loads(line)
        return process, found

    def holders(self) -> set[str]:
        return set(os.listdir(self.root / ".holders"))

    def end(self) -> None:
        for process in self.there:
            process.communicate(timeout=20)


@pytest.fixture
def inside(somebody: Person, open_place: Path) -> Iterator[Inside]:
    made = Inside(somebody, open_place)
    yield made
    made.end()


def test_who_is_who(inside: Inside, account: Account) -> None:
    """Root is the user, the range follows from 1 on; groups can be set, his own stay; the entry goes with him."""
    process, seen = inside.enter(extra_groups=[20])
    assert seen["ids"] == [0] * 6 and seen["setgroups"] == "allow" and seen["cwd"] == "/tmp" and not seen["warnings"]
    assert [int(word) for word in seen["uids"]] == [0, account.uid, 1, 1, account.first, account.size]
    assert [int(word) for word in seen["gids"]] == [0, account.gid, 1, 1, account.first, account.size]
    assert seen["holders"] == [str(process.pid)] and seen["groups"] is True
    assert (inside.root / ".holders").stat().st_mode & 0o777 == 0o700
    assert seen["user"] != os.readlink("/proc/self/ns/user")
    process.communicate()
    assert inside.holders() == set()


def test_one_for_all_as_long_as_anybody_is_inside(inside: Inside) -> None:
    first, one = inside.enter()
    _, two = inside.enter()
    first.communicate()
    _, three = inside.enter()  # whoever made it has gone
    assert one["user"] == two["user"] == three["user"] and one["mnt"] == two["mnt"] == three["mnt"]
    inside.end()
    assert inside.holders() == set()


def test_twenty_at_once(inside: Inside) -> None:
    several = [inside.begin() for _ in range(20)]
    found = [json.loads(process.stdout.readline()) for process in several if process.stdout]
    assert len({(seen["user"], seen["mnt"]) for seen in found}) == 1
    assert len(inside.holders()) == 20


def test_a_holder_that_was_killed(inside: Inside) -> None:
    process, _ = inside.enter()
    process.kill()
    process.wait()
    assert inside.holders() == {str(process.pid)}
    other, seen = inside.enter()
    assert inside.holders() == {str(other.pid)} and seen["ids"] == [0] * 6


def test_nobody_is_joined_who_is_not_ours(inside: Inside, somebody: Person, account: Account) -> None:
    """Entries that name root's process, one of our own outside, another user's namespace, somebody's past pid."""
    space = ["unshare", "-U", "-r", "-m", "sleep", "60"]
    nobody: Json = {"user": 65534, "group": 65534, "extra_groups": []}
    others = [subprocess.Popen(["sleep", "60"], **somebody.who), subprocess.Popen(space, **nobody)]
    process, _ = inside.enter()
    process.communicate()
    try:
        entries = {str(pid): start_time(pid) for pid in (os.getpid(), *(other.pid for other in others))}
        entries |= {"1": "1", "99999999": "5"}
        pids = os.readlink("/proc/self/ns/pid")
        entries = {pid: f"{text} {pids}" for pid, text in entries.items()}
        entries |= {"x": "1", "5": "", "99999998": "5 pid:[1]", f".99999997.{pids}": ""}
        for name, text in entries.items():
            path = inside.root / ".holders" / name
            path.write_text(text)
            os.chown(path, account.uid, account.gid)
        process, seen = inside.enter()
        assert seen["user"] not in {os.readlink(f"/proc/{pid}/ns/user") for pid in ("self", *(o.pid for o in others))}
        assert {"1", "x", "5", "99999999", f".99999997.{pids}"}.isdisjoint(inside.holders())
        assert "99999998" in inside.holders(), "of another pid namespace, where it may live"
    finally:
        for other in others:
            other.kill()
            other.wait()


def start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_alone(inside: Inside) -> None:
    """Nobody has given him a range: there is root, and a warning says what would give him more."""
    uid = 12399
    os.chown(inside.somebody.runtime_dir, uid, uid)
    _, seen = inside.enter(user=uid, group=uid, extra_groups=[])
    assert seen["uids"] == seen["gids"] == ["0", str(uid), "1"] and seen["setgroups"] == "deny"
    (warning,) = seen["warnings"]
    assert "no range of ids for 12399" in warning and "usermod --add-subuids" in warning


def test_none_can_be_made(inside: Inside, somebody: Person) -> None:
    """As where an administrator has forbidden them."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --reuid 7 --regid 7 --clear-groups "$@"'
    place = somebody.bundle.path / "of-seven"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    words = ["unshare", "-U", "-r", "--map-auto", "sh", "-c", script, "-", str(MINIRUN), "--root", str(place / "root")]
    done = run(*words, "image", "ls", env=somebody.env, **somebody.who)
    run("rm", "-rf", str(place))
    assert done.returncode == 125 and "cannot make a user namespace: No space left on device" in done.stderr, (
        done.stderr
    )
    assert "clone3(2)" in done.stderr and "minirun doctor" in done.stderr


def test_the_verbs_enter(inside: Inside, somebody: Person) -> None:
    """A group's verb runs as root there, leaves nothing; help and a wrong option need no namespace."""
    somebody.env["HOME"] = str(somebody.bundle.path)
    assert somebody("image", "ls", "--no-such").returncode == 2
    assert somebody("image", "--help").returncode == 0
    assert not inside.root.exists()
    done = somebody("image", "ls")
    assert done.returncode == 0, done.stderr
    assert inside.holders() == set()
