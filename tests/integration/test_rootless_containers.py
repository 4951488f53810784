"""Containers from images for an ordinary user: the people's verbs, nothing of root's, nothing left."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.cgroups import tree
from minirun.facts import find_cgroup_root
from tests.conftest import BUSYBOX
from tests.integration.citizens import Citizen, until
from tests.integration.people import Account
from tests.integration.registries import registry

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="minirun-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def settled(place: Path, account: Account) -> Citizen:
    """With the image that the page begins with."""
    (place / "his").mkdir(mode=0o755)
    made = Citizen(place / "his", account)
    done = made("image", "build-rootfs", "busybox")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def he(settled: Citizen) -> Iterator[Citizen]:
    """At the end there is nothing that a container would leave."""
    yield settled
    settled.clear()
    settled.nothing_left()


def test_the_first_minute(he: Citizen) -> None:
    """Root inside is he outside; the exit code is the program's; the overlay and the process are gone."""
    script = "id -u; cat /proc/self/uid_map; echo x > /new; stat -c %u /proc/1; ls -l /dev/null | cut -c1; exit 7"
    done = he("container", "run", "--rm", "--net", "none", "busybox", "sh", "-c", script)
    assert done.returncode == 7 and not done.stderr, done.stderr
    rows = done.stdout.split()
    assert rows == ["0", "0", str(he.account.uid), "1", "1", str(he.account.first), str(he.account.size), "0", "c"]
    assert str(he.storage) not in Path("/proc/self/mountinfo").read_text()


def test_a_life(he: Citizen) -> None:
    """run -d, ps, exec, logs, inspect, stop, start, rm: verb for verb in the namespace that the first one made."""
    he.container("run", "-d", "--name", "web", "--net", "none", "busybox", "sh", "-c", "echo begun; exec sleep 1000")
    assert len(os.listdir(he.root / ".holders")) == 1, "the monitor, and nobody else"
    assert he.container("ps", "--format", "json").count("web") == 1
    assert he.container("exec", "web", "sh", "-c", "id -u; cat /proc/1/comm") == "0\nsleep\n"
    assert he.container("exec", "-u", "guest", "web", "id", "-un") == "guest\n"
    assert he.container("logs", "web") == "begun\n"
    assert he.inspect("web")["State"]["Running"] is True
    (row,) = json.loads(he("list", "--format", "json").stdout)
    assert (row["status"], row["owner"]) == ("running", he.account.name), "the runtime's own verbs see it"
    assert he("exec", row["id"], "sh", "-c", "id -u; pwd").stdout == "0\n/\n"
    assert he("container", "rm", "web").returncode == 1
    he.container("stop", "-t", "0", "web")
    assert he.inspect("web")["State"]["ExitCode"] == 137
    he.container("start", "web")
    assert he.container("logs", "web") == "begun\nbegun\n"
    he.container("rm", "-f", "web")


def test_devices_of_an_image_are_left_out_and_that_is_said_once(he: Citizen) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        device, program = tarfile.TarInfo("odd/kmsg"), tarfile.TarInfo("busybox")
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 11
        program.size, program.mode = Path(BUSYBOX).stat().st_size, 0o755
        archive.addfile(device)
        archive.addfile(program, io.BytesIO(Path(BUSYBOX).read_bytes()))
    (he.storage.parent / "odd.tar").write_bytes(data.getvalue())
    assert he("image", "import", he.storage.parent / "odd.tar", "odd:1").returncode == 0
    (he.storage.parent / "odd.tar").unlink()
    words = ("container", "run", "--rm", "--net", "none", "odd:1", "/busybox", "ls", "/odd")
    done = he(*words)
    assert done.returncode == 0 and done.stdout == "" and "are left out: odd/kmsg" in done.stderr, done.stderr
    assert he(*words).stderr == ""


def test_users_of_the_image(he: Citizen) -> None:
    """They are ids of his range outside; he can take their files away nevertheless."""
    he.container("run", "-d", "--name", "other", "-u", "1000:1000", "--net", "none", "busybox", "sleep", "1000")
    pid = he.inspect("other")["State"]["Pid"]
    assert Path(f"/proc/{pid}").stat().st_uid == he.account.first + 999
    assert he.container("exec", "other", "id", "-un") == "guest\n"
    assert he.container("exec", "-u", "0", "other", "sh", "-c", "touch /home/f; chown 7:8 /home/f; ls -n /home/f")
    before = len(he.files_of_others())
    assert he("kill", he.inspect("other")["Id"], "KILL").returncode == 0, "of a process that is another's outside"
    assert he.container("wait", "other") == "137\n"
    he.container("rm", "other")
    assert len(he.files_of_others()) == before - 1


