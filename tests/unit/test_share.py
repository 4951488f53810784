"""What a guest can do in a share, seen from both sides: FUSE requests here, the host's own files there."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.vm.devices import fs_wire as wire
from tests.unit.fuse_client import Client, attributes, export


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "hello").write_bytes(b"hello, guest")
    with_one = tmp_path / "one"
    with_one.write_text("a single file")
    client = Client(export(tmp_path / "data"), export(with_one, "0"), export(tmp_path / "data", "ro", read_only=True))
    yield client
    client.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def error_of(client: Client, opcode: int, node: int, body: bytes = b"") -> str:
    error, _ = client.call(opcode, node, body)
    return os.strerror(error) if error else ""


def test_the_agreement(tmp_path: Path) -> None:
    client = Client(export(tmp_path), init=False)
    assert error_of(client, wire.GETATTR, wire.ROOT, bytes(16)) == "Input/output error"
    major, minor, _, flags, _, _, most, grain, pages, _, _ = wire.INIT_OUT.unpack(client.init(minor=40)[1])
    assert (major, minor, most, grain, pages) == (7, 38, 1 << 20, 1, 256)
    assert flags == wire.WANTED and not flags & 1 << 16, "no write-back cache"
    assert wire.INIT_OUT.unpack(client.init(minor=31, flags=0)[1])[:4] == (7, 31, 1 << 17, 0)
    assert client.init(minor=30)[0] and client.init(major=6)[0], "too old"
    assert wire.INIT_OUT.unpack(client.init(major=8, minor=0)[1])[:2] == (7, 38), "ours; the guest asks again"
    assert client.call(wire.GETATTR, wire.ROOT, bytes(16))[0], "not yet agreed"
    client.close()


def test_configuration_space(client: Client) -> None:
    assert client.device.config() == b"minirun".ljust(36, b"\0") + b"\1\0\0\0"


def test_the_root_lists_the_exports(client: Client) -> None:
    assert [name for _, name in client.entries(wire.ROOT)] == [".", "..", "root", "0", "ro"]
    assert [name for _, name in client.entries(wire.ROOT, plus=True, room=256)] == [".", "..", "root", "0", "ro"]
    assert stat.S_ISDIR(client.attributes(wire.ROOT)["mode"])
    assert stat.S_ISDIR(client.attributes(client.lookup("root"))["mode"])
    one = client.lookup("0")
    assert stat.S_ISREG(client.attributes(one)["mode"])
    assert client.read(one, client.open(one)) == b"a single file"
    assert error_of(client, wire.LOOKUP, wire.ROOT, b"etc\0") == "No such file or directory"
    for opcode, body in ((wire.MKDIR, wire.MKDIR_IN.pack(0o755, 0) + b"x\0"), (wire.UNLINK, b"root\0")):
        assert error_of(client, opcode, wire.ROOT, body) == "Read-only file system"


def test_attributes_are_the_hosts(client: Client, data: Path) -> None:
    there, here = (data / "hello").stat(), client.attributes(client.lookup("root", "hello"))
    assert (here["ino"], here["size"], here["mode"], here["nlink"]) == (there.st_ino, 12, there.st_mode, 1)
    assert (here["mtime"], here["mtimensec"]) == divmod(there.st_mtime_ns, 10**9)


def test_a_large_file_in_large_pieces(client: Client, data: Path) -> None:
    content = os.urandom(3 << 20)
    (data / "large").write_bytes(content)
    node = client.lookup("root", "large")
    handle = client.open(node, os.O_RDWR)
    assert b"".join(client.read(node, handle, 1 << 20, at) for at in range(0, 4 << 20, 1 << 20)) == content
    assert client.read(node, handle, 100, (3 << 20) - 10) == content[-10:]
    assert client.write(node, handle, content[: 1 << 20], 1 << 20) == 1 << 20
    assert (data / "large").read_bytes()[1 << 20 : 2 << 20] == content[: 1 << 20], "seen on the host at once"
    client.release(node, handle)
    assert error_of(client, wire.READ, node, wire.READ_IN.pack(handle, 0, 1, 0, 0, 0, 0)) == "Bad file descriptor"


def test_append_and_truncate(client: Client, data: Path) -> None:
    node = client.lookup("root", "hello")
    client.write(node, client.open(node, os.O_WRONLY | os.O_APPEND), b"!", 0)
    assert (data / "hello").read_bytes() == b"hello, guest!"
    body = wire.SETATTR_IN.pack(wire.FATTR_SIZE, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert attributes(client.good(wire.SETATTR, node, body)[16:])["size"] == 5
    client.open(node, os.O_WRONLY | os.O_TRUNC)
    assert (data / "hello").read_bytes() == b""


def test_new_files_directories_and_links(client: Client, data: Path) -> None:
    root = client.lookup("root")
    node, handle = client.create(root, "new", 0o640)
    assert client.write(node, handle, b"abc") == 3
    assert (data / "new").read_bytes() == b"abc" and stat.S_IMODE((data / "new").stat().st_mode) == 0o640
    client.good(wire.MKDIR, root, wire.MKDIR_IN.pack(0o1777, 0) + b"dir\0")
    assert stat.S_IMODE((data / "dir").stat().st_mode) == 0o1777, "whatever the umask of the VMM"
    client.good(wire.SYMLINK, root, b"link\0/etc/../passwd\0")
    assert os.readlink(data / "link") == "/etc/../passwd"
    assert client.good(wire.READLINK, client.lookup("root", "link")) == b"/etc/../passwd"
    client.good(wire.LINK, client.lookup("root", "dir"), wire.LINK_IN.pack(node) + b"hard\0")
    assert (data / "dir" / "hard").samefile(data / "new")
    assert client.lookup("root", "dir", "hard") == node, "one inode, one node"
    client.good(wire.LINK, root, wire.LINK_IN.pack(client.lookup("root", "link")) + b"link2\0")
    assert os.readlink(data / "link2") == "/etc/../passwd", "the link itself, not what it points to"
    assert error_of(client, wire.CREATE, root, wire.CREATE_IN.pack(os.O_EXCL, 0, 0, 0) + b"new\0") == "File exists"
    assert client.create(root, "new", flags=os.O_RDWR | os.O_TRUNC)[0] == node and not (data / "new").read_bytes()
    assert error_of(client, wire.RMDIR, root, b"dir\0") == "Directory not empty"
    client.good(wire.UNLINK, client.lookup("root", "dir"), b"hard\0")
    client.good(wire.RMDIR, root, b"dir\0")
    assert not (data / "dir").exists()


def test_a_file_without_a_name(client: Client, data: Path) -> None:
    root = client.lookup("root")
    answer = client.good(wire.TMPFILE, root, wire.CREATE_IN.pack(os.O_RDWR, 0o600, 0, 0) + b"\0")
    (node,), (handle, _, _) = wire.INODE.unpack_from(answer), wire.OPEN_OUT.unpack_from(answer, 128)
    client.write(node, handle, b"late")
    client.good(wire.LINK, root, wire.LINK_IN.pack(node) + b"named\0")
    assert (data / "named").read_bytes() == b"late"


def test_removed_but_open(client: Client, data: Path) -> None:
    root, (node, handle) = client.lookup("root"), client.create(client.lookup("root"), "gone")
    client.good(wire.UNLINK, root, b"gone\0")
    client.write(node, handle, b"still here")
    assert client.read(node, handle) == b"still here" and client.attributes(node)["nlink"] == 0
    body = wire.SETATTR_IN.pack(wire.FATTR_SIZE, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    client.good(wire.SETATTR, node, body)
    assert client.read(node, client.open(node)) == b"still", "opened anew through its node"


def test_rename(client: Client, data: Path) -> None:
    root = client.lookup("root")
    client.create(root, "a"), client.create(root, "b")
    client.good(wire.RENAME, root, wire.RENAME_IN.pack(root) + b"a\0c\0")
    assert sorted(os.listdir(data)) == ["b", "c", "hello"]
    body = wire.RENAME2_IN.pack(root, 1, 0) + b"b\0c\0"
    assert error_of(client, wire.RENAME2, root, body) == "File exists"
    before = (data / "b").stat().st_ino
    client.good(wire.RENAME2, root, wire.RENAME2_IN.pack(root, 2, 0) + b"b\0c\0")
    assert (data / "c").stat().st_ino == before, "exchanged"
    read_only = client.lookup("ro")
    assert error_of(client, wire.RENAME, root, wire.RENAME_IN.pack(read_only) + b"c\0d\0") == "Read-only file system"
    assert error_of(client, wire.RENAME2, root, wire.RENAME2_IN.pack(root, 8, 0) + b"c\0d\0") == "Invalid argument"


def test_a_large_directory(client: Client, data: Path) -> None:
    names = {f"file-{number}-{'x' * (number % 200)}" for number in range(700)}
    for name in names:
        (data / name).touch()
    root = client.lookup("root")
    for plus, room in ((False, 4096), (True, 4096), (False, 400), (True, 1 << 17)):
        found = client.entries(root, plus=plus, room=room)
        assert {name for _, name in found} == names | {".", "..", "hello"} and len(found) == 703
    nodes = {name: node for node, name in client.entries(root, plus=True)}
    assert nodes["hello"] == client.lookup("root", "hello") and nodes["."] == nodes[".."] == 0
    error, _ = client.call(wire.READDIR, root, wire.READ_IN.pack(99, 0, 4096, 0, 0, 0, 0))
    assert error, "no such handle"


@pytest.mark.parametrize("place", ["/dev/shm", "/tmp"])
def test_removing_while_reading(place: str) -> None:
    """rm -r reads a directory in pieces and removes what it has read: nothing may be left out (tmpfs counts)."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        for number in range(500):
            Path(folder, f"file-{number}").touch()
        client = Client(shared := export(Path(folder)))
        root, removed, position = client.lookup("root"), 0, 0
        (handle, _, _) = wire.OPEN_OUT.unpack(client.good(wire.OPENDIR, root, bytes(8)))
        while data := client.good(wire.READDIR, root, wire.READ_IN.pack(handle, position, 4096, 0, 0, 0, 0)):
            at = 0
            while at < len(data):
                _, position, length, _ = wire.DIRENT.unpack_from(data, at)
                name = data[at + 24 : at + 24 + length]
                at += 24 + length + -length % 8
                if name not in (b".", b".."):
                    client.good(wire.UNLINK, root, name + b"\0")
                    removed += 1
        assert removed == 500
        client.close()
        os.close(shared.fd)


