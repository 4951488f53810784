"""Whose files they are that a guest makes in a share, and what becomes of their set-user-ID: as if it wrote here."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.vm.devices import fs_wire as wire
from tests.unit.fuse_client import Client, attributes, export

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "data").mkdir()
    client = Client(export(tmp_path / "data"))
    client.uid, client.gid = 1234, 5678
    yield client
    client.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def owner(path: Path) -> tuple[int, int, int]:
    there = path.lstat()
    return there.st_uid, there.st_gid, there.st_mode


def setattr_(client: Client, node: int, valid: int, **values: int) -> dict[str, int]:
    names = (
        "valid", "padding", "fh", "size", "owner", "atime", "mtime", "ctime", "atimensec", "mtimensec", "ctimensec",
        "mode", "unused", "uid", "gid", "unused",
    )  # fmt: skip
    body = wire.SETATTR_IN.pack(*[{"valid": valid, **values}.get(name, 0) for name in names])
    return attributes(client.good(wire.SETATTR, node, body)[wire.ATTR_OUT.size :])


def test_what_is_made_is_the_callers(client: Client, data: Path) -> None:
    root = client.lookup("root")
    client.create(root, "file", 0o4755)
    client.good(wire.MKDIR, root, wire.MKDIR_IN.pack(0o750, 0) + b"dir\0")
    client.good(wire.SYMLINK, root, b"link\0nowhere\0")
    client.good(wire.MKNOD, root, wire.MKNOD_IN.pack(stat.S_IFIFO | 0o622, 0, 0, 0) + b"fifo\0")
    client.good(wire.MKNOD, root, wire.MKNOD_IN.pack(stat.S_IFREG | 0o6711, 0, 0, 0) + b"plain\0")
    client.good(wire.TMPFILE, root, wire.CREATE_IN.pack(os.O_RDWR, 0o640, 0, 0) + b"\0")
    assert owner(data / "file") == (1234, 5678, stat.S_IFREG | 0o4755)
    assert owner(data / "dir") == (1234, 5678, stat.S_IFDIR | 0o750)
    assert owner(data / "link")[:2] == (1234, 5678)
    assert owner(data / "fifo") == (1234, 5678, stat.S_IFIFO | 0o622)
    assert owner(data / "plain") == (1234, 5678, stat.S_IFREG | 0o6711)


def test_devices_are_made_and_never_opened(client: Client, data: Path) -> None:
    root = client.lookup("root")
    number = 1 << 8 | 3  # new_encode_dev(1:3), /dev/null
    answer = client.good(wire.MKNOD, root, wire.MKNOD_IN.pack(stat.S_IFCHR | 0o666, number, 0, 0) + b"null\0")
    assert attributes(answer[40:])["rdev"] == number
    assert (data / "null").stat().st_rdev == os.makedev(1, 3)
    large = (300 & 0xFF) | 10 << 8 | (300 & ~0xFF) << 12
    client.good(wire.MKNOD, root, wire.MKNOD_IN.pack(stat.S_IFBLK | 0o600, large, 0, 0) + b"block\0")
    assert (data / "block").stat().st_rdev == os.makedev(10, 300)
    client.good(wire.MKNOD, root, wire.MKNOD_IN.pack(stat.S_IFIFO | 0o666, 0, 0, 0) + b"fifo\0")
    for name in ("null", "block", "fifo"):  # opening the FIFO would wait for a writer for ever
        assert client.call(wire.OPEN, client.lookup("root", name), wire.OPEN_IN.pack(os.O_RDONLY, 0))[0]
        assert client.call(wire.GETXATTR, client.lookup("root", name), bytes(8) + b"user.x\0")[0]
        body = wire.CREATE_IN.pack(os.O_RDWR, 0o666, 0, 0) + name.encode() + b"\0"
        assert client.call(wire.CREATE, root, body)[0]
        setattr_(client, client.lookup("root", name), wire.FATTR_MODE, mode=0o600)
    assert stat.S_IMODE((data / "fifo").stat().st_mode) == 0o600


def test_a_directory_passes_its_group_on(client: Client, data: Path) -> None:
    for group in (42, os.getegid()):
        os.chown(data, 0, group)
        os.chmod(data, 0o2777)
        root = client.lookup("root")
        client.create(root, f"file{group}")
        client.good(wire.MKDIR, root, wire.MKDIR_IN.pack(0o755, 0) + f"dir{group}\0".encode())
        assert owner(data / f"file{group}") == (1234, group, stat.S_IFREG | 0o644)
        assert owner(data / f"dir{group}") == (1234, group, stat.S_IFDIR | 0o2755)


def test_chown_chmod_and_times(client: Client, data: Path) -> None:
    (data / "file").touch()
    node = client.lookup("root", "file")
    new = setattr_(client, node, wire.FATTR_UID | wire.FATTR_MODE, uid=7, mode=0o4711)
    assert (new["uid"], new["gid"], stat.S_IMODE(new["mode"])) == (7, 0, 0o4711)
    new = setattr_(client, node, wire.FATTR_GID, gid=8)
    assert (new["uid"], new["gid"], stat.S_IMODE(new["mode"])) == (7, 8, 0o711), "chown(2) takes set-user-ID away"
    times = wire.FATTR_ATIME | wire.FATTR_MTIME
    new = setattr_(client, node, times, atime=5, atimensec=6, mtime=(1 << 64) - 7, mtimensec=8)
    assert (new["atime"], new["atimensec"]) == (5, 6)
    assert (data / "file").stat().st_mtime_ns == -7 * 10**9 + 8, "before 1970"
    new = setattr_(client, node, wire.FATTR_MTIME | wire.FATTR_MTIME_NOW)
    assert new["atime"] == 5 and new["mtime"] > 1 << 30
    body = wire.SETATTR_IN.pack(wire.FATTR_UID, *[0] * 12, 0xFFFFFFFF, 0, 0)
    assert client.call(wire.SETATTR, node, body)[0], "to chown(2), that means as it is"


def test_a_link_is_changed_itself(client: Client, data: Path) -> None:
    (data / "target").touch()
    (data / "link").symlink_to("target")
    node = client.lookup("root", "link")
    setattr_(client, node, wire.FATTR_UID | wire.FATTR_MTIME, uid=9, mtime=11)
    assert (owner(data / "link")[0], int((data / "link").lstat().st_mtime)) == (9, 11)
    assert owner(data / "target")[0] == 0
    for bit in (wire.FATTR_MODE, wire.FATTR_SIZE):
        assert client.call(wire.SETATTR, node, wire.SETATTR_IN.pack(bit, *[0] * 15))[0]
    assert client.call(wire.OPEN, node, wire.OPEN_IN.pack(os.O_RDWR, 0))[0]


@pytest.mark.parametrize(
    ("mode", "after"), [(0o4755, 0o755), (0o2755, 0o755), (0o2745, 0o2745), (0o6777, 0o777), (0o755, 0o755)]
)
def test_a_write_takes_set_user_id_away(client: Client, data: Path, mode: int, after: int) -> None:
    path = data / "file"
    path.write_text("program")

    def now() -> int:
        there = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        return there

    now()
    node = client.lookup("root", "file")
    handle = client.open(node, os.O_RDWR)
    client.write(node, handle, b"x")
    assert now() == mode, "the writer has CAP_FSETID: the guest's kernel did not ask"
    client.write(node, handle, b"x", 0, wire.WRITE_KILL_SUIDGID)
    assert now() == after
    setattr_(client, node, wire.FATTR_SIZE | wire.FATTR_KILL_SUIDGID, size=3)
    assert now() == after
    client.good(wire.OPEN, node, wire.OPEN_IN.pack(os.O_RDWR | os.O_TRUNC, wire.OPEN_KILL_SUIDGID))
    assert now() == after


def test_extended_attributes(client: Client, data: Path) -> None:
    (data / "file").touch()
    (data / "link").symlink_to("file")
    node, link = client.lookup("root", "file"), client.lookup("root", "link")
    capability = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # VFS_CAP_REVISION_2, effective: CAP_NET_BIND_SERVICE
    for name, value in ((b"security.capability", capability), (b"user.x", b"y" * 300)):
        client.good(wire.SETXATTR, node, wire.SETXATTR_IN.pack(len(value), 0) + name + b"\0" + value)
        assert os.getxattr(data / "file", name) == value
        body = wire.GETXATTR_IN.pack(0, 0) + name + b"\0"
        assert wire.GETXATTR_OUT.unpack(client.good(wire.GETXATTR, node, body))[0] == len(value)
        assert client.good(wire.GETXATTR, node, wire.GETXATTR_IN.pack(400, 0) + name + b"\0") == value
        assert os.strerror(client.call(wire.GETXATTR, node, wire.GETXATTR_IN.pack(4, 0) + name + b"\0")[0]) == (
            "Numerical result out of range"
        )
    os.setxattr(data / "file", "trusted.secret", b"of the host")
    assert set(client.good(wire.LISTXATTR, node, bytes(8)[:0] + wire.GETXATTR_IN.pack(400, 0)).split(b"\0")) == {
        b"security.capability", b"user.x", b"",
    }  # fmt: skip
    for name in (b"trusted.secret", b"security.selinux", b"system.posix_acl_access", b"security.ima", b""):
        for opcode, head in ((wire.GETXATTR, bytes(8)), (wire.REMOVEXATTR, b""), (wire.SETXATTR, bytes(8))):
            assert os.strerror(client.call(opcode, node, head + name + b"\0")[0]) == "Operation not supported"
    assert client.call(wire.SETXATTR, link, bytes(8) + b"user.x\0")[0], "the link has none, and is not followed"
    client.good(wire.REMOVEXATTR, node, b"user.x\0")
    assert os.listxattr(data / "file") == ["security.capability", "trusted.secret"]
