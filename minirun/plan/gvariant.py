"""Values with their D-Bus type, written as text: what systemd's properties are in a plan.

The notation is GLib's (GVariant Text Format), which runc and crun also take for ``org.systemd.property.*``
annotations; signatures are those of the D-Bus specification, section Type System:

    true                    b       uint64 67108864          t       [byte 0x03, 0x01]             ay
    'system.slice'          s       1.5                      d       [('/dev/null', 'rw')]         a(ss)
    -5                      i       ['a.slice', 'b.slice']   as      @a(ss) []                     a(ss)

The first element of an array decides for all.  Variants and dictionaries do not occur in properties of a unit.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INTEGERS = {
    "byte": ("y", 0, 255),
    "int16": ("n", -(1 << 15), (1 << 15) - 1),
    "uint16": ("q", 0, (1 << 16) - 1),
    "int32": ("i", -(1 << 31), (1 << 31) - 1),
    "uint32": ("u", 0, (1 << 32) - 1),
    "int64": ("x", -(1 << 63), (1 << 63) - 1),
    "uint64": ("t", 0, (1 << 64) - 1),
}
STRINGS = {"string": "s", "objectpath": "o", "signature": "g"}
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._")
ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
DEEPEST = 8


def parse(text: str) -> tuple[str, Any]:
    """Signature and value; arrays of bytes are ``bytes``.  Raises ValueError with what is wrong."""
    reader = Reader(text)
    found = reader.value("", 0)
    reader.blanks()
    if reader.at < len(text):
        raise ValueError(f"{text[reader.at :]!r} after the value")
    return found


def quote(text: str) -> str:
    """A string in this notation."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t") + "'"


class Reader:
    """One pass over the text, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def blanks(self) -> str:
        """Skip them; the character that comes, or ""."""
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def word(self) -> str:
        start = self.at
        while self.text[self.at : self.at + 1] in PLAIN and self.at < len(self.text):
            self.at += 1
        return self.text[start : self.at]

    def value(self, wanted: str, depth: int) -> tuple[str, Any]:
        """A value; ``wanted`` is the keyword that the first element of the array around it had."""
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        first = self.blanks()
        if first == "@":
            return self.typed()
        if first in ("[", "("):
            self.at += 1
            return self.array(depth) if first == "[" else self.tuple(depth)
        if first in ("'", '"'):
            return STRINGS.get(wanted, "s"), self.string()
        word = self.word()
        if word in INTEGERS or word in STRINGS:
            return self.value(word, depth + 1)
        if word in ("true", "false"):
            return "b", word == "true"
        return number(word, wanted)

    def typed(self) -> tuple[str, Any]:
        """@as []: what has no elements to tell its type by."""
        self.at += 1
        start = self.at
        while self.text[self.at : self.at + 1] in "asbtuixyqndog()" and self.at < len(self.text):
            self.at += 1
        signature = self.text[start : self.at]
        if not signature.startswith("a") or self.blanks() != "[":
            raise ValueError("@ is known before an empty array only")
        self.at += 1
        if self.blanks() != "]":
            raise ValueError("@ is known before an empty array only")
        self.at += 1
        return signature, b"" if signature == "ay" else []

    def items(self, end: str, depth: int, *, alike: bool) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        keyword = ""
        while self.blanks() != end:
            if found and self.text[self.at] != ",":
                raise ValueError(f"{self.text[self.at :]!r} where , or {end} was expected")
            if found:
                self.at += 1
                if end == ")" and self.blanks() == end:
                    break
            found.append(self.value(keyword, depth + 1))
            if alike:
                names = (*((name, row[0]) for name, row in INTEGERS.items()), *STRINGS.items())
                keyword = next((name for name, signature in names if signature == found[0][0]), "")
            if not self.blanks():
                raise ValueError(f"{end} is missing")
        self.at += 1
        return found

    def array(self, depth: int) -> tuple[str, Any]:
        found = self.items("]", depth, alike=True)
        if not found:
            raise ValueError("an empty array needs its type: @as []")
        if any(signature != found[0][0] for signature, _ in found):
            raise ValueError("the elements of an array have one type")
        values = [value for _, value in found]
        return f"a{found[0][0]}", bytes(values) if found[0][0] == "y" else values

    def tuple(self, depth: int) -> tuple[str, Any]:
        found = self.items(")", depth, alike=False)
        return f"({''.join(signature for signature, _ in found)})", tuple(value for _, value in found)

    def string(self) -> str:
        mark = self.text[self.at]
        self.at += 1
        parts = []
        while (c := self.text[self.at : self.at + 1]) != mark:
            if not c:
                raise ValueError("a string does not end")
            if c == "\\":
                self.at += 1
                c = ESCAPES.get(self.text[self.at : self.at + 1], "")
                if not c:
                    raise ValueError("an unknown escape in a string")
            parts.append(c)
            self.at += 1
        self.at += 1
        return "".join(parts)


def number(word: str, wanted: str) -> tuple[str, Any]:
    """Decimal, or hexadecimal with 0x; int32 unless said otherwise, as in GLib."""
    digits = word.lstrip("+-")
    base = 16 if digits.startswith("0x") else 10
    if not digits or not digits[0].isdigit() or not word.isascii() or "_" in word or len(word) > 40:
        raise ValueError(f"{word!r} is no value; a string is put in quotes" if word else "a value is missing")
    if base == 10 and not digits.isdigit():
        return "d", float(word)
    signature, least, most = INTEGERS.get(wanted, INTEGERS["int32"])
    value = int(word, base)
    if not least <= value <= most:
        raise ValueError(f"{word} is not from {least} to {most}")
    return signature, value