def test_volumes(he: Citizen) -> None:
    """A named one with another's files in it, a bind of his own directory."""
    mine = he.home / "mine"
    mine.mkdir()
    os.chown(mine, he.account.uid, he.account.gid)
    he.run(
        "-v",
        "data:/data",
        "-v",
        f"{mine}:/mine",
        "busybox",
        "sh",
        "-c",
        "echo a > /data/f; chown 5:6 /data/f; echo b > /mine/g",
    )
    assert (mine / "g").stat().st_uid == he.account.uid
    assert (he.storage / "volumes/data/_data/f").stat().st_uid == he.account.first + 4
    assert he.run("-v", "data:/data:ro", "busybox", "sh", "-c", "cat /data/f; stat -c %u:%g /data/f") == "a\n5:6\n"
    assert he("volume", "rm", "data").returncode == 0
    assert not (he.storage / "volumes/data").exists()
    shutil.rmtree(mine)


def test_changes(he: Citizen) -> None:
    """diff, cp both ways, commit: whiteouts, an opaque directory, and another user's file come through."""
    script = "rm /etc/group; rm -r /home; mkdir /home; echo n > /n; chown 9:9 /n; mv /n /home/new; sleep 1000"
    he.container("run", "-d", "--name", "work", "--net", "none", "busybox", "sh", "-c", script)
    until(lambda: he.container("exec", "work", "stat", "-c", "%u", "/home/new").split(), ["9"])
    changed = he.container("diff", "work").splitlines()
    assert {"D /etc/group", "A /home/new"} <= set(changed), changed
    he.container("cp", "work:/home/new", he.home / "got")
    assert (he.home / "got").read_text() == "n\n"
    (he.home / "in").write_text("from outside\n")
    he.container("cp", he.home / "in", "work:/root/in")
    assert he.container("exec", "work", "cat", "/root/in") == "from outside\n"
    he.container("commit", "work", "mine:1")
    he.container("rm", "-f", "work")
    seen = he.run("mine:1", "sh", "-c", "ls /home; stat -c %u /home/new; ls /etc/group; cat /root/in")
    assert seen == "new\n9\nfrom outside\n"


def test_an_archive(he: Citizen) -> None:
    file = he.home / "busybox.tar"
    assert he("image", "save", "-o", file, "busybox").returncode == 0
    before = he("image", "inspect", "busybox").stdout
    assert he("image", "rm", "-f", "busybox").returncode == 0
    done = he("image", "load", "-i", file)
    assert done.returncode == 0, done.stderr
    assert json.loads(he("image", "inspect", "busybox").stdout)[0]["Id"] == json.loads(before)[0]["Id"]
    assert he.run("busybox", "echo", "again") == "again\n"


@pytest.mark.needs("registry")
def test_a_registry(he: Citizen, tmp_path: Path) -> None:
    """push, then run what is not here: pulled, unpacked with his ids, run."""
    with registry(tmp_path / "registry") as there:
        name = f"{there.host}/his/busybox:1"
        assert he("image", "tag", "busybox", name).returncode == 0
        done = he("image", "push", name)
        assert done.returncode == 0, done.stderr
        assert he("image", "rm", name).returncode == 0
        assert he.run(name, "stat", "-c", "%u", "/home/guest") == "1000\n"
        assert he("image", "rm", name).returncode == 0


@pytest.fixture
def given(he: Citizen) -> Iterator[Path]:
    """A cgroup of his own, with the shell that he types in (cgroups(7), Delegation)."""
    own = Path(find_cgroup_root()) / f"minirun-citizen-{os.getpid()}"
    (own / "shell").mkdir(parents=True)
    for directory in (own, own / "shell"):
        for name in (".", "cgroup.procs", "cgroup.subtree_control"):
            os.chown(directory / name, he.account.uid, he.account.gid)
    he.within = ["sh", "-c", f'echo $$ > {own}/shell/cgroup.procs && exec "$@"', "-"]
    yield own
    he.within = []
    for inner in reversed(tree.subtree(str(own))):
        tree.rmdir(inner, 5)


