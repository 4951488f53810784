"""Layers from somebody who wants out: each is refused with one clear error, and leaves nothing (docs/security.md).

Refused, or harmless and in order: setuid is what images need, a device is made as docker makes it, and no overlay
attribute of the sender's gets through.
"""

from __future__ import annotations

import gc
import gzip
import os
import stat
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.images import stream, tar_write
from minirun.images.layers import Layers
from minirun.images.store import Images
from tests.integration.making import image, unpacked
from tests.unit.tars import tar

pytestmark = pytest.mark.needs("root")
FILE = ("file", "f", b"x")


def raw(*members: tuple[bytes, dict[str, object]]) -> bytes:
    """Names as they are, which tarfile would mend."""
    return b"".join(tar_write.header(name, **words) for name, words in members) + tar_write.END  # type: ignore[arg-type]


ATTACKS = {
    "dots": (tar(("file", "../f", b"x")), "has .. in it"),
    "dots in the middle": (tar(("dir", "a"), ("file", "a/../../f", b"x")), "has .. in it"),
    "absolute": (raw((b"/etc/owned", {})), "is absolute"),
    "through an absolute link": (tar(("link", "d", "/tmp"), ("file", "d/owned", b"x")), "leads out of the layer"),
    "through a climbing link": (tar(("link", "d", "../../.."), ("file", "d/owned", b"x")), "leads out of the layer"),
    "through a chain": (
        tar(("dir", "a"), ("link", "a/b", ".."), ("link", "c", "a/b/.."), ("file", "c/owned", b"x")),
        "leads out of the layer",
    ),
    "links in a circle": (tar(("link", "a", "b"), ("link", "b", "a"), ("file", "a/f", b"x")), "leads out of the layer"),
    "a directory through a link": (tar(("link", "d", "/"), ("dir", "d/owned")), "leads out of the layer"),
    "whiteout through a link": (tar(("link", "d", "/tmp"), ("file", "d/.wh.f")), "leads out of the layer"),
    "hard link out": (tar(("hard", "h", "../../etc/passwd")), "has .. in it"),
    "hard link to an absolute name": (tar(("hard", "h", "/etc/passwd")), "is absolute"),
    "hard link through a link": (tar(("link", "d", "/etc"), ("hard", "h", "d/passwd")), "leads out of the layer"),
    "hard link to nothing": (tar(("hard", "h", "nothing")), "not there"),
    "hard link to a directory": (tar(("dir", "x"), ("hard", "h", "x")), "Operation not permitted"),
    "hard link to a whiteout": (tar(("file", ".wh.base"), ("hard", "h", "base")), "what the layer deletes"),
    "whiteout of the root": (tar(("file", ".wh..")), "whiteout of nothing, or of the root"),
    "whiteout above the root": (tar(("file", ".wh...")), "whiteout of nothing, or of the root"),
    "whiteout of nothing": (tar(("file", "d/.wh.")), "whiteout of nothing, or of the root"),
    "below a whiteout": (tar(("file", ".wh.d/f", b"x")), "below a whiteout"),
    "the root is a file": (tar(("file", "./", b""), ("link", ".", "/")), "root is not a directory"),
    "twice": (tar(FILE, FILE), "a second entry of this name"),
    "twice by another name": (tar(FILE, ("file", "./f", b"y")), "a second entry of this name"),
    "a link, then a file through it": (tar(("link", "f", "/etc/owned"), FILE), "a second entry of this name"),
    "a directory over a file": (tar(FILE, ("dir", "f")), "not a directory has this name"),
    "below a file": (tar(FILE, ("file", "f/g", b"x")), "not a directory has this name"),
    "a forged whiteout": (tar(("char", "f", "", {"devmajor": 0, "devminor": 0})), "overlayfs's whiteout"),
    "a long name": (tar(("file", "n" * 256, b"")), "File name too long"),
    "a long path": (tar(("file", "d/" * 3000 + "f", b"")), "longer than"),
    "too deep": (tar(("file", "d/" * 600 + "f", b"")), "longer than"),
    "an unknown kind": (raw((b"f", {"kind": b"A"})), "an entry of type 'A'"),
    "cut off": (tar(("file", "f", b"x" * 5000))[:3000], "ends too early"),
    "no tar at all": (b"hello " * 200, "checksum is wrong"),
}  # fmt: skip


def inhabitants(place: Path) -> list[str]:
    return sorted(path.name for path in place.rglob("layers/*") if path.name != ".lock") + [
        path.name for path in (place / "tmp").glob("layer*")
    ]


@pytest.mark.parametrize("name", ATTACKS)
def test_refused_and_nothing_left(name: str, tmp_path: Path) -> None:
    data, why = ATTACKS[name]
    images = Images(str(tmp_path / "s"))
    base = [("file", "base", b"b"), ("dir", "d")]
    lowers = unpacked(tmp_path / "s", base)
    before = inhabitants(tmp_path / "s")
    around = sorted(os.listdir(tmp_path))
    with pytest.raises(MinirunError) as raised:
        Layers(str(tmp_path / "s")).ensure(images, image(images, tar(*base), data))
    assert raised.value.message.startswith("cannot unpack layer sha256:")
    assert any(part in raised.value.reason for part in why.split("|")), raised.value.reason
    assert "\n" not in str(raised.value)
    assert inhabitants(tmp_path / "s") == before and sorted(os.listdir(tmp_path)) == around
    assert os.listdir(lowers[0]) and not Path("/tmp/owned").exists() and not Path("/etc/owned").exists()


