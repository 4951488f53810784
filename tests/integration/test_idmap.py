"""Id-mapped mounts: whose ids are seen inside, whose a file made inside is outside, and what cannot be mapped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Bundle, Runtime, run
from tests.integration.mapping import add, in_a_mount_namespace, mapping, owner, owners, rows
from tests.integration.seen import ask, mounts, wait_for
from tests.integration.test_crash import until_done

pytestmark = pytest.mark.needs("root", "busybox")


# -- whose ids --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["idmap", "ridmap", "idmap=uids=@0-0-65536;gids=@0-0-65536"])
def test_by_the_containers_own_mapping(
    minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None, word: str
) -> None:
    """On disk 0 is root inside, and what root inside makes is 0's on disk; without the option both are nobody's."""
    add(mapped, volume, "/home", "rbind", word)
    add(mapped, volume, "/tmp", "rbind")
    seen = ask(
        minirun, mapped, "stat /home/root", "stat /home/five", "write /home/new x", "stat /home/new", "stat /tmp/five",
        "fds", "mountinfo",
    )  # fmt: skip
    assert [owners(seen[i]) for i in (0, 1, 3, 4)] == ["0 0", "5 6", "0 0", "65534 65534"]
    assert owner(volume / "new") == (0, 0)
    assert sorted(line.split()[0] for line in seen[5].splitlines()) == ["0", "1", "2"]
    found = mounts(seen[6])
    assert "idmapped" in found["/home"].options and "idmapped" not in found["/tmp"].options


def test_by_a_mapping_of_its_own(minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None) -> None:
    """Disk's 5 is root inside: the mapping is the mount's, whatever the container's is."""
    add(mapped, volume, "/home", "bind", "idmap", uidMappings=rows(5, 100000, 1), gidMappings=rows(6, 100000, 1))
    seen = ask(minirun, mapped, "stat /home/five", "stat /home/root", "append /home/five !", "cat /home/five")
    assert [owners(seen[0]), owners(seen[1]), seen[3]] == ["0 0", "65534 65534", "five!"]


@pytest.mark.parametrize("options", [("bind", "idmap"), ("bind",), ("rbind", "ridmap", "noexec")])
def test_without_a_user_namespace(
    minirun: Runtime, open_bundle: Bundle, volume: Path, clean_host: None, options: tuple[str, ...]
) -> None:
    """Mappings without ``idmap`` mean it as well, as under runc; ids that the mapping has not cannot make files."""
    volume.chmod(0o777)
    add(open_bundle, volume, "/home", *options, **mapping(0, 1000, 100))
    seen = ask(minirun, open_bundle, "stat /home/root", "stat /home/five", "stat /home")
    assert [owners(text) for text in seen] == ["1000 1000", "1005 1006", "1000 1000"]
    done = minirun.run(open_bundle.args("/probe", "write", "/home/roots", "x"))
    assert "Value too large" in done.stderr and not (volume / "roots").exists()
    open_bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    ask(minirun, open_bundle, "write /home/new x")
    assert owner(volume / "new") == (0, 0)


@pytest.mark.parametrize(
    ("word", "five"),
    [
        ("idmap=uids=0-1-1#5-100000-10;gids=6-100003-1", "0 3"),
        ("idmap=uids=@5-0-1;gids=@6-3-1", "0 3"),
        ("ridmap=uids=@0-10-65000;gids=@0-20-65000", "15 26"),
    ],
)
def test_cruns_spelling(minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None, word: str, five: str) -> None:
    add(mapped, volume, "/home", "bind", word)
    assert owners(ask(minirun, mapped, "stat /home/five")[0]) == five


def test_a_relative_range_over_several_rows(minirun: Runtime, mapped: Bundle, volume: Path) -> None:
    """Container ids 0 to 5 and 6 to 9 lie apart on the host; crun leaves the splitting to the caller."""
    ranges = [*rows(0, 100000, 6), *rows(6, 300000, 60000)]
    mapped.config["linux"].update(uidMappings=ranges, gidMappings=ranges)
    add(mapped, volume, "/home", "bind", "idmap=uids=@0-0-10;gids=@0-0-10")
    seen = ask(minirun, mapped, "stat /home/root", "stat /home/five", "stat /home/seven")
    assert [owners(text) for text in seen] == ["0 0", "5 6", "7 8"]


def test_in_a_user_namespace_that_is_joined(minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None) -> None:
    first = minirun.start(mapped.args("/probe", "pause"))
    linux = mapped.config["linux"]
    linux["namespaces"][-1]["path"] = f"/proc/{minirun.state(first)['pid']}/ns/user"
    del linux["uidMappings"], linux["gidMappings"]
    add(mapped, volume, "/home", "bind", "idmap")
    mapped.config["linux"]["cgroupsPath"] = f"/minirun/{minirun.name()}"
    assert owners(ask(minirun, mapped, "stat /home/five")[0]) == "5 6"
    assert minirun("delete", "--force", first).returncode == 0


