"""Tar archives and compressed streams against what tarfile, GNU tar and the libraries themselves make."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from minirun.errors import MinirunError
from minirun.images import compression, media
from minirun.images.archive_read import ArchiveReader, tidy
from minirun.images.archive_write import ArchiveWriter

LONG = "/".join(["d" * 60] * 4)


class Trickle:
    """A reader that gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes, most: int = 77) -> None:
        self.file = io.BytesIO(data)
        self.most = most

    def read(self, size: int) -> bytes:
        return self.file.read(min(size, self.most))


KINDS = {b"0": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}


def read(data: bytes, most: int = 1 << 20) -> dict[str, tuple[str, bytes]]:
    archive = ArchiveReader(Trickle(data, most), "it")
    return {
        tidy(entry.name): (KINDS.get(entry.kind, ""), b"".join(map(bytes, archive.pieces())) or entry.link)
        for entry in archive
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("most", [1, 77, 1 << 20])
def test_what_tarfile_writes(form: int, most: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in (("./a", b"1"), ("dir/empty", b""), ("exact", b"x" * 512), (f"{LONG[:150]}/f", b"long")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for name, kind, link in (
            ("s", tarfile.SYMTYPE, "a"),
            ("h", tarfile.LNKTYPE, "./a"),
            ("d", tarfile.DIRTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            archive.addfile(entry)
    assert read(buffer.getvalue(), most) == {
        "a": ("file", b"1"), "dir/empty": ("file", b""), "exact": ("file", b"x" * 512),
        f"{LONG[:150]}/f": ("file", b"long"),
        "s": ("symlink", b"a"), "h": ("hardlink", b"./a"), "d": ("directory", b""),
    }  # fmt: skip


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
def test_what_gnu_tar_writes(tmp_path: Path, form: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").write_bytes(b"content")
    (tmp_path / "x" / ("n" * (90 if form == "v7" else 97))).write_bytes(b"long")
    done = subprocess.run(["tar", f"--format={form}", "-C", tmp_path, "-c", "./x"], capture_output=True, check=True)
    found = read(done.stdout)
    assert found["x/file"] == ("file", b"content") and len(found) == 3


def test_what_we_write_is_what_tarfile_reads() -> None:
    pieces: list[bytes] = []
    archive = ArchiveWriter(pieces.append)
    archive.directory("d")
    archive.file("d/f", b"x" * 1000)
    archive.close()
    data = b"".join(pieces)
    assert len(data) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as opened:
        assert [(one.name, one.mode, one.size) for one in opened] == [("d", 0o755, 0), ("d/f", 0o644, 1000)]
    assert read(data)["d/f"] == ("file", b"x" * 1000)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_are_an_archive_or_an_error(data: st.DataObject) -> None:
    """An archive in which some bytes are others never ends in anything but an answer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("n" * 120)
        entry.size, entry.pax_headers = 10, {"comment": "c"}
        archive.addfile(entry, io.BytesIO(b"0123456789"))
    bent = bytearray(buffer.getvalue()[:3072])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 255)), max_size=4)):
        bent[at] = value
    for start in (0, 512, 1024, 1536):  # with a right sum, as somebody who means it would write
        if data.draw(st.booleans()):
            block = bent[start : start + 512]
            block[148:156] = b" " * 8
            bent[start + 148 : start + 156] = b"%06o\0 " % (sum(block) % (1 << 18))
    try:
        read(bytes(bent))
    except MinirunError:
        pass


PACK: dict[str, Any] = {
    "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress, "bzip2": bz2.compress, "xz": lzma.compress,
}  # fmt: skip


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("size", [0, 1, 100, 600_000])
def test_streams(kind: str, size: int) -> None:
    """Zeros and noise, one member or two, in small pieces and large ones."""
    for data in (b"\0" * size, os.urandom(size)):
        for packed, content in ((PACK[kind](data), data), (PACK[kind](data) + PACK[kind](b"more"), data + b"more")):
            for most in (1 << 20, 1021):
                reader, found = compression.plain(Trickle(packed, most), "it")
                assert found == kind
                assert b"".join(iter(lambda reader=reader: reader.read(65536), b"")) == content  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_a_stream_that_ends_early(kind: str) -> None:
    packed = PACK[kind](os.urandom(10_000))
    for cut in (len(packed) - 1, len(packed) // 2, 20):
        with pytest.raises(MinirunError, match="it ends in the middle"):
            reader, _ = compression.plain(Trickle(packed[:cut]), "it")
            while reader.read(65536):
                pass


def test_padding_behind_gzip_is_none_of_it() -> None:
    reader, _ = compression.plain(Trickle(gzip.compress(b"a") + b"\0" * 5000 + gzip.compress(b"b") + b"\0" * 10), "it")
    assert b"".join(iter(lambda: reader.read(10), b"")) == b"ab"


MEMBERS = [
    "manifests", "layers", "config", "mediaType", "digest", "size", "platform", "annotations", "schemaVersion",
    "rootfs", "diff_ids", "history", "Env", "Cmd", "Labels", "os", "User", "Volumes", "created",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_documents_of_any_types_are_an_error_or_checked(value: Any) -> None:
    """Never a TypeError or a KeyError, whatever stands where."""
    import json

    from minirun.images import configuration

    data = json.dumps(value).encode()
    checks = (
        lambda found: media.kind_of(found, media.MANIFEST, "it"),
        lambda found: media.kind_of(found, "", "it"),
        lambda found: media.manifest_of(found, "it"),
        lambda found: media.index_of(found, "it"),
        lambda found: media.descriptor(found, "it"),
        lambda found: configuration.check(found, 0, "it"),
    )
    for check in checks:
        try:
            check(media.document(data, "it"))
        except MinirunError as error:
            assert error.message == "it is not valid"