def test_space(client: Client, data: Path) -> None:
    there = os.statvfs(data)
    for node in (client.lookup("root"), wire.ROOT):
        blocks, _, _, files, *_ = wire.STATFS_OUT.unpack(client.good(wire.STATFS, node))
        assert (blocks, files) == (there.f_blocks, there.f_files)


def test_forgetting(client: Client) -> None:
    node = client.lookup("root", "hello")
    assert client.lookup("root", "hello") == node
    client.forget(node)
    assert client.attributes(node)["size"] == 12, "it was looked up twice"
    client.forget(node, 1)
    assert error_of(client, wire.GETATTR, node, bytes(16)) == "Stale file handle"
    assert client.lookup("root", "hello") != node, "numbers are not used again"
    client.forget(12345)


def test_forgotten_while_open(client: Client) -> None:
    node = client.lookup("root", "hello")
    handle = client.open(node)
    client.forget(node)
    assert client.read(node, handle) == b"hello, guest"
    client.release(node, handle)
    assert error_of(client, wire.GETATTR, node, bytes(16)) == "Stale file handle"


def test_many_at_once(client: Client) -> None:
    nodes = [client.lookup("root"), client.lookup("root", "hello")]
    body = wire.BATCH_FORGET_IN.pack(2, 0) + b"".join(wire.FORGET_ONE.pack(node, 2) for node in nodes)
    size = wire.IN_HEADER.size + len(body)
    assert client.raw(wire.IN_HEADER.pack(size, wire.BATCH_FORGET, 0, 0, 0, 0, 0, 0, 0) + body, 0) == b""
    assert not client.device.nodes.by_id


