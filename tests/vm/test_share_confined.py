"""The share and vsock in the VMM's own cell: an empty root, six capabilities, a filter of system calls."""

from __future__ import annotations

import os
import socket
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from minirun.vm import confine, parts
from minirun.vm.devices import fs_wire as wire
from tests.unit.fuse_client import Client, export
from tests.unit.vsock_guest import Guest, from_guest

pytestmark = pytest.mark.needs("root")


def confined(tmp_path: Path, made: Callable[[], object], inside: Callable[[object], None]) -> None:
    """``made`` while the host's files are there, ``inside`` when they are not; in a process of its own."""
    program = confine.prepare(parts.IOCTLS, str(tmp_path / "cache"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            confine.begin(root=True)
            things = made()
            confine.enter(root=True)
            confine.close(program)
            inside(things)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def data_work(client: Client) -> None:
    root = client.lookup("root")
    file, handle = client.create(root, "new", 0o4750)
    client.write(file, handle, b"hello")
    for opcode in (wire.FSYNC, wire.SYNCFS):
        client.good(opcode, file, wire.FSYNC_IN.pack(handle, 0, 0))
    client.good(wire.FALLOCATE, file, wire.FALLOCATE_IN.pack(handle, 0, 8192, 0, 0))
    client.good(wire.LSEEK, file, wire.LSEEK_IN.pack(handle, 0, 3, 0))
    old = client.lookup("root", "file")
    from_old = client.open(old, os.O_RDWR)
    client.good(wire.COPY_FILE_RANGE, old, wire.COPY_IN.pack(from_old, 0, 0, handle, 0, 5, 0))
    client.write(old, from_old, b"y", 0, wire.WRITE_KILL_SUIDGID)
    assert client.read(old, from_old, 10) == b"yxxxxxxxxx"


def name_work(client: Client) -> None:
    root, file = client.lookup("root"), client.lookup("root", "new")
    client.good(wire.MKDIR, root, wire.MKDIR_IN.pack(0o770, 0) + b"dir\0")
    client.good(wire.SYMLINK, root, b"link\0to/nowhere\0")
    assert client.good(wire.READLINK, client.lookup("root", "link")) == b"to/nowhere"
    client.good(wire.MKNOD, root, wire.MKNOD_IN.pack(stat.S_IFCHR | 0o660, 0x103, 0, 0) + b"null\0")
    client.good(wire.LINK, client.lookup("root", "dir"), wire.LINK_IN.pack(file) + b"hard\0")
    client.good(wire.RENAME2, root, wire.RENAME2_IN.pack(root, 1, 0) + b"new\0middle\0")
    client.good(wire.RENAME, root, wire.RENAME_IN.pack(root) + b"middle\0moved\0")
    client.good(wire.UNLINK, client.lookup("root", "dir"), b"hard\0")
    client.good(wire.RMDIR, root, b"dir\0")
    for name in (b"user.x", b"security.capability"):
        value = b"\1\0\0\2" + bytes(16)
        client.good(wire.SETXATTR, file, wire.SETXATTR_IN.pack(len(value), 0) + name + b"\0" + value)
        assert client.good(wire.GETXATTR, file, wire.GETXATTR_IN.pack(99, 0) + name + b"\0") == value
    assert client.good(wire.LISTXATTR, file, wire.GETXATTR_IN.pack(99, 0))
    client.good(wire.REMOVEXATTR, file, b"user.x\0")
    valid = wire.FATTR_MODE | wire.FATTR_UID | wire.FATTR_GID | wire.FATTR_SIZE | wire.FATTR_MTIME
    client.good(wire.SETATTR, file, wire.SETATTR_IN.pack(valid, 0, 0, 3, 0, 0, 7, 0, 0, 0, 0, 0o600, 0, 4, 5, 0))
    client.good(wire.STATFS, root)
    answer = client.good(wire.TMPFILE, root, wire.CREATE_IN.pack(os.O_RDWR, 0o600, 0, 0) + b"\0")
    client.good(wire.LINK, root, wire.LINK_IN.pack(*wire.INODE.unpack_from(answer)) + b"named\0")
    assert {name for _, name in client.entries(root, plus=True)} >= {"moved", "link", "null", "named"}


def test_everything_in_a_share(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").write_bytes(b"x" * 10000)
    (data / "file").chmod(0o4755)

    def work(thing: object) -> None:
        client = thing
        assert isinstance(client, Client)
        assert not os.path.exists(tmp_path) and not os.path.exists("/proc"), "outside is gone"
        client.uid, client.gid = 1234, 5678
        data_work(client)
        name_work(client)
        client.close()

    confined(tmp_path, lambda: Client(export(data)), work)
    moved = (data / "moved").stat()
    assert (moved.st_uid, moved.st_gid, moved.st_size, moved.st_mtime) == (4, 5, 3, 7)
    assert (data / "named").stat().st_uid == 1234 and stat.S_ISCHR((data / "null").stat().st_mode)
    assert stat.S_IMODE((data / "file").stat().st_mode) == 0o755


def test_the_shares_own_thread(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    def work(thing: object) -> None:
        client = thing
        assert isinstance(client, Client)
        client.driver.start()  # DRIVER_OK: only now is there a thread
        client.init()
        assert client.lookup("root", "file") and client.device.running
        client.close()

    confined(tmp_path, lambda: Client(export(tmp_path), threaded=True, init=False), work)


def test_streams(tmp_path: Path) -> None:
    path = tmp_path / "v.sock"
    door = socket.socket(socket.AF_UNIX)

    def work(thing: object) -> None:
        guest = thing
        assert isinstance(guest, Guest)
        folder = guest.device.place.folder
        assert os.stat("..", dir_fd=folder).st_ino == os.stat(".", dir_fd=folder).st_ino, "it leads nowhere up"
        host = from_guest(guest, path, door=door)
        host.sendall(b"to the guest")
        assert guest.next()[3] == b"to the guest"
        guest.close()

    def made() -> object:
        door.bind(f"{path}_1024")
        door.listen()
        return Guest(path, folder=parts.opened(str(path.parent)))

    confined(tmp_path, made, work)
    assert not path.exists(), "the socket is gone with the machine"
