"""``container cp``, on containers that run, that do not, and that are hostile."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN
from tests.integration import shop as shops
from tests.integration.boxes import names, stream
from tests.integration.shop import IMAGE, Shop
from tests.unit.tars import tar

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.mark.parametrize("running", [True, False])
def test_cp_out(running: bool, box: Shop, tmp_path: Path) -> None:
    if not running:
        box.out("stop", "-t", "0", "box")
    out = tmp_path / "out"
    out.mkdir()
    for source, target in (
        ("/srv/d", "."), ("/srv/d", "renamed"), ("/srv/d/.", "."), ("/etc/new", "here"), ("/srv/out", "link"),
        ("srv/d/soft", "soft2"),
    ):  # fmt: skip
        box.out("cp", f"box:{source}", target, cwd=out)
    box.out("cp", "-a", "box:/srv/d/f", str(out / "archived"))
    box.out("cp", "-L", "box:/srv/d/soft", str(out) + "/")
    assert sorted(os.listdir(out)) == ["archived", "d", "e", "f", "hard", "here", "link", "renamed", "soft", "soft2"]
    file = (out / "d/f").stat()
    assert (file.st_uid, file.st_gid, file.st_mode & 0o7777) == (0, 0, 0o751)  # 5's set-user-ID would be root's
    assert ((out / "archived").stat().st_uid, (out / "archived").stat().st_gid) == (5, 6)
    assert (out / "d/hard").stat().st_ino == file.st_ino
    assert os.readlink(out / "d/soft") == "f" and os.readlink(out / "link") == "/etc"
    assert not (out / "soft").is_symlink() and (out / "soft").read_text() == "inner\n"
    assert (out / "renamed/e/g").read_text() == "deep\n"
    assert names(stream(box, "cp", "box:/srv/d", "-")) == ["d", "d/e", "d/e/g", "d/f", "d/hard", "d/soft"]
    assert bool(box.mounts()) == running


@pytest.mark.parametrize("running", [True, False])
def test_cp_in(running: bool, box: Shop, tmp_path: Path) -> None:
    if not running:
        box.out("stop", "-t", "0", "box")
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_text("from outside\n")
    os.chown(source / "file", 7, 8)
    for words in (
        (source / "file", "box:/root/"), (source / "file", "box:/etc/group"), (source, "box:/srv"),
        (f"{source}/.", "box:/root"), (source, "box:/root/made"), ("-a", source / "file", "box:/root/kept"),
        (source / "file", "box:/srv/out/through"),
    ):  # fmt: skip
        box.out("cp", *words)
    stream(box, "cp", "-", "box:/tmp", input=tar(("file", "a/b", b"x", {"uid": 9})))
    if not running:
        box.out("start", "box")
    text = box.out("exec", "box", "sh", "-c", "cat /etc/group /etc/through /root/made/file; stat -c '%u:%g %n' "
                   "/root/file /root/kept /srv/in/sub /root/sub /tmp/a/b")  # fmt: skip
    assert text.splitlines() == [
        "from outside", "from outside", "from outside", "0:0 /root/file", "7:8 /root/kept", "0:0 /srv/in/sub",
        "0:0 /root/sub", "9:0 /tmp/a/b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("box:/nothing", "X", "No such file"), ("X/nothing", "box:/", "No such file"),
        ("X", "box:/etc/new", "not a directory"), ("X/file", "box:/nowhere/", "no such directory"),
        ("X/file", "box:/no/where", "No such file"), ("X/file", "box:/etc/new/", "no such"),
        ("box:/etc/new/", "X", "Not a directory"), ("X", "X", "one of the two must be CONTAINER:PATH"),
        ("box:/etc", "box:/tmp", "one of the two"), ("nobody:/etc", "X", "no such container"),
        ("X/file", "box:/srv/d/e/..", ""),
        ("box:/srv/d/e", "X/file", "not a directory"), ("X/e", "box:/srv/d", "there is a directory of this name"),
    ],
)  # fmt: skip
def test_cp_says_why_not(source: str, target: str, why: str, box: Shop, tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.mkdir()
    (place / "file").write_text("f")
    (place / "e").write_text("e")
    done = box("cp", source.replace("X", str(place)), target.replace("X", str(place)))
    assert (done.returncode != 0) == bool(why) and why in done.stderr, done.stderr
    assert done.stderr.count("\n") <= 2
    assert sorted(os.listdir(place)) == ["e", "file"]


def test_a_containers_links_never_lead_out(box: Shop, tmp_path: Path) -> None:
    """Reading and writing, by a link that is absolute, climbs, or is put in the way of a directory."""
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    box.out("exec", "box", "sh", "-c", f"ln -s {secret} /srv/abs; ln -s {tmp_path} /srv/dir; mkdir /srv/work")
    assert "No such file" in box("cp", "-L", "box:/srv/abs", str(tmp_path / "got")).stderr
    assert "No such file" in box("cp", f"box:/srv/dir/{secret.name}", str(tmp_path / "got")).stderr
    (tmp_path / "new").write_text("x")
    for target in ("/srv/abs", "/srv/dir/", "/srv/up/written"):
        box("cp", str(tmp_path / "new"), f"box:{target}")
    hostile = tar(("link", "work/way", str(tmp_path)), ("file", "work/way/owned", b"x"))
    done = subprocess.run(box.command("cp", "-", "box:/srv"), input=hostile, capture_output=True, timeout=30)
    assert done.returncode == 125 and b"leads elsewhere" in done.stderr, done.stderr
    climbing = tar(("file", "../../owned", b"x"))
    done = subprocess.run(box.command("cp", "-", "box:/srv"), input=climbing, capture_output=True, timeout=30)
    assert done.returncode == 125 and b"has .. in it" in done.stderr
    assert secret.read_text() == "the host's" and sorted(os.listdir(tmp_path)).count("owned") == 0
    assert not Path("/etc/written").exists() and not (tmp_path / "got").exists()
    assert box.out("exec", "box", "cat", "/etc/written") == "x"


def test_cp_of_devices_fifos_and_proc_does_not_hang(box: Shop, tmp_path: Path) -> None:
    box.out("exec", "box", "sh", "-c", "mkdir /srv/odd; mkfifo /srv/odd/p; mknod /srv/odd/n c 1 3; echo x > /srv/odd/x")
    box.out("cp", "box:/srv/odd", str(tmp_path / "odd"))
    assert (tmp_path / "odd/p").is_fifo() and (tmp_path / "odd/n").is_char_device()
    done = box("cp", "box:/srv/odd/x", str(tmp_path / "odd/n"))
    assert done.returncode == 1 and "neither a file nor a directory" in done.stderr, "it could be /dev/null"
    assert (tmp_path / "odd/n").is_char_device()
    box.out("cp", "box:/proc/version", str(tmp_path / "version"))
    assert (
        "No such" in box("cp", "box:/proc/self/root/etc", str(tmp_path / "no")).stderr or not (tmp_path / "no").exists()
    )


def test_volumes_are_there_while_it_runs(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "vol").mkdir()
    shop.background("sleep", "1000", name="v", flags=("-v", f"{tmp_path / 'vol'}:/data", "--tmpfs", "/mem"))
    (tmp_path / "file").write_text("x")
    shop.out("cp", str(tmp_path / "file"), "v:/data/in")
    shop.out("cp", str(tmp_path / "file"), "v:/mem/in")
    assert (tmp_path / "vol/in").read_text() == "x"
    assert shop.out("exec", "v", "cat", "/mem/in") == "x"
    assert not [line for line in shop.out("diff", "v").splitlines() if "in" in line]


def test_what_would_be_lost_is_refused(shop: Shop, tmp_path: Path) -> None:
    """A container that keeps its changes in memory has none while it does not run; what the image has can be read."""
    shop.out("create", "--name", "e", "--ephemeral", "--net", "none", IMAGE, "sleep", "1000")
    (tmp_path / "file").write_text("x")
    done = shop("cp", str(tmp_path / "file"), "e:/in")
    assert done.returncode == 1 and "it does not run (--ephemeral)" in done.stderr
    assert "root:" in shop("cp", "e:/etc/passwd", "-").stdout
    shop.out("start", "e")
    shop.out("cp", str(tmp_path / "file"), "e:/in")
    assert shop.out("exec", "e", "cat", "/in") == "x"


@pytest.fixture
def open_shop(open_place: Path, busybox_storage: Path) -> Iterator[Shop]:
    """A shop that a container's root, who is another out here, can reach."""
    made = Shop(shops.copy(busybox_storage, open_place / "storage"), open_place / "root")
    yield made
    made.close()


