"""PURE: the numbers and records of tar headers, strictly: what is not one is a ValueError."""

from __future__ import annotations


def number(field: bytes) -> int:
    """Octal digits with spaces or zeros around, or base 256 (GNU), marked by the first bit."""
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big")
        if first & 0x40:  # two's complement
            return value - (1 << 8 * len(field))
        return value - (0x80 << 8 * (len(field) - 1))
    text = field.strip(b" \0")
    if not text:
        return 0
    if not text.isdigit():
        text = text.replace(b"\0", b" ").split(b" ", 1)[0]
        if not text.isdigit():
            raise ValueError("a number that is none in a header")
    return int(text, 8)


def decimal_time(value: bytes) -> int:
    """ "-1.5" in nanoseconds; digits beyond the ninth are cut off."""
    sign = -1 if value[:1] == b"-" else 1
    whole, _, part = value.lstrip(b"-").partition(b".")
    if not whole.isdigit() or len(whole) > 19 or (part and not part.isdigit()):
        raise ValueError("mtime is not a time")
    return sign * (int(whole) * 1_000_000_000 + int(part[:9].ljust(9, b"0")))


def pax_records(data: bytes) -> list[tuple[bytes, bytes]]:
    """ "LENGTH KEY=VALUE\\n" after another; LENGTH counts itself.  In order: GNU.sparse.offset repeats."""
    records = []
    place = 0
    while place < len(data):
        digits, space, _ = data[place : place + 20].partition(b" ")
        if not space or not digits.isdigit():
            raise ValueError("an extended header that is none")
        end = place + int(digits)
        if end > len(data) or end <= place + len(digits) + 1 or data[end - 1 : end] != b"\n":
            raise ValueError("an extended header that is none")
        key, equals, value = data[place + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise ValueError("an extended header that is none")
        records.append((key, value))
        place = end
    return records
