"""PURE: tar headers as bytes: ustar where a member fits, pax records where it does not (pax(1)).

The same member is the same bytes: no names of users, no time but the file's own, records sorted.
"""

from __future__ import annotations

BLOCK = 512
FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
MOST_ID = 0o7777777
MOST_SIZE = 0o77777777777
END = bytes(2 * BLOCK)
SECOND = 1_000_000_000


def header(
    name: bytes,
    kind: bytes = FILE,
    *,
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: dict[bytes, bytes] | None = None,
) -> bytes:
    """What stands before the content; ``mtime`` in nanoseconds, a directory's ``name`` ends with a slash."""
    pax: dict[bytes, bytes] = {b"SCHILY.xattr." + key: value for key, value in (xattrs or {}).items()}
    seconds, rest = divmod(mtime, SECOND)
    if rest or not 0 <= seconds <= MOST_SIZE:
        pax[b"mtime"] = time_of(mtime)
    for key, number, most in ((b"uid", uid, MOST_ID), (b"gid", gid, MOST_ID), (b"size", size, MOST_SIZE)):
        if number > most:
            pax[key] = b"%d" % number
    if len(name) > 100 or not name.isascii():
        pax[b"path"] = name
    if len(link) > 100 or not link.isascii():
        pax[b"linkpath"] = link
    before = b""
    if pax:
        records = b"".join(record(key, pax[key]) for key in sorted(pax))
        before = block(b"pax_header", b"x", 0o644, 0, 0, len(records), 0, b"", (0, 0)) + padded(records)
    seconds = min(max(seconds, 0), MOST_SIZE)
    return before + block(
        name[:100], kind, mode, min(uid, MOST_ID), min(gid, MOST_ID), min(size, MOST_SIZE), seconds, link[:100], device
    )


def block(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    seconds: int,
    link: bytes,
    device: tuple[int, int],
) -> bytes:
    start = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, seconds)
    end = kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(64) + b"%07o\0%07o\0" % device + bytes(167)
    return start + b"%06o\0 " % (sum(start) + sum(end) + 8 * 32) + end


def record(key: bytes, value: bytes) -> bytes:
    """ "LENGTH KEY=VALUE\\n"; the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))
    return b"%d" % length + rest


def time_of(nanoseconds: int) -> bytes:
    sign = "-" if nanoseconds < 0 else ""
    seconds, rest = divmod(abs(nanoseconds), SECOND)
    return f"{sign}{seconds}.{rest:09d}".rstrip("0").rstrip(".").encode()


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)
