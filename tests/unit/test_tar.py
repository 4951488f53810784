"""The reader and the writer of tar headers beside tarfile, GNU tar, and words that no tar has."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minirun.errors import MinirunError
from minirun.images import tar_write
from minirun.images.tar_numbers import decimal_time, number, pax_records
from minirun.images.tar_read import DIRECTORY, FILE, HARD_LINK, SYMLINK, TarReader
from tests.unit.tars import Bytes, read, tar

LONG = "directory/" * 20 + "n" * 90


def forged(data: bytes, at: int, new: bytes) -> bytes:
    """The first header changed, its checksum right."""
    block = bytearray(data[:512])
    block[at : at + len(new)] = new
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_what_tarfile_writes(form: int) -> None:
    name = LONG if form != tarfile.USTAR_FORMAT else "p" * 90 + "/" + "n" * 90
    target = name if form != tarfile.USTAR_FORMAT else "t" * 100
    uid = 3_000_000 if form != tarfile.USTAR_FORMAT else 5
    data = tar(
        ("dir", "d/"), ("file", name, b"x" * 1500, {"uid": uid, "gid": 7, "mode": 0o4755, "mtime": 1_600_000_000}),
        ("link", "l", target), ("hard", "h", target), ("char", "c", "", {"devmajor": 5, "devminor": 1}), form=form,
    )  # fmt: skip
    found = read(data)
    assert [entry.kind for entry, _ in found] == [DIRECTORY, FILE, SYMLINK, HARD_LINK, b"3"]
    entry, content = found[1]
    assert (entry.name.decode(), content) == (name, b"x" * 1500)
    assert (entry.uid, entry.gid, entry.mode, entry.mtime) == (uid, 7, 0o4755, 1_600_000_000 * 10**9)
    assert found[2][0].link.decode() == found[3][0].link.decode() == target
    assert (found[4][0].major, found[4][0].minor) == (5, 1)


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "posix", "ustar", "v7"])
def test_reads_what_gnu_tar_writes(form: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"content")
    os.link(tmp_path / "d" / "f", tmp_path / "d" / "g")
    (tmp_path / "d" / "l").symlink_to("f")
    os.utime(tmp_path / "d" / "f", ns=(0, 1_234_567_890_123_456_789))
    made = subprocess.run(["tar", f"--format={form}", "--sort=name", "-cf-", "d"], cwd=tmp_path, capture_output=True)
    found = {entry.name: (entry, content) for entry, content in read(made.stdout)}
    assert list(found) == [b"d/", b"d/f", b"d/g", b"d/l"]
    assert found[b"d/f"][1] == b"content"
    assert found[b"d/g"][0].link == b"d/f"
    assert found[b"d/l"][0].link == b"f"
    whole = 1_234_567_890_000_000_000
    assert found[b"d/f"][0].mtime == (1_234_567_890_123_456_789 if form == "posix" else whole)


@pytest.mark.parametrize(
    "words", ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"]
)
def test_reads_gnu_tars_sparse_files(words: str, tmp_path: Path) -> None:
    with open(tmp_path / "hole", "wb") as file:
        for place in range(30):
            file.seek(place * 100_000)
            file.write(b"%d" % place)
        file.truncate(5_000_000)
    pax = [] if "format" in words else ["--format=posix"]
    made = subprocess.run(["tar", "-S", words, *pax, "-cf-", "hole"], cwd=tmp_path, capture_output=True)
    ((entry, content),) = read(made.stdout)
    assert (entry.name, entry.real_size) == (b"hole", 5_000_000)
    assert entry.sparse is not None and len(content) < 500_000
    whole = bytearray(entry.real_size)
    for offset, length in entry.sparse:
        whole[offset : offset + length], content = content[:length], content[length:]
    assert bytes(whole) == (tmp_path / "hole").read_bytes()


@settings(max_examples=60, deadline=None)
@given(
    name=st.binary(min_size=1, max_size=300).filter(lambda b: b"\0" not in b and not b.endswith(b"/")),
    link=st.binary(max_size=200).filter(lambda b: b"\0" not in b),
    uid=st.integers(0, 2**32 - 2), mtime=st.integers(-(2**60), 2**60), mode=st.integers(0, 0o7777),
    xattrs=st.dictionaries(st.sampled_from([b"user.a", b"security.capability"]), st.binary(max_size=50)),
)  # fmt: skip
def test_reads_what_it_writes(
    name: bytes, link: bytes, uid: int, mtime: int, mode: int, xattrs: dict[bytes, bytes]
) -> None:
    data = tar_write.header(name, tar_write.SYMLINK, mode=mode, uid=uid, mtime=mtime, link=link, xattrs=xattrs)
    ((entry, _),) = read(data + tar_write.END)
    assert (entry.name, entry.link, entry.uid, entry.mode, entry.xattrs) == (name, link, uid, mode, xattrs)
    assert entry.mtime == mtime


def test_tarfile_reads_what_it_writes() -> None:
    data = tar_write.header(LONG.encode(), size=3, mode=0o644, uid=5_000_000, mtime=1_500_000_000 * 10**9) + b"abc"
    data += bytes(509) + tar_write.header(b"d/", tar_write.DIRECTORY, mode=0o700) + tar_write.END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        first, second = archive.getmembers()
        assert (first.name, first.uid, first.mtime, first.size) == (LONG, 5_000_000, 1_500_000_000, 3)
        assert archive.extractfile(first).read() == b"abc"  # type: ignore[union-attr]
        assert (second.name, second.isdir(), second.mode) == ("d", True, 0o700)


def test_numbers() -> None:
    assert number(b"0000644\0") == number(b"    644 ") == number(b"644\0garb") == 0o644
    assert number(bytes(8)) == 0
    assert number(b"\x80\0\0\0\0\0\x01\0") == 256
    assert number(b"\xff" * 12) == -1
    for bad in (b"-1\0", b"0o17 ", b"1_0 ", b"9 ", b"x"):
        with pytest.raises(ValueError):
            number(bad)
    assert decimal_time(b"-1.5") == -1_500_000_000
    assert decimal_time(b"1.0000000019") == 1_000_000_001


@pytest.mark.parametrize(
    "data", [b"5 a=b\n", b"99 a=b\n", b"6 a=b\n7 a", b"a=b\n", b"6 a:b\n", b"6 a=bc", b"5 =b\n", b"0 a=b\n"]
)
def test_pax_records_that_are_none(data: bytes) -> None:
    with pytest.raises(ValueError):
        pax_records(data)


@pytest.mark.parametrize(
    ("at", "new", "why"),
    [
        (124, b"\xff" * 12, "a size of -1"), (108, b"\xff" * 8, "no such owner"), (156, b"A", "of type 'A'"),
        (124, b"0000000001z\0", "a number that is none"), (136, b"\x80" + b"\xff" * 11, "a time out of range"),
        (156, b"x", "an extended header that is none"), (100, b"-000001\0", "a number that is none"),
    ],
)  # fmt: skip
def test_headers_that_lie(at: int, new: bytes, why: str) -> None:
    with pytest.raises(MinirunError, match=why):
        read(forged(tar(("file", "f", b"x")), at, new))


def test_a_wrong_checksum_and_a_giant_header() -> None:
    data = bytearray(tar(("file", "f", b"x")))
    data[0] = ord("g")
    with pytest.raises(MinirunError, match="checksum"):
        read(bytes(data))
    giant = forged(forged(tar(("file", "f")), 156, b"x"), 124, b"%011o\0" % (2 << 20))
    with pytest.raises(MinirunError, match="an extended header of 2097152 bytes"):
        read(giant)


def test_a_truncated_archive_does_not_end_well() -> None:
    data = tar(("file", "f", b"x" * 2000))
    for size in (100, 600, 1800):
        with pytest.raises(EOFError):
            read(data[:size])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_bytes_make_it_fall_over(data: st.DataObject) -> None:
    """Refused or read; nothing but our own error or the source's."""
    good = bytearray(tar(("file", "f", b"x" * 700), ("link", "l", "f"), form=data.draw(st.sampled_from([0, 1, 2]))))
    for place in data.draw(st.lists(st.integers(0, min(len(good), 3000) - 1), max_size=6)):
        good[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # a right checksum, so that the rest is looked at
        good[148:156] = b"%06o\0 " % (sum(good[:148]) + 256 + sum(good[156:512]))
    try:
        read(bytes(good))
    except (MinirunError, EOFError):
        pass


def test_what_is_left_of_the_content_is_skipped() -> None:
    reader = TarReader(Bytes(tar(("file", "a", b"x" * 5000), ("file", "b", b"y"))), "a test")
    assert [entry.name for entry in reader] == [b"a", b"b"]
