"""minirun inside a user namespace: as its root, with a range or alone, as podman calls it for an ordinary user."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Json, base_config
from tests.integration.people import Done, Person
from tests.integration.seen import MARK, answers, mounts, questions

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap")

RANGE = ("unshare", "-U", "-r", "--map-auto", "-m")  # through newuidmap, as podman unshare
ALONE = ("unshare", "-U", "-r", "-m")


def inside(somebody: Person, space: tuple[str, ...], *words: str, **more: object) -> Done:
    options: Json = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL, **more}
    argv = [*space, str(MINIRUN), *words]
    return subprocess.run(argv, env=somebody.env, cwd=somebody.bundle.path, **options, **somebody.who)


def ask(somebody: Person, space: tuple[str, ...], *asked: str) -> list[str]:
    (somebody.bundle.rootfs / ".mark").write_text(MARK)
    somebody.bundle.args(*questions(*asked)).write()
    done = inside(somebody, space, "run", somebody.name())
    assert done.returncode == 0, done.stderr
    return answers(done.stdout)


def without_a_group_for_the_terminal(somebody: Person) -> None:
    pts = next(mount for mount in somebody.bundle.config["mounts"] if mount["destination"] == "/dev/pts")
    pts["options"].remove("gid=5")


@pytest.mark.parametrize("space", [RANGE, ALONE], ids=["range", "alone"])
def test_the_template_of_root(somebody: Person, space: tuple[str, ...]) -> None:
    """No user namespace of its own: devices are bound, no eBPF, no cgroup; all else is there."""
    somebody.bundle.config = base_config()
    if space is ALONE:
        without_a_group_for_the_terminal(somebody)
    seen = ask(
        somebody, space, "id", "mountinfo", "devnull-check", "openrw /dev/zero", "loopback", "caps", "pid",
        "stat /dev/shm", "cat /proc/self/setgroups",
    )  # fmt: skip
    assert seen[0].startswith("uid=0 gid=0")
    kinds = {mount.target: mount.fstype for mount in mounts(seen[1]).values()}
    wanted = {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/sys": "sysfs", "/dev/mqueue": "mqueue"}
    assert wanted.items() <= kinds.items()
    assert seen[2:5] == ["ok", "ok", "up ok"] and "CapEff:\t0000000020000420" in seen[5] and seen[6] == "1"
    assert seen[7].startswith("dir 1777 0 0") and seen[8] == ("allow" if space is RANGE else "deny")


def test_a_namespace_in_the_namespace(somebody: Person) -> None:
    """podman --userns keep-id: the user is himself inside; what is not there outside cannot be mapped."""
    somebody.bundle.config = base_config()
    linux = somebody.bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    rows: list[Json] = [
        {"containerID": 0, "hostID": 1, "size": 1000},
        {"containerID": 1000, "hostID": 0, "size": 1},
        {"containerID": 1001, "hostID": 1001, "size": 60000},
    ]
    linux.update(uidMappings=rows, gidMappings=rows)
    somebody.bundle.config["process"].update(user={"uid": 1000, "gid": 1000, "additionalGids": [7]}, oomScoreAdj=400)
    linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    seen = ask(somebody, RANGE, "id", "cat /proc/self/uid_map", "oomscore", "sysctl net.ipv4.ip_forward")
    assert seen[0] == "uid=1000 gid=1000 groups=7" and seen[2:] == ["400", "1"]
    assert seen[1].split() == ["0", "1", "1000", "1000", "0", "1", "1001", "1001", "60000"]
    rows[2]["size"] = 70000
    somebody.bundle.write()
    done = inside(somebody, RANGE, "run", somebody.name())
    assert done.returncode == 125 and "uids 1001 to 71000 do not exist" in done.stderr
    assert "/linux/uidMappings/2" in done.stderr


def test_the_whole_life(somebody: Person) -> None:
    """Every verb in a namespace that was made for it alone would not find the container: all in one."""
    somebody.bundle.config = base_config()
    somebody.bundle.args("/probe", "pause").write()
    script = (
        'set -e; m="$1"; $m run -d c > /dev/null 2>&1; $m exec -u 7:8 c /probe id; $m exec c /probe pid > /dev/null;'
        " $m state c; $m kill c KILL; while $m state c | grep -q running; do :; done; $m delete c; $m list -q"
    )
    words = [*RANGE, "sh", "-c", script, "-", str(MINIRUN)]
    done = subprocess.run(
        words, env=somebody.env, cwd=somebody.bundle.path, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, **somebody.who,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\n")
    assert first == "uid=7 gid=8 groups=" and json.loads(rest)["status"] == "running"


def test_the_ids_that_are_not_there(somebody: Person) -> None:
    somebody.bundle.config = base_config()
    somebody.bundle.config["process"]["user"] = {"uid": 5, "gid": 0, "additionalGids": [0]}
    somebody.bundle.write()
    done = inside(somebody, ALONE, "run", somebody.name())
    assert done.returncode == 125 and "3 problems" in done.stderr, done.stderr
    for words in ("uid 5 is not mapped by /proc/self/uid_map", "setgroups is denied", "gid=5: it is not mapped"):
        assert words in done.stderr


def test_the_state_directory_is_the_users(somebody: Person) -> None:
    """Seen from inside and from outside, with and without XDG_RUNTIME_DIR."""
    somebody.bundle.config = base_config("/probe", "pid")
    without_a_group_for_the_terminal(somebody)
    somebody.bundle.write()
    assert inside(somebody, ALONE, "run", "--keep", "kept").returncode == 0
    assert somebody("list", "-q").stdout == "kept\n"
    assert (somebody.runtime_dir / "minirun").stat().st_mode & 0o7777 == 0o1700, "XDG: or it may be tidied away"
    assert somebody("delete", "kept").returncode == 0
    del somebody.env["XDG_RUNTIME_DIR"]
    place = Path(f"/tmp/minirun-{somebody.uid}")
    try:
        assert inside(somebody, ALONE, "run", "--keep", "kept").returncode == 0
        assert (place / "kept").is_dir()
        assert somebody("delete", "kept").returncode == 0
    finally:
        if place.exists():
            place.rmdir()


def test_a_state_directory_of_somebody_else(somebody: Person) -> None:
    """su keeps XDG_RUNTIME_DIR."""
    os.chown(somebody.runtime_dir, 0, 0)
    done = somebody("list")
    assert done.returncode == 125 and "Permission denied" in done.stderr, done.stderr
    assert "XDG_RUNTIME_DIR must be a directory of your own" in done.stderr