def squeezed(tmp_path: Path, content: bytes) -> MinirunError:
    """What is said of a blob whose bytes are these, whatever its diff id."""
    images = Images(str(tmp_path))
    made = image(images, [FILE])
    made.layers[0] = images.blobs.put(content, made.layers[0].mediaType)
    with pytest.raises(MinirunError) as raised:
        Layers(str(tmp_path)).ensure(images, made)
    assert not inhabitants(tmp_path)
    return raised.value


def test_a_bomb_costs_a_known_amount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are made small here: 1 GiB is nothing to write in a test."""
    monkeypatch.setattr(stream.Limits, "always", 1 << 20)
    zeros = tar_write.header(b"zeros", size=64 << 20) + bytes(64 << 20) + tar_write.END
    assert "decompression bomb" in squeezed(tmp_path / "gzip", gzip.compress(zeros)).reason
    import zstandard

    assert "decompression bomb" in squeezed(tmp_path / "zstd", zstandard.compress(zeros)).reason


def test_a_sparse_bomb(tmp_path: Path) -> None:
    """A terabyte of hole costs no disk, but whoever reads it a day."""
    records = b"".join(
        tar_write.record(key, value)
        for key, value in ((b"GNU.sparse.map", b"0,0"), (b"GNU.sparse.size", b"%d" % (1 << 41)))
    )  # fmt: skip
    data = tar_write.block(b"x", b"x", 0, 0, 0, len(records), 0, b"", (0, 0)) + tar_write.padded(records)
    data += tar_write.header(b"hole") + tar_write.END
    with pytest.raises(MinirunError, match="layer's files are larger than"):
        unpacked(tmp_path, data)


@pytest.mark.parametrize("damage", ["cut", "bit", "tail", "zstd cut"])
def test_damaged_compression(damage: str, tmp_path: Path) -> None:
    import zstandard

    data = tar(("file", "f", os.urandom(50_000)))
    content = bytearray(zstandard.compress(data) if damage == "zstd cut" else gzip.compress(data))
    if damage.endswith("cut"):
        del content[-10_000:]
    elif damage == "bit":
        content[30_000] ^= 1
    else:
        content += b"more"
    why = squeezed(tmp_path, bytes(content)).reason
    assert any(word in why for word in ("too early", "damaged", "something else follows", "diff id")), why


def test_no_overlay_attribute_gets_through(tmp_path: Path) -> None:
    forged = {
        b"trusted.overlay.opaque": b"y", b"trusted.overlay.redirect": b"/etc", b"user.overlay.opaque": b"y",
        b"trusted.overlay.metacopy": b"", b"security.selinux": b"x", b"user.fine": b"1",
    }  # fmt: skip
    data = tar_write.header(b"d/", tar_write.DIRECTORY, mode=0o755, xattrs=forged)
    data += tar_write.header(b"f", mode=0o755, xattrs=forged) + tar_write.END
    top, _ = unpacked(tmp_path, [("dir", "d"), ("file", "d/x", b"")], data)
    for name in ("d", "f"):
        assert os.listxattr(top / name) == ["user.fine"]


def test_what_images_need_is_kept(tmp_path: Path) -> None:
    (top,) = unpacked(
        tmp_path,
        [
            ("file", "su", b"x", {"mode": 0o4755}), ("dir", "tmp", b"", {"mode": 0o1777}),
            ("block", "disk", b"", {"devmajor": 259, "devminor": 7, "mode": 0o660}), ("link", "etc", "/nowhere"),
        ],
    )  # fmt: skip
    assert (top / "su").stat().st_mode & 0o7777 == 0o4755
    disk = (top / "disk").stat()
    assert stat.S_ISBLK(disk.st_mode) and disk.st_rdev == os.makedev(259, 7)


def test_the_error_is_one_line_whatever_the_name_is(tmp_path: Path) -> None:
    with pytest.raises(MinirunError) as raised:
        unpacked(tmp_path, raw((b"\x1b[31m\n/../evil", {})))
    assert "\x1b" not in raised.value.face() and raised.value.face().count("\n") == 0


def test_many_small_layers_of_one_tar_do_not_keep_descriptors(tmp_path: Path) -> None:
    gc.collect()  # what other tests have let go
    before = len(os.listdir("/proc/self/fd"))
    unpacked(tmp_path, tar(*[("file", f"d{number}/f", b"") for number in range(450)]))
    with pytest.raises(MinirunError):
        unpacked(tmp_path, tar(*[("file", f"d{number}/f", b"") for number in range(500)], FILE, FILE))
    assert len(os.listdir("/proc/self/fd")) == before
