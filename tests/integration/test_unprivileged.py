"""An ordinary user, with a user namespace mapped to itself: the bundle of ``spec --rootless``, whole."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import BUSYBOX, MINIRUN, Bundle, Json
from tests.integration.people import Person
from tests.integration.seen import mounts, status_of, wait_for
from tests.integration.terminals import Inside

pytestmark = pytest.mark.needs("userns", "busybox")

UID = 12345 if os.geteuid() == 0 else os.geteuid()


def reachable() -> str:
    """May that user execute minirun where it lies?"""
    if os.geteuid() != 0:
        return ""
    tried = subprocess.run([MINIRUN, "--version"], user=UID, group=UID, extra_groups=[], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"an ordinary user cannot execute minirun here: {tried.stderr.strip()}"


@pytest.fixture(autouse=True, scope="module")
def _reachable() -> None:
    try:
        reason = reachable()
    except OSError as error:
        reason = f"an ordinary user cannot execute minirun here: {error}"
    if reason:
        pytest.skip(reason)


@pytest.fixture
def person(open_place: Path, open_bundle: Bundle) -> Iterator[Person]:
    someone = Person(open_place, open_bundle, UID, UID)
    yield someone
    someone.leave()


def test_the_template_is_what_the_verb_writes(person: Person) -> None:
    assert person("spec", "--rootless").returncode == 0
    config = json.loads((person.bundle.path / "config.json").read_text())
    config["process"].update(terminal=False, args=["/probe", "pid"])
    person.bundle.config["process"]["args"] = ["/probe", "pid"]
    assert config == person.bundle.config


def test_run(person: Person) -> None:
    """Root inside, oneself outside; every part of the default spec is there."""
    seen = person.ask(
        "id", "pid", "hostname", "cat /proc/self/uid_map", "mountinfo", "devnull-check", "openrw /dev/null", "caps",
        "nonewprivs", "stat /dev/zero", "cwd", "cat /proc/self/setgroups", "ls /proc", "stat /dev/pts/ptmx", "rlimits",
    )  # fmt: skip
    assert seen[:3] == ["uid=0 gid=0 groups=65534" if "65534" in seen[0] else "uid=0 gid=0 groups=", "1", "minirun"]
    assert seen[3].split() == ["0", str(UID), "1"]
    kinds = {mount.target: mount.fstype for mount in mounts(seen[4]).values()}
    assert {
        "/proc": "proc",
        "/dev": "tmpfs",
        "/dev/pts": "devpts",
        "/dev/shm": "tmpfs",
        "/sys": "sysfs",
    }.items() <= kinds.items()
    assert seen[5:7] == ["ok", "ok"]
    assert "CapEff:\t0000000020000420" in seen[7] and seen[8] == "1"
    assert " 1:5 " in seen[9] and seen[10] == "/" and seen[11] == "deny"
    assert [name for name in seen[12].split() if name.isdigit()] == ["1"]
    assert " 5:2 " in seen[13] and "RLIMIT_NOFILE 1024 1024" in seen[14]
    assert not person.used or not list((person.runtime_dir / "minirun").iterdir()), "nothing is left"


def test_the_whole_life(person: Person) -> None:
    name = person.start("/probe", "trap")
    state = json.loads(person("state", name).stdout)
    assert state["status"] == "running"
    seen = status_of(Path(f"/proc/{state['pid']}/status").read_text())
    assert seen["Uid"] == " ".join([str(UID)] * 4)
    assert person("exec", name, "/probe", "id", "--", "pid").stdout.splitlines()[0].startswith("uid=0 gid=0")
    assert (
        person("exec", "--cwd", "/tmp", "-e", "A=b", name, "/probe", "cwd", "--", "printenv", "A").stdout == "/tmp\nb\n"
    )
    assert person("exec", name, "/probe", "exit", "9").returncode == 9
    rows = json.loads(person("list", "-f", "json").stdout)
    assert [(row["id"], row["status"]) for row in rows] == [(name, "running")]
    assert state["pid"] in json.loads(person("ps", "-f", "json", name).stdout)
    assert person("kill", name, "USR1").returncode == 0
    wait_for(lambda: "SIGUSR1" in (person.bundle.path / "out").read_text())
    assert person("delete", name).returncode == 125, "it runs"
    assert person("kill", name, "TERM").returncode == 0
    wait_for(lambda: json.loads(person("state", name).stdout)["status"] == "stopped")
    assert person("delete", name).returncode == 0
    assert person("list", "-q").stdout == ""


def test_create_and_start(person: Person) -> None:
    person.bundle.args("/probe", "pause").write()
    name = person.name()
    with open(person.bundle.path / "out", "wb") as out:
        assert person("create", name, capture_output=False, stdout=out, stderr=out).returncode == 0
    assert json.loads(person("state", name).stdout)["status"] == "created"
    assert person("start", name).returncode == 0
    assert person("delete", "--force", name).returncode == 0


def test_terminal(person: Person) -> None:
    person.bundle.config["process"].update(terminal=True, args=["/bin/sh"])
    person.bundle.config["process"]["env"].append("PS1=# ")
    person.bundle.write()
    words = [str(MINIRUN), "run", person.name()]
    with closing(Inside(words, env=person.env, cwd=person.bundle.path, **person.who)) as inside:
        inside.terminal.expect("# ")
        inside.terminal.type("/probe isatty\n")
        inside.terminal.expect("0 yes\r\n1 yes\r\n2 yes\r\n")
        inside.terminal.type("exit 4\n")
        assert inside.wait() == 4


def test_hooks_and_binds(person: Person) -> None:
    data = person.bundle.path / "data"
    data.mkdir()
    (data / "f").write_text("bound")
    (data / "f").chmod(0o666)
    person.bundle.config["mounts"].append(
        {"destination": "/home", "type": "bind", "source": "data", "options": ["rbind", "ro"]}
    )
    text = f"cat > {person.runtime_dir}/state"
    person.bundle.config["hooks"] = {"createRuntime": [{"path": str(BUSYBOX), "args": ["sh", "-c", text]}]}
    assert person.ask("cat /home/f", "openrw /home/f") == ["bound", "EROFS"]
    assert json.loads((person.runtime_dir / "state").read_text())["status"] == "creating"


def test_what_needs_more_rights_is_said_before_anything_is_done(person: Person) -> None:
    """Each by its pointer; nothing is left."""
    linux = person.bundle.config["linux"]
    cases: list[tuple[str, Json]] = [
        ("/process/user/uid", {"uidMappings": [{"containerID": 1, "hostID": UID, "size": 1}]}),
        (
            "/linux/namespaces",
            {"namespaces": [{"type": "mount"}, {"type": "pid"}], "uidMappings": [], "gidMappings": []},
        ),
        ("/linux/resources", {"resources": {"pids": {"limit": 5}}}),  # no cgroup, or (hybrid) not even a controller
    ]
    for pointer, change in cases:
        person.bundle.config["linux"] = {**linux, **change}
        person.bundle.config.pop("hostname", None)
        person.bundle.write()
        done = person("run", person.name())
        assert done.returncode == 125 and pointer in done.stderr, done.stderr
    assert person("list", "-q").stdout == ""


def test_the_store_of_another_is_refused(person: Person, open_place: Path) -> None:
    foreign = open_place / "foreign"
    foreign.mkdir(mode=0o777)
    os.chmod(foreign, 0o777)
    if os.geteuid() == 0:
        person.bundle.args("/probe", "pid").write()
        assert person("--root", foreign / "x", "run", person.name()).returncode == 0, "a directory of one's own is made"
    assert person("--root", "/root/x", "list").returncode in (0, 125)


def test_without_a_runtime_dir(person: Person) -> None:
    """Then below /tmp, for its owner only."""
    person.bundle.args("/probe", "pid").write()
    place = Path(f"/tmp/minirun-{UID}")
    name = person.name()
    done = person("run", name, env={"PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert place.stat().st_uid == UID and place.stat().st_mode & 0o777 == 0o700
    place.rmdir()