def test_read_only(client: Client, data: Path) -> None:
    root, node = client.lookup("ro"), client.lookup("ro", "hello")
    assert client.read(node, client.open(node)) == b"hello, guest"
    tries = [
        (wire.OPEN, node, wire.OPEN_IN.pack(os.O_RDWR, 0)),
        (wire.OPEN, node, wire.OPEN_IN.pack(os.O_RDONLY | os.O_TRUNC, 0)),
        (wire.CREATE, root, wire.CREATE_IN.pack(os.O_RDWR, 0o600, 0, 0) + b"x\0"),
        (wire.CREATE, root, wire.CREATE_IN.pack(os.O_RDWR, 0o600, 0, 0) + b"hello\0"),
        (wire.TMPFILE, root, wire.CREATE_IN.pack(os.O_RDWR, 0o600, 0, 0) + b"\0"),
        (wire.MKDIR, root, wire.MKDIR_IN.pack(0o755, 0) + b"x\0"),
        (wire.MKNOD, root, wire.MKNOD_IN.pack(stat.S_IFIFO | 0o600, 0, 0, 0) + b"x\0"),
        (wire.SYMLINK, root, b"x\0y\0"),
        (wire.LINK, root, wire.LINK_IN.pack(node) + b"x\0"),
        (wire.UNLINK, root, b"hello\0"),
        (wire.RMDIR, root, b"hello\0"),
        (wire.RENAME, root, wire.RENAME_IN.pack(root) + b"hello\0x\0"),
        (wire.SETXATTR, node, wire.SETXATTR_IN.pack(1, 0) + b"user.x\0y"),
        (wire.REMOVEXATTR, node, b"user.x\0"),
    ]
    valid = (wire.FATTR_MODE, wire.FATTR_UID, wire.FATTR_GID, wire.FATTR_SIZE, wire.FATTR_MTIME, wire.FATTR_ATIME)
    tries += [(wire.SETATTR, node, wire.SETATTR_IN.pack(bit, *[0] * 15)) for bit in valid]
    before = [(path.name, path.stat().st_ctime_ns) for path in sorted(data.iterdir())]
    for opcode, where, body in tries:
        assert error_of(client, opcode, where, body) == "Read-only file system", opcode
    assert [(path.name, path.stat().st_ctime_ns) for path in sorted(data.iterdir())] == before


def test_what_may_be_cached(client: Client, data: Path) -> None:
    """Data may be kept if the file is what it was at the last open, and was left alone for a moment."""
    path, node = data / "hello", client.lookup("root", "hello")
    later = time.time() + 2.1

    def kept() -> bool:
        _, flags, _ = wire.OPEN_OUT.unpack(client.good(wire.OPEN, node, wire.OPEN_IN.pack(os.O_RDONLY, 0)))
        return bool(flags & wire.FOPEN_KEEP_CACHE)

    assert not kept() and not kept(), "changed a moment ago"
    while time.time() < later:
        time.sleep(0.05)
    assert kept()
    path.write_bytes(b"changed by the host")
    assert not kept()
