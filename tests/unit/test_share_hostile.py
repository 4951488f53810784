"""A guest that means harm, a host that moves things while it is served: nothing escapes, nothing breaks."""

from __future__ import annotations

import os
import posix
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minirun.vm.devices import fs_wire as wire
from minirun.vm.devices.fs_nodes import FEWEST_FDS
from tests.unit.fuse_client import Client, export

OPCODES = [*range(53), 4096, 1048576, 436207616, 0xFFFFFFFF]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "secret").write_text("the host's")
    (tmp_path / "data" / "dir").mkdir(parents=True)
    (tmp_path / "data" / "file").write_text("the guest's")
    (tmp_path / "data" / "up").symlink_to("..")
    client = Client(export(tmp_path / "data"), most_fds=FEWEST_FDS)
    yield client
    client.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


NAMES = [
    b"..", b".", b"", b"/", b"../secret", b"dir/../../secret", b"/etc/passwd", b"up/secret", b"dir/", b"x" * 256,
    b"x" * 4096, b"a\0b", b"\0", b"..\0", b"file\0\0",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_not_one_name(client: Client, tmp_path: Path, name: bytes) -> None:
    root, node = client.lookup("root"), client.lookup("root", "file")
    before = sorted(tmp_path.rglob("*"))
    for opcode, head, tail in (
        (wire.LOOKUP, b"", b""), (wire.UNLINK, b"", b""), (wire.RMDIR, b"", b""), (wire.SYMLINK, b"", b"target\0"),
        (wire.MKDIR, bytes(8), b""), (wire.MKNOD, struct.pack("<I", 0o10600) + bytes(12), b""),
        (wire.CREATE, struct.pack("<I", os.O_RDWR) + bytes(12), b""), (wire.LINK, wire.LINK_IN.pack(node), b""),
        (wire.RENAME, wire.RENAME_IN.pack(root), b"new\0"), (wire.RENAME2, wire.RENAME2_IN.pack(root, 0, 0), b"new\0"),
    ):  # fmt: skip
        for end in (b"\0", b"") if b"\0" not in name else (b"\0",):
            assert client.call(opcode, root, head + name + end + tail)[0], (opcode, name)
    for opcode, head in ((wire.RENAME, wire.RENAME_IN.pack(root)), (wire.RENAME2, wire.RENAME2_IN.pack(root, 0, 0))):
        assert client.call(opcode, root, head + b"file\0" + name + b"\0")[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_leads_nowhere(client: Client) -> None:
    up = client.lookup("root", "up")
    assert client.good(wire.READLINK, up) == b".."
    for opcode, body in (
        (wire.LOOKUP, b"secret\0"), (wire.OPENDIR, bytes(8)), (wire.OPEN, bytes(8)), (wire.MKDIR, bytes(8) + b"x\0"),
        (wire.CREATE, struct.pack("<I", os.O_RDWR) + bytes(12) + b"x\0"), (wire.UNLINK, b"secret\0"),
        (wire.GETXATTR, bytes(8) + b"user.x\0"), (wire.STATFS, b""),
    ):  # fmt: skip
        error, answer = client.call(opcode, up, body)
        assert error or opcode == wire.STATFS, (opcode, answer)


def test_one_byte_in_the_way_of_everything(client: Client) -> None:
    """Every operation with bodies of every length that is too short, and a header that lies about its length."""
    node = client.lookup("root", "file")
    for opcode in range(1, 52):
        if opcode in (wire.FORGET, wire.BATCH_FORGET, wire.INTERRUPT, wire.DESTROY, wire.INIT):
            continue
        for size in range(0, 96, 3):
            client.call(opcode, node, bytes(size))
            client.call(opcode, node, b"\xff" * size)
    for said in (0, 39, 41, 0xFFFFFFFF):
        answer = client.raw(wire.IN_HEADER.pack(said, wire.GETATTR, 7, node, 0, 0, 0, 0, 0))
        assert wire.OUT_HEADER.unpack(answer) == (16, -22, 7)


def test_chains_without_room(client: Client) -> None:
    node = client.lookup("root", "file")
    header = wire.IN_HEADER.pack(56, wire.GETATTR, 9, node, 0, 0, 0, 0, 0) + bytes(16)
    assert client.raw(b"", 4096) == client.raw(header[:39], 4096) == b"", "too short to say who is asking"
    assert client.raw(header, 0) == client.raw(header, 15) == b"", "no room for an answer"
    assert wire.OUT_HEADER.unpack(client.raw(header, 50))[1] == -34, "no room for the attributes"
    handle = client.open(node)
    body = wire.READ_IN.pack(handle, 0, 0xFFFFFFFF, 0, 0, 0, 0)
    assert client.call(wire.READ, node, body, 5) == (0, b"the g"), "as much as there is room for"


@pytest.mark.parametrize("value", [1 << 63, (1 << 64) - 1, 1 << 62])
def test_numbers_out_of_range(client: Client, value: int) -> None:
    node, root = client.lookup("root", "file"), client.lookup("root")
    handle = client.open(node, os.O_RDWR)
    directory = client.good(wire.OPENDIR, root, bytes(8))[:8]
    for opcode, body in (
        (wire.READ, wire.READ_IN.pack(handle, value, 1, 0, 0, 0, 0)),
        (wire.WRITE, wire.WRITE_IN.pack(handle, value, 1, 0, 0, 0, 0) + b"x"),
        (wire.WRITE, wire.WRITE_IN.pack(handle, 0, 0xFFFFFFFF, 0, 0, 0, 0) + b"x"),
        (wire.WRITE, wire.WRITE_IN.pack(value, 0, 1, 0, 0, 0, 0) + b"x"),
        (wire.FALLOCATE, wire.FALLOCATE_IN.pack(handle, value, value, 0, 0)),
        (wire.FALLOCATE, wire.FALLOCATE_IN.pack(handle, 0, 1, 0xFFFFFFFF, 0)),
        (wire.LSEEK, wire.LSEEK_IN.pack(handle, value, 3, 0)),
        (wire.LSEEK, wire.LSEEK_IN.pack(handle, 0, 0xFFFFFFFF, 0)),
        (wire.COPY_FILE_RANGE, wire.COPY_IN.pack(handle, value, 0, handle, value, value, 1)),
        (wire.SETATTR, wire.SETATTR_IN.pack(wire.FATTR_SIZE, 0, 0, value, *[0] * 12)),
        (wire.SETATTR, wire.SETATTR_IN.pack(wire.FATTR_MTIME, *[0] * 8, 0xFFFFFFFF, *[0] * 6)),
        (wire.READDIR, directory + struct.pack("<QIIQII", value, 1, 0, 0, 0, 0)),
        (wire.RELEASE, wire.RELEASE_IN.pack(value, 0, 0, 0)),
        (wire.OPEN, wire.OPEN_IN.pack(3, 0)),
        (wire.SETXATTR, wire.SETXATTR_IN.pack(0xFFFFFFFF, 0) + b"user.x\0y"),
        (wire.SETXATTR, wire.SETXATTR_IN.pack(1, 0xFFFFFFFF) + b"user.x\0y"),
    ):  # fmt: skip
        error, answer = client.call(opcode, node, body)
        assert error or (opcode == wire.READ and value < 1 << 63 and not answer), opcode
    assert client.call(wire.GETATTR, value, bytes(16))[0]
    client.forget(value, value)
    assert client.attributes(node)["size"] == 11


def test_kinds_are_not_mixed_up(client: Client) -> None:
    """A directory's handle reads no data, a file's no entries; a handle for reading writes nothing."""
    root, node = client.lookup("root"), client.lookup("root", "file")
    (directory, _, _) = wire.OPEN_OUT.unpack(client.good(wire.OPENDIR, root, bytes(8)))
    handle = client.open(node)
    for opcode, body in (
        (wire.READ, wire.READ_IN.pack(directory, 0, 100, 0, 0, 0, 0)),
        (wire.WRITE, wire.WRITE_IN.pack(directory, 0, 1, 0, 0, 0, 0) + b"x"),
        (wire.WRITE, wire.WRITE_IN.pack(handle, 0, 1, 0, 0, 0, 0) + b"x"),
        (wire.READDIR, wire.READ_IN.pack(handle, 0, 4096, 0, 0, 0, 0)),
        (wire.READDIRPLUS, wire.READ_IN.pack(handle, 0, 4096, 0, 0, 0, 0)),
        (wire.FALLOCATE, wire.FALLOCATE_IN.pack(handle, 0, 100, 0, 0)),
        (wire.SETATTR, wire.SETATTR_IN.pack(wire.FATTR_SIZE | wire.FATTR_FH, 0, handle, *[0] * 13)),
        (wire.COPY_FILE_RANGE, wire.COPY_IN.pack(handle, 0, 0, handle, 0, 5, 0)),
    ):  # fmt: skip
        assert os.strerror(client.call(opcode, node, body)[0]) == "Bad file descriptor", opcode
    assert client.call(wire.OPENDIR, node, bytes(8))[0] and client.call(wire.OPEN, root, bytes(8))[0]
    assert client.call(wire.LOOKUP, node, b"x\0")[0]


def test_descriptors_are_bounded(client: Client, tmp_path: Path) -> None:
    """Ten times more files than descriptors: all can be used, those that are in use stay."""
    for number in range(20):
        (tmp_path / "data" / "dir" / f"d{number}").mkdir()
        for other in range(30):
            (tmp_path / "data" / "dir" / f"d{number}" / f"f{other}").write_text(f"{number} {other}")
    before = descriptors()
    nodes = {
        (number, other): client.lookup("root", "dir", f"d{number}", f"f{other}")
        for number in range(20)
        for other in range(30)
    }
    assert descriptors() <= before + FEWEST_FDS
    for (number, other), node in nodes.items():
        handle = client.open(node)
        assert client.read(node, handle) == f"{number} {other}".encode()
        client.release(node, handle)
    assert descriptors() <= before + FEWEST_FDS
    for number in range(20):
        assert len(client.entries(client.lookup("root", "dir", f"d{number}"), plus=True)) == 32
    assert descriptors() <= before + FEWEST_FDS
    client.device.nodes.clear()
    assert descriptors() <= before


def test_files_that_moved_while_their_descriptors_were_closed(client: Client, tmp_path: Path) -> None:
    """Stale, and found again by name: never another file under the old number."""
    folder = tmp_path / "data" / "dir"
    for number in range(200):
        (folder / f"f{number}").write_text(str(number))
    nodes = [client.lookup("root", "dir", f"f{number}") for number in range(200)]
    (folder / "f0").rename(folder / "old")
    (folder / "f0").symlink_to(tmp_path / "secret")
    (folder / "f1").unlink()
    (folder / "f1").write_text("another")
    for node in nodes[:2]:
        assert os.strerror(client.call(wire.GETATTR, node, bytes(16))[0]) == "Stale file handle"
    assert client.lookup("root", "dir", "old") == nodes[0] and client.attributes(nodes[0])["size"] == 1
    assert client.lookup("root", "dir", "f1") != nodes[1]
    assert client.attributes(nodes[2])["size"] == 1


def test_handles_are_bounded(client: Client) -> None:
    node = client.lookup("root", "file")
    errors = [client.call(wire.OPEN, node, bytes(8))[0] for _ in range(FEWEST_FDS)]
    assert errors.count(0) == FEWEST_FDS // 2 and os.strerror(max(errors)) == "Too many open files"
    assert client.attributes(client.lookup("root", "dir"))["nlink"] == 2, "the rest still works"


def test_the_host_swaps_directories_and_links(client: Client, tmp_path: Path) -> None:
    """While a guest walks, somebody replaces directories by links to the outside: it never sees the outside."""
    data, stop = tmp_path / "data", threading.Event()
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    (tmp_path / "outside" / "inner" / "file").write_text("the host's")
    (data / "a" / "inner").mkdir(parents=True)
    (data / "a" / "inner" / "file").write_text("the guest's")
    (data / "b").symlink_to(tmp_path / "outside")

    def swap() -> None:
        while not stop.is_set():
            posix.rename(data / "a", data / "t")
            posix.rename(data / "b", data / "a")
            posix.rename(data / "t", data / "b")

    thread = threading.Thread(target=swap)
    thread.start()
    seen = 0
    try:
        for _ in range(1500):
            node = client.lookup("root")
            for name in (b"a\0", b"inner\0", b"file\0"):
                error, answer = client.call(wire.LOOKUP, node, name)
                if error:
                    break
                (node,) = wire.INODE.unpack_from(answer)
            else:
                error, answer = client.call(wire.OPEN, node, bytes(8))
                if not error:
                    seen += 1
                    (handle, _, _) = wire.OPEN_OUT.unpack(answer)
                    assert client.read(node, handle) == b"the guest's"
                    client.release(node, handle)
    finally:
        stop.set()
        thread.join()
    assert seen


requests = st.tuples(
    st.sampled_from(OPCODES),
    st.one_of(st.integers(0, 40), st.integers(0, (1 << 64) - 1)),
    st.lists(
        st.one_of(
            st.integers(0, 8).map(lambda n: struct.pack("<Q", n)),
            st.integers(0, 0xFFFFFFFF).map(lambda n: struct.pack("<I", n)),
            st.sampled_from([b"\0", b"a\0", b"dir\0", b"file\0", b"..\0", b"user.x\0", bytes(16), b"\xff" * 8]),
            st.binary(max_size=40),
        ),
        max_size=8,
    ).map(b"".join),
    st.sampled_from([0, 16, 20, 120, 160, 4096, 70000]),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(requests, max_size=40))
def test_anything_at_all(sequence: list[tuple[int, int, bytes, int]]) -> None:
    """Whatever is sent: an answer that fits its chain, no defect, no descriptor too many, nothing outside touched."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "data" / "dir").mkdir(parents=True)
        (path / "data" / "file").write_text("x" * 5000)
        (path / "secret").write_text("the host's")
        (path / "data" / "up").symlink_to("../secret")
        shared, before = export(path / "data"), descriptors()
        client = Client(shared, most_fds=FEWEST_FDS)
        for name in ("dir", "file", "up"):
            client.lookup("root", name)
        handle = client.open(client.lookup("root", "file"), os.O_RDWR)
        assert handle == 1
        try:
            for unique, (opcode, node, body, room) in enumerate(sequence):
                header = wire.IN_HEADER.pack(wire.IN_HEADER.size + len(body), opcode, unique, node, 0, 0, 0, 0, 0)
                answer = client.raw(header + body, room)
                if answer:
                    length, error, echoed = wire.OUT_HEADER.unpack_from(answer)
                    assert (length, echoed) == (len(answer), unique) and -4096 < error <= 0
                assert descriptors() < before + FEWEST_FDS + 20
            assert not client.driver.needs_reset()
            assert sorted(os.listdir(path)) == ["data", "secret"] and (path / "secret").read_text() == "the host's"
        finally:
            client.close()
            os.close(shared.fd)
