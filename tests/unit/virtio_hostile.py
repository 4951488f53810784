"""A hostile driver: any register, any value, at any time, over a queue of which nothing can be trusted.

``DEVICES`` is every device there is; a new one is a row here, and is attacked with the others.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from minirun.vm.devices import mmio
from minirun.vm.devices.balloon import Balloon
from minirun.vm.devices.block import Block, open_disk
from minirun.vm.devices.console import Console
from minirun.vm.devices.fs import Export, FileSystem
from minirun.vm.devices.rng import Rng
from minirun.vm.devices.virtio import EVENT_IDX, VirtioDevice
from minirun.vm.devices.vsock import Vsock
from minirun.vm.loop import Loop
from tests.unit.virtio_driver import BUFFERS, INDIRECT, NEXT, QUEUES, SPACING, WRITE, Driver, Echo

MEMORY = 1 << 20
DEADLINE = 2.0  # seconds for one access or kick, on a machine that is busy with other things
Action = tuple[Any, ...]


def block(folder: Path, read_only: bool) -> Block:
    path = folder / "disk"
    if not path.exists():
        path.write_bytes(bytes(1 << 16))
    return Block(open_disk(str(path), read_only), read_only)


def console() -> Console:
    """With a port that says everything back."""
    made = Console()
    port = made.port("minirun")
    port.on_data = port.send
    return made


def share(folder: Path) -> FileSystem:
    root = folder / "share"
    root.mkdir(exist_ok=True)
    (root / "file").write_bytes(b"content")
    fd = os.open(root, os.O_PATH | os.O_CLOEXEC)
    return FileSystem("minirun", [Export(name="root", fd=fd, read_only=False)], most_fds=64)


def vsock(folder: Path) -> Vsock:
    (folder / "socket").unlink(missing_ok=True)
    return Vsock(3, str(folder / "socket"))


DEVICES: dict[str, Callable[[Path], VirtioDevice]] = {
    "echo": lambda _: Echo(),
    "block": lambda folder: block(folder, False),
    "block-read-only": lambda folder: block(folder, True),
    "rng": lambda _: Rng(),
    "balloon": lambda _: Balloon(),
    "console": lambda _: console(),
    "fs": share,
    "vsock": vsock,
}

REGISTERS = st.one_of(
    st.sampled_from([
        value for name, value in vars(mmio).items() if name.isupper() and isinstance(value, int) and value < mmio.WINDOW
    ]),
    st.integers(0, mmio.WINDOW - 1),
)  # fmt: skip
WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 8, 11, 15, 16, 64, 128, 0x7F, 256, 1024, 0xFFFF, QUEUES, BUFFERS, MEMORY - 16]),
    st.sampled_from([MEMORY, 0xD0000000, 0xFFFFFFFF]),
    st.integers(0, 0xFFFFFFFF),
)
ADDRESSES = st.one_of(
    st.integers(BUFFERS, BUFFERS + 64),
    st.sampled_from([0, QUEUES, BUFFERS + 0x1000, MEMORY - 1, MEMORY, 0xD0000000, 1 << 32, (1 << 64) - 1]),
)
LENGTHS = st.one_of(
    st.sampled_from([0, 1, 4, 8, 11, 12, 16, 20, 32, 48, 512, 513, 4096, 1 << 16, MEMORY, 0x7FFFFFFF, 0xFFFFFFFF]),
    st.integers(0, 600),
)
FLAGS = st.sampled_from([0, 0, 0, WRITE, WRITE, NEXT, INDIRECT, WRITE | NEXT, 7, 0xFFFF])
PARTS = st.lists(st.tuples(ADDRESSES, LENGTHS, FLAGS), min_size=1, max_size=6)
SIZES = st.sampled_from([1, 8, 16, 24, 40, 44, 64, 104, 512])
GOOD = st.lists(st.tuples(st.just(BUFFERS), SIZES, st.just(0)), max_size=2).flatmap(
    lambda first: st.lists(
        st.tuples(st.just(BUFFERS + 0x2000), st.sampled_from([1, 8, 20, 512, 4096]), st.just(WRITE)),
        min_size=0 if first else 1, max_size=3,
    ).map(lambda rest: first + rest)
)  # fmt: skip
# Kinds of requests that devices know: in the first word, with small numbers behind.
HEADS = st.tuples(st.sampled_from([0, 1, 2, 3, 4, 8, 11, 13, 26, 99]), *[st.integers(0, 9)] * 7).map(
    lambda words: struct.pack("<8I", *words)
)
# A FUSE request (length, opcode, unique, node ...), and a packet of vsock's (cids, ports, length, type, operation ...).
FUSE = st.tuples(st.sampled_from([40, 64, 104, 512]), st.integers(1, 52), st.integers(0, 4)).map(
    lambda words: (
        struct.pack("<IIQQIIII", words[0], words[1], 1, words[2], 0, 0, 0, 0) + struct.pack("<6I", 7, 38, 0, 1, 0, 0)
    )
)
PACKET = st.tuples(st.sampled_from([2, 3]), st.integers(0, 3), st.integers(0, 600), st.integers(0, 8)).map(
    lambda words: struct.pack("<QQIIIHHIII", 3, words[0], words[1], 1024, words[2], 1, words[3], 0, 4096, 0)
)
DATA = st.one_of(st.binary(max_size=64), HEADS, HEADS, FUSE, PACKET)
INDEX = st.integers(0, 4)

ACTIONS = st.one_of(
    st.tuples(st.just("write"), REGISTERS, st.sampled_from([1, 2, 4, 4, 4, 8]), WORDS),
    st.tuples(st.just("read"), REGISTERS, st.sampled_from([1, 2, 4, 8])),
    st.tuples(st.just("chain"), INDEX, PARTS),
    st.tuples(st.just("good"), INDEX, GOOD),
    st.tuples(st.just("good"), INDEX, GOOD),
    st.tuples(st.just("data"), DATA),
    st.tuples(st.just("data"), DATA),
    st.tuples(st.just("poke"), INDEX, st.integers(0, 0x9000), st.binary(min_size=1, max_size=32)),
    st.tuples(st.just("index"), INDEX, st.integers(0, 0xFFFF)),
    st.tuples(st.just("kick"), INDEX),
    st.tuples(st.just("start"), st.booleans()),
)


class Hostile:
    """Carries actions out; raises what the device raises, and AssertionError if it took too long."""

    def __init__(self, device: VirtioDevice) -> None:
        self.loop = Loop()
        self.driver = Driver(device, size=MEMORY, loop=self.loop)
        self.driver.attend = self.attend

    def do(self, action: Action) -> None:
        before = time.monotonic()
        getattr(self, action[0])(*action[1:])
        took = time.monotonic() - before
        assert took < DEADLINE, f"{action} took {took:.2f} s"

    def write(self, offset: int, size: int, value: int) -> None:
        self.driver.registers.write(offset, size, value & (1 << 8 * size) - 1)
        self.attend()

    def read(self, offset: int, size: int) -> None:
        value = self.driver.registers.read(offset, size)
        assert value >= 0

    def chain(self, index: int, parts: list[tuple[int, int, int]]) -> None:
        ring = self.driver.rings[index % len(self.driver.rings)]
        ring.offer(ring.chain(parts))

    def good(self, index: int, parts: list[tuple[int, int, int]]) -> None:
        self.chain(index, parts)
        self.kick(index)

    def data(self, data: bytes) -> None:
        self.driver.memory.write(BUFFERS, data)

    def poke(self, index: int, offset: int, data: bytes) -> None:
        self.driver.memory.write(QUEUES + SPACING * (index % len(self.driver.rings)) + offset, data)

    def index(self, index: int, value: int) -> None:
        self.driver.rings[index % len(self.driver.rings)].set_index(value)

    def kick(self, index: int) -> None:
        self.driver.reg(mmio.QUEUE_NOTIFY, index % len(self.driver.rings))
        self.attend()

    def start(self, events: bool) -> None:
        self.driver.start(self.driver.offered() & ~(0 if events else EVENT_IDX))

    def attend(self) -> None:
        """One round of the loop."""
        with self.loop.lock:
            for fd, event in self.loop.epoll.poll(0):
                callback = self.loop.callbacks.get(fd)
                if callback is not None:
                    callback(event)

    def still_works(self) -> None:
        """Whatever happened: a reset mends it, and an honest request is answered."""
        self.start(False)
        self.attend()
        assert not self.driver.needs_reset()
        device = self.driver.device
        if device.ID == 2:
            assert self.driver.request(struct.pack("<IIQ", 0, 0, 1), 513)[512:] == b"\0"
        elif device.ID in (4, 42):
            assert self.driver.request(b"12345678" if device.ID == 42 else b"", 8)
        elif device.ID == 5:
            self.driver.request(struct.pack("<I", 200))
        else:
            self.kick(0)

    def close(self) -> None:
        self.driver.close()
        self.loop.epoll.close()
