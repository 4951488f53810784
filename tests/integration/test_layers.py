"""Layers unpacked: overlay form, hard links, times, what lies below; once for everybody; whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.images.layers import Layers, chain_ids
from minirun.images.store import Images
from tests.conftest import ROOT
from tests.integration.making import blob, image, unpacked
from tests.unit.tars import tar

pytestmark = pytest.mark.needs("root")
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep, revision 2


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


def test_all_that_a_file_has(tmp_path: Path) -> None:
    pax = {"SCHILY.xattr.user.colour": "green", "mtime": "1600000000.123456789"}
    (top,) = unpacked(
        tmp_path,
        [
            ("dir", "d", b"", {"mode": 0o1777, "mtime": 1_500_000_000}),
            ("file", "d/f", b"hello", {"mode": 0o4711, "uid": 5, "gid": 6, "mtime": 7}),
            ("file", "x", b"x", {"pax_headers": pax}),
            ("file", "large", b"L" * 3_000_000),
            ("hard", "d/g", "d/f"), ("link", "d/l", "../x", {"uid": 9, "mtime": 11}),
            ("fifo", "p", b"", {"mode": 0o600}), ("char", "null", b"", {"devmajor": 1, "devminor": 3, "mode": 0o666}),
        ],
    )  # fmt: skip
    file = (top / "d/f").stat()
    assert (file.st_mode & 0o7777, file.st_uid, file.st_gid, file.st_mtime, file.st_nlink) == (0o4711, 5, 6, 7, 2)
    assert (top / "d/g").stat().st_ino == file.st_ino
    directory = (top / "d").stat()
    assert (directory.st_mode & 0o7777, directory.st_mtime) == (0o1777, 1_500_000_000)
    assert os.getxattr(top / "x", "user.colour") == b"green"
    assert (top / "x").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert (top / "large").read_bytes() == b"L" * 3_000_000
    link = (top / "d/l").lstat()
    assert (os.readlink(top / "d/l"), link.st_uid, link.st_mtime) == ("../x", 9, 11)
    assert stat.S_ISFIFO((top / "p").stat().st_mode)
    assert (top / "null").stat().st_rdev == os.makedev(1, 3)


def test_a_program_keeps_its_capability(tmp_path: Path) -> None:
    from minirun.images import tar_write

    data = tar_write.header(b"ping", mode=0o755, uid=3, xattrs={b"security.capability": CAPABILITY}) + tar_write.END
    (top,) = unpacked(tmp_path, data)
    assert os.getxattr(top / "ping", "security.capability") == CAPABILITY


def test_whiteouts_in_any_order(tmp_path: Path) -> None:
    below = [
        ("dir", "d"),
        ("file", "d/old", b""),
        ("dir", "e"),
        ("file", "e/old", b""),
        ("file", "f", b""),
        ("dir", "r"),
    ]
    above = [
        ("file", "d/.wh.old"), ("file", "e/new", b""), ("file", "e/.wh..wh..opq"),  # opaque, wherever it stands
        ("file", ".wh.f"), ("file", "f", b"again"),  # deleted below, and there
        ("file", ".wh.r"), ("dir", "r"),  # another directory of the same name
        ("file", "nowhere/.wh.x"), ("file", ".wh..wh.plnk"),
    ]  # fmt: skip
    top, bottom = unpacked(tmp_path, below, above)
    assert is_whiteout(top / "d/old")
    assert is_opaque(top / "e") and not is_opaque(top / "d")
    assert (top / "f").read_bytes() == b"again"
    assert is_opaque(top / "r")
    assert not (top / "nowhere").exists() and not list(top.glob(".wh*"))
    assert not is_whiteout(bottom / "f")
    assert not list(unpacked(tmp_path / "other", above[:1])[0].glob("*"))  # over nothing there is nothing to hide


def test_a_directory_that_no_entry_makes_is_the_one_below(tmp_path: Path) -> None:
    own = {"mode": 0o750, "uid": 7, "gid": 8, "mtime": 1234567890}
    top, _ = unpacked(tmp_path, [("dir", "srv", b"", own), ("dir", "srv/d", b"", own)], [("file", "srv/d/f", b"x")])
    for name in ("srv", "srv/d"):
        is_ = (top / name).stat()
        assert (is_.st_mode & 0o7777, is_.st_uid, is_.st_gid, is_.st_mtime) == (0o750, 7, 8, 1234567890)


def test_a_hard_link_to_a_file_of_a_layer_below(tmp_path: Path) -> None:
    below = [("dir", "d"), ("file", "d/f", b"content", {"uid": 5, "mode": 0o640, "mtime": 9})]
    top, bottom = unpacked(tmp_path, below, [("hard", "g", "d/f")])
    assert (top / "g").stat().st_ino == (top / "d/f").stat().st_ino
    is_ = (top / "g").stat()
    assert ((top / "g").read_bytes(), is_.st_uid, is_.st_mode & 0o7777, is_.st_mtime) == (b"content", 5, 0o640, 9)
    assert (bottom / "d/f").stat().st_nlink == 1


def test_a_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    (top,) = unpacked(
        tmp_path, [("dir", "usr"), ("dir", "usr/lib"), ("link", "lib", "usr/lib"), ("file", "lib/f", b"x")]
    )
    assert (top / "usr/lib/f").read_bytes() == b"x"


def test_unpacked_once_and_shared(tmp_path: Path) -> None:
    images = Images(str(tmp_path))
    first = image(images, [("file", "a", b"1")], [("file", "b", b"2")])
    second = image(images, [("file", "a", b"1")], [("file", "c", b"3")], name="localhost/u:latest")
    layers = Layers(str(tmp_path))
    lowers = layers.ensure(images, first)
    before = os.stat(lowers[1]).st_ino
    others = layers.ensure(images, second)
    assert others[1] == lowers[1] and os.stat(others[1]).st_ino == before
    assert len(os.listdir(tmp_path / "layers")) == 4  # three and the lock
    assert layers.gc(chain_ids(first.diff_ids)) == 1
    assert os.path.exists(lowers[0]) and not os.path.exists(others[0])
    assert not list((tmp_path / "tmp").glob("layer*"))


UNPACK = """
import sys
from minirun.images.layers import Layers
from minirun.images.store import Images
images = Images(sys.argv[1])
with images.shared():
    print(*Layers(sys.argv[1]).ensure(images, images.find("localhost/t")))
