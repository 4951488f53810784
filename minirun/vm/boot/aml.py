"""PURE: ACPI machine language, as much of it as a machine without firmware needs (ACPI 6.4, chapter 20).

Each function returns the bytes of one term; terms are put into one another by adding bytes:

    device("COM1", name("_HID", eisa_id("PNP0501")), name("_CRS", resources(ports(0x3F8, 8), irq(4))))
"""

from __future__ import annotations

from _struct import pack

ZERO, ONE = b"\x00", b"\x01"
NAME, PACKAGE, BUFFER, SCOPE = b"\x08", b"\x12", b"\x11", b"\x10"
EXTENDED = b"\x5b"
DEVICE = b"\x82"


def length(content: int) -> bytes:
    """PkgLength (20.2.4): of the content and of itself, in one to four bytes."""
    if content + 1 < 0x40:
        return bytes([content + 1])
    for more in (1, 2, 3):
        total = content + 1 + more
        if total < 1 << (4 + 8 * more):
            rest = total >> 4
            return bytes([more << 6 | total & 15]) + rest.to_bytes(more, "little")
    raise ValueError(f"a term of {content} bytes is too long for AML")


def segment(text: str) -> bytes:
    """NameSeg: four characters, padded with underscores."""
    if not 0 < len(text) <= 4 or not (text.isascii() and text == text.upper()):
        raise ValueError(f"{text!r} is no name in AML")
    return text.ljust(4, "_").encode()


def path(text: str) -> bytes:
    """NameString of one segment, with the root's backslash before it if there is one."""
    return b"\\" + segment(text[1:]) if text.startswith("\\") else segment(text)


def integer(value: int) -> bytes:
    """The shortest form of a number (20.2.3)."""
    if value in (0, 1):
        return bytes([value])
    for prefix, form, most in ((0x0A, "<B", 1 << 8), (0x0B, "<H", 1 << 16), (0x0C, "<I", 1 << 32)):
        if value < most:
            return bytes([prefix]) + pack(form, value)
    return b"\x0e" + pack("<Q", value)


def string(text: str) -> bytes:
    return b"\x0d" + text.encode("ascii") + b"\0"


def eisa_id(text: str) -> bytes:
    """ "PNP0501" as a number: three letters of five bits, four hexadecimal digits, big end first (19.3.4)."""
    first, second, third = (ord(letter) - 0x40 for letter in text[:3])
    return b"\x0c" + pack(">I", first << 26 | second << 21 | third << 16 | int(text[3:], 16))


def name(text: str, value: bytes) -> bytes:
    return NAME + path(text) + value


def package(*elements: bytes) -> bytes:
    content = bytes([len(elements)]) + b"".join(elements)
    return PACKAGE + length(len(content)) + content


def buffer(data: bytes) -> bytes:
    content = integer(len(data)) + data
    return BUFFER + length(len(content)) + content


def scope(text: str, *terms: bytes) -> bytes:
    content = path(text) + b"".join(terms)
    return SCOPE + length(len(content)) + content


def device(text: str, *terms: bytes) -> bytes:
    content = path(text) + b"".join(terms)
    return EXTENDED + DEVICE + length(len(content)) + content


def resources(*descriptors: bytes) -> bytes:
    """A resource template: the descriptors and an end tag (6.4.2.9) whose checksum 0 means that there is none."""
    return buffer(b"".join(descriptors) + b"\x79\x00")


def ports(base: int, count: int) -> bytes:
    """I/O port descriptor (6.4.2.5): all 16 address lines decoded."""
    return pack("<BBHHBB", 0x47, 1, base, base, 1, count)


def irq(number: int) -> bytes:
    """IRQ descriptor (6.4.2.1), the short one: edge, active high."""
    return pack("<BH", 0x22, 1 << number)


def memory(base: int, size: int) -> bytes:
    """32-bit fixed memory range (6.4.3.4), writable."""
    return pack("<BHBII", 0x86, 9, 1, base, size)


def interrupt(gsi: int) -> bytes:
    """Extended interrupt descriptor (6.4.3.6): consumer, edge, active high, exclusive; one GSI."""
    return pack("<BHBBI", 0x89, 6, 0b0011, 1, gsi)
