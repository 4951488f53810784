"""Write the first inputs of the queues' fuzzer: for each device, requests that are right, and some that nearly are.

Use:

    python native/fuzz/queues.py DIR
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

NEXT, WRITE, INDIRECT = 1, 2, 4
DESC, AVAIL, USED, DATA = 0, 512, 640, 1024
ORDER = 4
RAW, BLK, NET, BALLOON = range(4)  # native/fuzz/virtq.c
Part = tuple[int, int, int]


def descriptors(parts: list[Part], first: int) -> bytes:
    """One chain, beginning at number ``first``."""
    last = len(parts) - 1
    return b"".join(
        struct.pack("<QIHH", address, length, flags | (NEXT if at < last else 0), first + at + 1)
        for at, (address, length, flags) in enumerate(parts)
    )


def one(device: int, chains: list[list[Part]], data: bytes, features: int = 3, changes: bytes = b"") -> bytes:
    """An input: head, memory, changes."""
    table, heads = b"", []
    for parts in chains:
        heads.append(len(table) // 16)
        table += descriptors(parts, heads[-1])
    memory = bytearray(DATA) + data
    memory[DESC : DESC + len(table)] = table
    ring = struct.pack("<HH", 0, len(heads)) + b"".join(struct.pack("<H", head) for head in heads)
    memory[AVAIL : AVAIL + len(ring)] = ring
    count = len(changes) // 3
    head = struct.pack("<BBBBHHHH", device, features, ORDER, 4 * count | (1 if count else 0), DESC, AVAIL, USED, 0)
    return head + bytes(memory) + changes


def disk(kind: int, sector: int, data: bytes = b"", room: int = 0, features: int = 3) -> bytes:
    """A request of virtio-blk's: its header, its data, its status."""
    body = struct.pack("<IIQ", kind, 0, sector) + data
    parts = [(DATA, 16, 0), (DATA + 16, len(data), 0), (DATA + 2048, room, WRITE), (DATA + 2048 + room, 1, WRITE)]
    return one(BLK, [[part for part in parts if part[1]]], body, features)


def seeds() -> dict[str, bytes]:
    table = struct.pack("<QIHH", DATA + 64, 32, NEXT, 1) + struct.pack("<QIHH", DATA + 128, 64, WRITE, 0)
    bump = struct.pack("<HB", AVAIL + 2, 9)  # the index goes on while we work
    found = {
        "raw": one(RAW, [[(DATA, 100, 0), (DATA + 100, 50, WRITE)], [(DATA, 1, 0)]], b"data" * 50),
        "raw-indirect": one(RAW, [[(DATA, 32, INDIRECT)]], table),
        "raw-changing": one(RAW, [[(DATA, 10, 0)], [(DATA, 20, WRITE)]], b"x" * 200, changes=bump),
        "raw-outside": one(RAW, [[(8190, 4, 0)]], b""),
        "raw-flags": one(RAW, [[(DATA, 8, WRITE)]], b"", features=0),
        "net": one(NET, [[(DATA + n * 256, 256, WRITE)] for n in range(12)], b"", features=7),
        "net-large": one(NET, [[(DATA, 4096, WRITE)], [(DATA, 64, WRITE)]], b"", features=3),
        "net-short": one(NET, [[(DATA, 11, WRITE)]], b"", features=7),
        "balloon": one(BALLOON, [[(DATA, 64, 0)], [(0, 8192, WRITE)]], struct.pack("<16I", *range(16))),
    }
    for name, kind in (("in", 0), ("out", 1), ("flush", 4), ("id", 8), ("discard", 11), ("zeroes", 13), ("none", 99)):
        found[f"blk-{name}"] = disk(kind, 3, b"" if kind in (0, 4, 8) else struct.pack("<QII", 1, 8, 0) * 32, 512)
    found["blk-read-only"] = disk(1, 0, bytes(512), 0, features=7)
    return found


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