"""


def unpacking(storage: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", UNPACK, storage], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_killed_in_the_middle_it_begins_again(tmp_path: Path) -> None:
    """kill -9 while it unpacks; the next one finds no half layer, and leaves nothing of the dead one's."""
    content = os.urandom(100)
    images = Images(str(tmp_path))
    image(images, tar(*[("file", f"f{number}", content) for number in range(6000)]))
    chain = images.find("localhost/t").diff_ids
    killed = 0
    for wait in (0.02, 0.06, 0.15):
        child = unpacking(tmp_path)
        end = time.monotonic() + 10
        while not list((tmp_path / "tmp").glob("layer*")) and child.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        killed += not Layers(str(tmp_path)).has(chain[0])
    assert killed, "nobody was killed in the middle"
    two = [unpacking(tmp_path), unpacking(tmp_path)]
    (one,), (other,) = ([child.communicate()[0].strip()] for child in two)
    assert one == other
    assert len(os.listdir(one)) == 6000
    assert not list((tmp_path / "tmp").glob("layer*"))


@pytest.mark.parametrize("lie", ["diff id", "digest", "size"])
def test_a_blob_that_is_not_what_was_said(lie: str, tmp_path: Path) -> None:
    images = Images(str(tmp_path))
    made = image(images, [("file", "f", b"x")])
    other, _ = blob(images, tar(("file", "evil", b"y")))
    if lie == "diff id":
        made.layers[0] = other
    elif lie == "size":
        made.layers[0].size += 1
    else:
        os.replace(images.blobs.path(other.digest), images.blobs.path(made.layers[0].digest))
        made.layers[0].size = other.size
    with pytest.raises(
        MinirunError, match=r"cannot unpack layer sha256:.*(diff id|digest) is|has \d+ bytes, not"
    ) as raised:
        Layers(str(tmp_path)).ensure(images, made)
    assert lie == "size" or lie in raised.value.reason
    assert os.listdir(tmp_path / "layers") == [".lock"]
    assert not list((tmp_path / "tmp").glob("layer*"))
