"""What the doctor says of users: who may make user namespaces, the id helpers, the ranges, the state directory."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, run
from tests.integration.people import Account, Person

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap")
KNOB = Path("/proc/sys/user/max_user_namespaces")


def findings(text: str) -> dict[str, tuple[str, str, str]]:
    return {row["name"]: (row["status"], row["found"], row["hint"]) for row in json.loads(text)["findings"]}


def test_a_user_with_ranges(somebody: Person, account: Account) -> None:
    found = findings(somebody("doctor", "--format", "json").stdout)
    span = f"{account.first}-{account.first + account.size - 1}"
    assert found["id ranges"] == ("ok", f"uids {span}, gids {span}", "")
    assert found["id helpers"] == ("ok", "/usr/bin/newuidmap /usr/bin/newgidmap", "")
    assert (
        found["user namespaces"][0] == "ok" and f"(at most {KNOB.read_text().strip()})" in found["user namespaces"][1]
    )
    assert found["state directory"][:2] == ("ok", f"{somebody.runtime_dir}/minirun (made when first needed)")
    assert "we are in one" not in found


def test_a_user_without(somebody: Person, account: Account) -> None:
    """Neither an account nor ranges; then an account of its own without ranges."""
    who = {"user": 12399, "group": 12399, "extra_groups": []}
    found = findings(run(MINIRUN, "doctor", "--format", "json", **who).stdout)
    assert found["id ranges"][:2] == ("limited", "uid 12399 is not in /etc/passwd")
    who = {"user": "nobody", "group": 65534, "extra_groups": []}
    found = findings(run(MINIRUN, "doctor", "--format", "json", **who).stdout)
    assert found["id ranges"][:2] == ("limited", "uids none, gids none")
    assert "usermod --add-subuids 100000-165535 nobody" in found["id ranges"][2]


def test_hidden_or_powerless_helpers(somebody: Person) -> None:
    """In a mount namespace: the one is not executable, then both have no setuid bit."""
    words = f"{MINIRUN} doctor --format json"
    done = run("unshare", "-m", "sh", "-c", f"mount --bind /dev/null /usr/bin/newgidmap; {words}")
    assert findings(done.stdout)["id helpers"][:2] == ("limited", "an ordinary user can map himself alone")
    spoil = "mount -t tmpfs none /mnt; cp /usr/bin/newuidmap /mnt/; mount --bind /mnt/newuidmap /usr/bin/newuidmap"
    found = findings(run("unshare", "-m", "sh", "-c", f"{spoil}; {words}").stdout)["id helpers"]
    assert found == (
        "limited", "neither setuid nor with capabilities",
        "chmod u+s /usr/bin/newuidmap, or install the package again",
    )  # fmt: skip


def test_inside_a_user_namespace_that_allows_no_other(somebody: Person) -> None:
    """The namespace's own limit: the host's stays as it is."""
    script = f"echo 0 > {KNOB}; exec {MINIRUN} doctor --format json"
    done = subprocess.run(
        ["unshare", "-U", "-r", "sh", "-c", script], env=somebody.env, capture_output=True, text=True, timeout=60,
        **somebody.who,
    )  # fmt: skip
    found = findings(done.stdout)
    assert found["user namespaces"][:2] == (
        "limited", "ordinary users cannot make them: No space left on device (user.max_user_namespaces=0)"
    )  # fmt: skip
    assert found["we are in one"] == ("ok", "uids 0, gids 0, setgroups denied", "")


def test_a_state_directory_of_somebody_else(somebody: Person) -> None:
    os.chown(somebody.runtime_dir, 0, 0)
    done = somebody("doctor", "--format", "json")
    status, found, hint = findings(done.stdout)["state directory"]
    assert done.returncode == 1 and status == "missing" and "Permission denied" in found
    assert "XDG_RUNTIME_DIR must be" in hint


@pytest.mark.parametrize(
    ("prepare", "space", "env", "found"),
    [
        ("mkdir -p /run/user/{uid}; chown {uid} /run/user/{uid}", "", {}, "/run/user/{uid}/minirun"),
        ("", "", {}, "/tmp/minirun-{uid}"),
        ("", "unshare -U -r", {}, "/tmp/minirun-{uid}"),
        ("chown {uid} /run", "unshare -U -r", {}, "/run/minirun"),
        ("chown {uid} /run", "unshare -U -r", {"XDG_RUNTIME_DIR": "/run/x"}, "/run/x/minirun"),
        ("chown {uid} /run", "unshare -U -r", {"XDG_RUNTIME_DIR": "/run/x", "USER": "root"}, "/run/minirun"),
    ],
)
def test_where_the_state_directory_is(
    somebody: Person, prepare: str, space: str, env: dict[str, str], found: str
) -> None:
    """Said, usual, or last; root of a user namespace where his user has it, unless /run is his own."""
    become = f"setpriv --reuid {somebody.uid} --regid {somebody.gid} --clear-groups"
    script = (
        f"mount -t tmpfs -o mode=755 none /run; {prepare or ':'}; exec {become} {space} {MINIRUN} doctor --format json"
    )
    done = run("unshare", "-m", "sh", "-c", script.format(uid=somebody.uid), env={"PATH": "/usr/bin:/bin", **env})
    where = findings(done.stdout)["state directory"][1]
    assert where == f"{found.format(uid=somebody.uid)} (made when first needed)", done.stderr