def test_ids_in_a_user_namespace(open_shop: Shop, tmp_path: Path) -> None:
    """What is root's inside arrives as root's, though the disk of a running one shows other ids."""
    shop = open_shop
    shop.background("sleep", "1000", name="u", flags=("--userns", "0:100000:65536"))
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path / "file", 7, 8)
    shop.out("cp", str(tmp_path / "file"), "u:/root-owned")
    shop.out("cp", "-a", str(tmp_path / "file"), "u:/kept")
    assert shop.out("exec", "u", "stat", "-c", "%u:%g", "/root-owned", "/kept").split() == ["0:0", "7:8"]
    shop.out("cp", "-a", "u:/kept", str(tmp_path / "back"))
    assert ((tmp_path / "back").stat().st_uid, (tmp_path / "back").stat().st_gid) == (7, 8)
    for words in (("export", "u"), ("cp", "u:/", "-")):
        with tarfile.open(fileobj=io.BytesIO(stream(shop, *words))) as archive:
            owners = {member.name: (member.uid, member.gid) for member in archive}
        assert (owners["kept"], owners["root-owned"], owners["bin/busybox"]) == ((7, 8), (0, 0), (0, 0))
    assert ("A /kept" in shop.out("diff", "u")) and shop.out("commit", "u", "mapped").startswith("sha256:")
    assert shop.out("run", "--rm", "--net", "none", "mapped", "stat", "-c", "%u:%g", "/kept") == "7:8"


