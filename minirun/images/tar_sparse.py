"""PURE: GNU's sparse files in their four spellings: where the pieces are, and how long the whole is.

old   typeflag S; four pieces in the header, more in blocks behind it
0.0   pax, GNU.sparse.offset and GNU.sparse.numbytes again and again      0.1   pax, GNU.sparse.map=o,n,o,n
1.0   pax, GNU.sparse.major=1; the map is the first part of the content, in decimal lines
"""

from __future__ import annotations

from minirun.images.tar_numbers import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.tar_read import Source

BLOCK = 512
MOST_PIECES = 1 << 18
Pieces = list[tuple[int, int]]


def old(header: bytes, source: Source) -> tuple[Pieces, int]:
    """(pieces, real size)."""
    pieces = table(header[386:482])
    more = header[482]
    while more:
        block = bytes(source.take(BLOCK))
        pieces += table(block[:504])
        more = block[504]
        if len(pieces) > MOST_PIECES:
            raise ValueError("a sparse file of too many pieces")
    return pieces, number(header[483:495])


def table(rows: bytes) -> Pieces:
    """Pairs of twelve digits each; a row that begins with a zero byte is the end."""
    pieces = []
    for at in range(0, len(rows) - 23, 24):
        if not rows[at] and not rows[at + 12]:
            break
        pieces.append((number(rows[at : at + 12]), number(rows[at + 12 : at + 24])))
    return pieces


def by_pax(pax: list[tuple[bytes, bytes]], source: Source, size: int) -> tuple[Pieces, int, int] | None:
    """(pieces, real size, bytes of the content that were the map), or None for an ordinary file."""
    words = dict(pax)
    real = words.get(b"GNU.sparse.realsize") or words.get(b"GNU.sparse.size")
    if real is None:
        return None
    if words.get(b"GNU.sparse.major") == b"1":
        pieces, used = leading(source, size)
        return pieces, decimal(real), used
    if b"GNU.sparse.map" in words:
        numbers = [decimal(word) for word in words[b"GNU.sparse.map"].split(b",") if word]
    else:
        numbers = [decimal(value) for key, value in pax if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes")]
    return pairs(numbers), decimal(real), 0


def leading(source: Source, size: int) -> tuple[Pieces, int]:
    """The map at the beginning of the content: how many, then offset and length of each, one number a line."""
    blocks: list[bytes] = []
    wanted, ends = 0, 0
    while not wanted or ends < wanted:  # counted block by block: the whole is looked at once only
        used = len(blocks) * BLOCK
        if used + BLOCK > size + -size % BLOCK or used > MOST_PIECES * 8:
            raise ValueError("a sparse file without its map")
        blocks.append(bytes(source.take(BLOCK)))
        ends += blocks[-1].count(b"\n")
        if ends and not wanted:
            wanted = 1 + 2 * decimal(b"".join(blocks).partition(b"\n")[0])
            if wanted > 2 * MOST_PIECES:
                raise ValueError("a sparse file of too many pieces")
    lines = b"".join(blocks).split(b"\n")
    return pairs([decimal(line) for line in lines[1:wanted]]), len(blocks) * BLOCK


def decimal(word: bytes) -> int:
    if not word.isdigit() or len(word) > 19:
        raise ValueError("a sparse file's map is not of numbers")
    return int(word)


def pairs(numbers: list[int]) -> Pieces:
    if len(numbers) % 2 or len(numbers) > 2 * MOST_PIECES:
        raise ValueError("a sparse file's map is not of pairs")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def check(pieces: Pieces, size: int, real_size: int) -> None:
    """In order, apart, inside, and as long together as what is there."""
    end = total = 0
    for offset, length in pieces:
        if offset < end or length < 0:
            raise ValueError("a sparse file's pieces lie over each other")
        end = offset + length
        total += length
    if end > real_size or total != size:
        raise ValueError("a sparse file's map does not fit its size")
