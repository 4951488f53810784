"""``container diff``, ``commit`` and ``export``: what a container has become."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.conftest import run
from tests.integration.boxes import names, stream
from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")


def test_diff_is_the_same_running_or_not(box: Shop) -> None:
    found = box.out("diff", "box").splitlines()
    assert [line for line in found if "/etc" in line] == ["C /etc", "A /etc/new", "D /etc/passwd"]
    assert "A /srv/d/e/g" in found and not any("hostname" in line or line.endswith("/dev") for line in found)
    assert json.loads(box.out("diff", "--format", "json", "box"))[0].keys() == {"Path", "Kind"}
    box.out("stop", "-t", "0", "box")
    assert box.out("diff", "box").splitlines() == found


def test_commit_is_the_container_as_an_image(box: Shop) -> None:
    words = (
        "commit",
        "-a",
        "Ada",
        "-m",
        "a comment",
        "-c",
        "ENV COLOUR=green",
        "-c",
        'CMD ["cat", "/etc/new"]',
        "box",
        "two:v1",
    )
    identity = box.out(*words)
    assert box.out("run", "--rm", "--net", "none", "two:v1") == "new"
    look = "ls /etc/passwd; stat -c '%u:%g %a %h' /srv/d/f; readlink /srv/out; echo $COLOUR"
    done = box("run", "--rm", "--net", "none", "two:v1", "sh", "-c", look)
    assert done.stdout.splitlines() == ["5:6 4751 2", "/etc", "green"] and "/etc/passwd" in done.stderr
    found = json.loads(run(*box.base, "image", "inspect", "two:v1").stdout)[0]
    assert (found["Id"], found["Author"]) == (identity, "Ada")
    assert box.out("ps", "-q"), "the container was frozen, and runs on"
    box.out(
        "run", "--name", "third", "--net", "none", "two:v1", "sh", "-c", "rm -r /srv; mkdir /srv; echo 3 > /srv/three"
    )
    box.out("commit", "third", "three")
    assert box.out("run", "--rm", "--net", "none", "three", "ls", "/srv") == "three"


def test_commit_killed_in_the_middle_leaves_a_store_that_works(box: Shop) -> None:
    box.out("exec", "box", "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=30 2>/dev/null")
    for wait in (0.1, 0.3, 0.6):
        child = subprocess.Popen(box.command("commit", "box", "half"), stdout=subprocess.DEVNULL)
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert box.out("commit", "box", "whole").startswith("sha256:")
    assert box.out("run", "--rm", "--net", "none", "whole", "stat", "-c", "%s", "/big") == str(30 << 20)
    box.out("rm", "-f", "box")
    run(*box.base, "image", "prune", "-f")
    assert not list((box.storage / "ingest").glob("*"))


def slow_commit(box: Shop) -> subprocess.Popen[bytes]:
    """One that is reading the container, which it has frozen."""
    child = subprocess.Popen(box.command("commit", "box", "half"), stdout=subprocess.DEVNULL)
    events = Path(f"/sys/fs/cgroup{cgroup_of(box)}/cgroup.events")
    end = time.monotonic() + 10
    while "frozen 1" not in events.read_text():
        assert time.monotonic() < end and child.poll() is None
    return child


def cgroup_of(box: Shop) -> str:
    """Where its files are, below /sys/fs/cgroup, wherever cgroup2 is mounted there."""
    pid = box.status("box")["pid"]
    own = next(line[3:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))
    return own if Path("/sys/fs/cgroup/cgroup.controllers").exists() else f"/unified{own}"


def test_a_freeze_ends_with_whoever_froze(box: Shop) -> None:
    """A commit that is killed leaves the container frozen: the next verb thaws it.  What a person froze stays so."""
    box.out("exec", "box", "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null")
    child = slow_commit(box)
    assert "(Paused)" in box.out("ps")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert "(Paused)" not in box.out("ps") and box.out("exec", "box", "echo", "on") == "on"
    child = slow_commit(box)
    child.send_signal(signal.SIGKILL)
    child.wait()
    box.out("pause", "box")
    assert box.out("commit", "box", "whole").startswith("sha256:") and "(Paused)" in box.out("ps")
    box.out("unpause", "box")
    assert not (box.directory("box") / "frozen-by").exists()


@pytest.mark.parametrize("running", [True, False])
def test_export_is_the_merged_tree(running: bool, box: Shop, tmp_path: Path) -> None:
    if not running:
        box.out("stop", "-t", "0", "box")
    box.out("export", "-o", str(tmp_path / "box.tar"), "box")
    with tarfile.open(tmp_path / "box.tar") as archive:
        members = {member.name: member for member in archive}
        assert archive.extractfile("etc/new").read() == b"new\n"  # type: ignore[union-attr]
    assert "etc/passwd" not in members and "bin/busybox" in members and "proc/1" not in members
    assert (members["srv/d/f"].uid, members["srv/d/hard"].islnk() or members["srv/d/f"].islnk()) == (5, True)
    assert names(stream(box, "export", "box")) == sorted(members)
    assert os.listdir(tmp_path).count("box.tar.part") == 0
    done = run(*box.base, "image", "import", tmp_path / "box.tar", "imported")
    assert done.returncode == 0, done.stderr
    assert box.out("run", "--rm", "--net", "none", "imported", "cat", "/etc/new") == "new"


def test_what_was_in_memory_is_gone_with_the_end(shop: Shop) -> None:
    shop.out("run", "--name", "e", "--ephemeral", "--net", "none", IMAGE, "sh", "-c", "echo x > /new")
    assert shop.out("diff", "e") == ""
    assert shop.out("commit", "e", "same").startswith("sha256:")
    assert shop.out("run", "--rm", "--net", "none", "same", "ls", "/").split().count("new") == 0


def test_nobody_reads_to_the_end(box: Shop, tmp_path: Path) -> None:
    for words in (("export", "box"), ("cp", "box:/", "-")):
        with subprocess.Popen(box.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout and child.stderr
            child.stdout.read(10)
            child.stdout.close()
            assert child.stderr.read() == b"minirun: cannot write the tar: Broken pipe\n"
        assert child.returncode == 1
    null = tmp_path / "null"  # /dev/null's like: a file must not take its place
    os.mknod(null, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    box.out("export", "-o", str(null), "box")
    assert stat.S_ISCHR(null.stat().st_mode) and not (tmp_path / "null.part").exists()
    done = box("export", "-o", "/dev/full/x", "box")
    assert done.returncode == 1 and "cannot write /dev/full/x" in done.stderr
