"""What an image's bytes could cost whoever looks at them: time, disk, or a device's attention."""

from __future__ import annotations

import io
import os
import posix
import stat
import tarfile
import time
from pathlib import Path

import pytest

from minirun.container import users
from minirun.errors import MinirunError
from minirun.images.attributes import copy_file
from minirun.linux.openat2 import O_PATH, openat2
from tests.unit.tars import read

PATH_ONLY = {O_PATH | posix.O_CLOEXEC: 0}  # whoever asks for more is a KeyError


def sparse_map(pieces: int) -> bytes:
    """GNU's form 1.0: the map stands in the content, two lines for a piece."""
    text = f"{pieces}\n".encode() + b"".join(b"%d\n0\n" % number for number in range(pieces))
    text += bytes(-len(text) % 512)
    member = tarfile.TarInfo("x")
    member.size = len(text)
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(pieces)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member, io.BytesIO(text))
    return buffer.getvalue()


def test_a_long_map_of_a_sparse_file_is_read_in_a_time_that_grows_with_it() -> None:
    began = time.process_time()
    found = read(sparse_map(150_000))
    assert found[0][0].sparse is not None and len(found[0][0].sparse) == 150_000
    assert time.process_time() - began < 3  # looked through again for each block: more than a minute
    with pytest.raises(MinirunError, match="sparse"):
        read(sparse_map(1 << 19))


def test_a_file_that_is_all_hole_is_copied_as_one(tmp_path: Path) -> None:
    """A hard link to a lower layer's file makes a copy of it, and so does a new volume."""
    with open(tmp_path / "holes", "wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 30)
        file.write(b"island")
    at = posix.open(tmp_path, posix.O_RDONLY)
    copy_file(posix.open(tmp_path / "holes", posix.O_RDONLY), at, b"copy")
    posix.close(at)
    about = (tmp_path / "copy").stat()
    assert about.st_size == 1 << 40 and about.st_blocks < 1000
    with open(tmp_path / "copy", "rb") as file:
        file.seek((1 << 30) - 1)
        assert file.read(8) == b"\0island\0"


@pytest.mark.parametrize("size", [0, 1, 4096, (1 << 20) + 7])
def test_an_ordinary_file_is_copied_whole(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    at = posix.open(tmp_path, posix.O_RDONLY)
    copy_file(posix.open(tmp_path / "a", posix.O_RDONLY), at, b"b")
    posix.close(at)
    assert (tmp_path / "b").read_bytes() == data


@pytest.mark.parametrize("kind", ["fifo", "directory", "link out", "socket", "loop"])
def test_a_passwd_that_is_no_file_is_none_and_is_never_opened(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The opening alone of a device can do something (a watchdog starts)."""
    place = tmp_path / "etc" / "passwd"
    place.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    elif kind == "link out":
        place.symlink_to("/../../../../../../../etc/passwd")
    elif kind == "loop":
        place.symlink_to("passwd")
    else:
        os.mknod(place, stat.S_IFSOCK | 0o600)
    root = posix.open(tmp_path, posix.O_RDONLY)
    monkeypatch.setattr("posix.open", lambda *_: pytest.fail("it was opened"))
    monkeypatch.setattr(users, "openat2", lambda at, name, flags, how: openat2(at, name, flags | PATH_ONLY[flags], how))
    try:
        assert users.read(root, b"etc/passwd") == b""
        with pytest.raises(MinirunError, match="unknown user"):
            users.resolve(root, "root", [])
    finally:
        posix.close(root)