def test_a_file_and_its_flags(minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None) -> None:
    add(mapped, volume / "root", "/etc/group", "bind", "idmap", "ro", "nosuid", "rnodev")
    seen = ask(minirun, mapped, "stat /etc/group", "openrw /etc/group", "mountinfo")
    assert (owners(seen[0]), seen[1]) == ("0 0", "EROFS")
    assert {"ro", "nosuid", "nodev", "idmapped"} <= mounts(seen[2])["/etc/group"].options


def test_what_the_containers_root_cannot_reach(
    minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None
) -> None:
    """A volume below a closed directory, with and without a mapping: bound by the host, as runc and crun do."""
    closed = volume.parent / "closed"
    closed.mkdir(mode=0o700)
    volume.rename(closed / "volume")
    add(mapped, closed / "volume", "/home", "bind", "idmap")
    add(mapped, closed / "volume/five", "/etc/group", "bind", "ro")
    seen = ask(minirun, mapped, "stat /home/five", "cat /etc/group", "stat /etc/group")
    assert [owners(seen[0]), seen[1], owners(seen[2])] == ["5 6", "five", "65534 65534"]


def test_a_clone_made_in_vain_is_not_the_next_binds(
    minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None
) -> None:
    """copy-symlink finds a link to make again; the host has cloned it all the same."""
    (volume / "link").symlink_to("five")
    add(mapped, volume / "link", "/home/link", "bind", "idmap", "copy-symlink")
    add(mapped, volume / "root", "/etc/group", "bind")
    os.chown(mapped.rootfs / "home", 100000, 100000)
    assert ask(minirun, mapped, "readlink /home/link", "cat /etc/group") == ["five", "root"]


def test_what_it_can_reach_keeps_the_hosts_flags(
    minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None
) -> None:
    """Read-only on the host: cloned inside, the kernel locks the flag, and not even CAP_SYS_ADMIN inside undoes it."""
    sets = dict.fromkeys(("bounding", "effective", "permitted"), ["CAP_SYS_ADMIN"])
    mapped.config["process"]["capabilities"] = sets
    add(mapped, volume, "/home", "bind")
    mapped.args("/bin/sh", "-c", "mount -o remount,bind,rw /home; cat /proc/self/mountinfo")
    words = (minirun.program, "--root", minirun.root, "run", "-b", mapped.write(), minirun.name())
    script = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"'
    done = in_a_mount_namespace(script, volume, *words)
    assert "denied" in done.stderr and "ro" in mounts(done.stdout)["/home"].options


def test_a_killed_host_leaves_nothing(minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None) -> None:
    """Between the host's half and init's nothing is attached anywhere, and init ends with its host."""
    add(mapped, volume, "/home", "bind", "idmap")
    mapped.write()
    name = minirun.name()
    script = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[1]);"
        "from minirun.engine import execute; go = execute.give_go;"
        "execute.give_go = lambda *a: os.kill(os.getpid(), signal.SIGKILL) if a[0].made_mount >= 0 else go(*a);"
        "from minirun.cli.main import main; sys.exit(main(sys.argv[2:], dict(os.environ), os.getcwd()))"
    )
    words = ["--root", str(minirun.root), "run", "-b", str(mapped.path), name]
    done = subprocess.run([sys.executable, "-c", script, str(ROOT), *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == -9, done.stderr
    assert minirun("delete", "--force", name).returncode == 0


def test_killed_at_every_call(minirun: Runtime, mapped: Bundle, volume: Path, clean_host: None) -> None:
    """The host, while it makes two mapped mounts and a namespace: init and the namespace's holder end with it."""
    add(mapped, volume, "/home", "bind", "idmap")
    add(mapped, volume, "/tmp", "bind", **mapping(0, 5, 7))
    mapped.write()
    name = minirun.name()
    words = ("create", "-b", str(mapped.path), name)
    for _ in until_done(minirun, mapped, name, *words):
        minirun("delete", "--force", name)
        wait_for(lambda: run("pgrep", "-f", f"killed.py .*{name}").stdout == "")


def test_the_plan_says_both_halves(minirun: Runtime, mapped: Bundle, volume: Path) -> None:
    add(mapped, volume, "/home", "bind", "idmap", **mapping(0, 5, 7))
    done = minirun("run", "--explain=json", "-b", mapped.write(), "x")
    steps = [step for step in json.loads(done.stdout) if step["from"] == "/mounts/7"]
    assert [(step["actor"], step["does"]) for step in steps] == [
        ("host", f"clone {volume} with ids mapped 0 5 7"),
        ("init", f"bind {volume} on /home idmap"),
    ]