def test_cp_killed_leaves_no_mount_for_long(shop: Shop) -> None:
    """The one that comes next works, and takes the dead one's mount away."""
    shop.out("create", "--name", "k", "--net", "none", IMAGE, "sh", "-c", "cat /in")
    child = subprocess.Popen(shop.command("cp", "-", "k:/"), stdin=subprocess.PIPE)
    end = time.monotonic() + 5
    while not shop.mounts() and time.monotonic() < end:
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert child.stdin
    child.stdin.close()
    assert shop.mounts()
    stream(shop, "cp", "-", "k:/", input=tar(("file", "in", b"read me\n")))
    assert not shop.mounts()
    assert shop.out("start", "-a", "k") == "read me"


def test_a_container_that_is_not_there(shop: Shop) -> None:
    for words in (("diff", "x"), ("commit", "x"), ("export", "x"), ("cp", "x:/a", ".")):
        done = shop(*words)
        assert done.returncode == 1 and "no such container: x" in done.stderr
    assert IMAGE and MINIRUN.exists()


def test_a_device_is_written_to_and_not_replaced(shop: Shop, tmp_path: Path) -> None:
    """``export -o /dev/null``: a rename would put a file in its place, for the whole machine."""
    null = tmp_path / "null"
    os.mknod(null, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    shop.out("create", "--name", "n", "--net", "none", IMAGE, "true")
    shop.out("export", "-o", str(null), "n")
    assert stat.S_ISCHR(null.stat().st_mode) and [path.name for path in tmp_path.glob("null*")] == ["null"]