def test_a_cgroup_that_was_given(he: Citizen, given: Path) -> None:
    """There is the container's, and pause works; it goes with the container."""
    he.container("run", "-d", "--name", "held", "--net", "none", "busybox", "sleep", "1000")
    made = given / "shell/minirun" / he.inspect("held")["Id"]
    assert (made / "cgroup.procs").read_text().split() == [str(he.inspect("held")["State"]["Pid"])]
    he.container("pause", "held")
    assert "Paused" in he.container("ps")
    he.container("unpause", "held")
    he.container("rm", "-f", "held")
    assert not made.exists()


def test_what_cannot_be(he: Citizen) -> None:
    """Refused by name, with what to do; nothing is left of it."""
    done = he("--isolation", "vm", "container", "run", "--rm", "--net", "pasta", "busybox", "true")
    assert done.returncode == 125 and "cannot attach a machine to the network pasta" in done.stderr, done.stderr
    for words, said, hint in (
        (("--net", "bridge"), "cannot attach to the network bridge", "--net pasta"),
        (("--net", "none", "--userns", "keep-id"), "a user namespace of its own", "root inside is you"),
        (("--net", "none", "-m", "64m"), "memory", ""),
        (("--net", "none", "--device", "/dev/does-not-exist"), "/dev/does-not-exist", ""),
    ):
        done = he("container", "run", "--rm", *words, "busybox", "true")
        assert done.returncode == 125 and said in done.stderr and hint in done.stderr, (words, done.stderr)
        assert he.containers() == []


def test_a_network_that_nobody_could_use(he: Citizen) -> None:
    done = he("network", "create", "mine")
    assert done.returncode == 125 and "bridges and their rules need the host's root" in done.stderr, done.stderr
    assert "mine" not in he("network", "ls").stdout


def test_namespaces_of_the_host(he: Citizen) -> None:
    """--net host, --pid host: there /sys and /proc are the host's, bound."""
    assert "lo" in he.container("run", "--rm", "--net", "host", "busybox", "ls", "/sys/class/net").split()
    seen = he.container("run", "--rm", "--net", "none", "--pid", "host", "busybox", "ls", "/proc").split()
    assert str(os.getpid()) in seen


def test_more_rights(he: Citizen) -> None:
    """--privileged: as much as he has himself."""
    seen = he.run(
        "--privileged", "busybox", "sh", "-c", "mount -t tmpfs none /tmp && grep -c ' /tmp ' /proc/mounts; id -u"
    )
    assert seen == "1\n0\n"


def test_a_pod_of_two(he: Citizen) -> None:
    he.container("run", "-d", "--name", "first", "--net", "none", "busybox", "sleep", "1000")
    words = ("--net", "container:first", "--pid", "container:first", "busybox", "sh", "-c", "ps | grep -c 'sleep 1000'")
    assert int(he.container("run", "--rm", *words)) >= 1
    he.container("rm", "-f", "first")


def test_the_whole_storage_goes(place: Path, account: Account) -> None:
    """rm and prune take away what his range owns; what is left is his own to remove."""
    (place / "leaves").mkdir(mode=0o755)
    he = Citizen(place / "leaves", account)
    assert he("image", "build-rootfs", "busybox").returncode == 0
    he.container(
        "run",
        "--name",
        "c",
        "--net",
        "none",
        "-v",
        "/anonymous",
        "busybox",
        "sh",
        "-c",
        "touch /anonymous/a /b; chown 3 /anonymous/a /b",
    )
    assert len(he.files_of_others()) == 3, "these, and one of the image's"
    he.container("rm", "-v", "c")
    assert he("image", "rm", "busybox").returncode == 0
    assert he("system", "prune", "-af", "--volumes").returncode == 0
    assert he.files_of_others() == []
    he.nothing_left()


def test_alone(place: Path, account: Account) -> None:
    """Without a range: root and nobody else."""
    (place / "alone").mkdir(mode=0o755)
    poor = Citizen(place / "alone", Account("", 12399, 12399, 0, 0))
    assert poor("image", "build-rootfs", "busybox").returncode == 0
    done = poor("container", "run", "--rm", "--net", "none", "busybox", "sh", "-c", "id; cat /proc/self/uid_map")
    assert done.returncode == 0 and "no range of ids for 12399" in done.stderr, done.stderr
    assert done.stdout.split()[-3:] == ["0", "12399", "1"] and "uid=0" in done.stdout
    done = poor("container", "run", "--rm", "--net", "none", "-u", "5", "busybox", "id")
    assert done.returncode == 125 and "uid 5 is not mapped" in done.stderr, done.stderr
    assert poor.files_of_others() == []
    poor.nothing_left()
