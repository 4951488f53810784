"""A container has made its own files as odd as it can: the verbs that look at them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")


def test_the_root_and_links_to_it_are_copied(shop: Shop, tmp_path: Path) -> None:
    shop.background("sleep", "60", name="a")
    shop.out("exec", "a", "ln", "-s", "/proc/1/root", "/magic")
    for source in ("/", "/.", "/bin/.."):
        target = tmp_path / f"to{source.replace('/', '_')}"
        shop.out("cp", f"a:{source}", target)
        assert (target / "bin" / "busybox").is_file()
    shop.out("cp", "-L", "a:/magic", tmp_path / "magic")  # readlink(2) says "/", which is the container's
    assert (tmp_path / "magic" / "bin" / "busybox").is_file() and not (tmp_path / "magic" / "boot").exists()


def test_a_tree_deeper_than_any_path(shop: Shop) -> None:
    """One clear error, and the container goes as any other."""
    deeper = "cd /; n=$(head -c 200 /dev/zero | tr '\\0' n); for i in $(seq 30); do mkdir $n && cd $n; done; true"
    shop.out("run", "--name", "a", "--net", "none", IMAGE, "sh", "-c", deeper)
    for words in (["diff", "a"], ["commit", "a", "deep"]):
        done = shop(*words)
        assert done.returncode != 0 and "File name too long" in done.stderr and "does not know" not in done.stderr
        assert len(done.stderr) < 1000
    shop.out("rm", "a")


def test_a_home_that_is_not_utf_8(shop: Shop) -> None:
    shop.background("sleep", "60", name="a")
    shop.out("exec", "a", "sh", "-c", r"printf 'c:x:5:6::/\377:/bin/sh\n' > /etc/passwd")
    assert shop.out("exec", "-u", "c", "a", "sh", "-c", "id -u; echo $HOME") == "5\n/"


def test_a_part_of_a_volume_is_never_outside_of_it(shop: Shop) -> None:
    """Who had the volume before has put links there; the next one asks for a part of it."""
    links = (
        "ln -s / root; ln -s ../../../../../../../../../../etc up; ln -s dir good; mkdir -p dir/in; echo x > dir/in/f"
    )
    shop.out("run", "--rm", "--net", "none", "-v", "data:/v", "-w", "/v", IMAGE, "sh", "-c", links)
    mount = "type=volume,source=data,target=/t,volume-subpath="
    for bad in ("root", "up", "root/etc", "nothing"):
        done = shop("run", "--rm", "--net", "none", "--mount", mount + bad, IMAGE, "ls", "/t")
        assert done.returncode == 125 and done.stdout == "", (bad, done)
        assert ("leads out of the volume" in done.stderr) == (bad != "nothing"), done.stderr
    assert shop.out("run", "--rm", "--net", "none", "--mount", mount + "good/in", IMAGE, "cat", "/t/f") == "x"
    shop.background("sleep", "60", name="a", flags=("--mount", mount + "dir/in/f"))
    shop.out("restart", "-t", "0", "a")
    assert shop.out("exec", "a", "cat", "/t") == "x"


def test_what_is_copied_out_does_not_run_as_the_hosts_root(shop: Shop, tmp_path: Path) -> None:
    """Somebody's set-user-ID program in there would be root's out here; -a keeps owner and all."""
    shop.background("sleep", "60", name="a")
    shop.out(
        "exec", "a", "sh", "-c", "mkdir /d; cp /bin/busybox /d/p; chown 1000:1000 /d/p; chmod 6755 /d/p; chmod 2775 /d"
    )
    os.setxattr(
        f"/proc/{shop.status('a')['pid']}/root/d/p", "security.capability", bytes.fromhex("0100000220") + bytes(15)
    )
    shop.out("cp", "a:/d", tmp_path / "plain")
    shop.out("cp", "-a", "a:/d", tmp_path / "all")
    plain, whole = tmp_path / "plain" / "p", tmp_path / "all" / "p"
    assert (plain.stat().st_mode & 0o7777, plain.stat().st_uid, os.listxattr(plain)) == (0o755, 0, [])
    assert plain.parent.stat().st_mode & 0o7777 == 0o775
    assert (whole.stat().st_mode & 0o7777, whole.stat().st_uid) == (0o6755, 1000)
    assert os.listxattr(whole) == ["security.capability"]
