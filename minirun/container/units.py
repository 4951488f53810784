"""Sizes, numbers and words as docker spells them on a command line.  PURE: every wrong one is a usage error."""

from __future__ import annotations

from minirun.errors import USAGE, MinirunError

SUFFIXES = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
LARGEST = (1 << 63) - 1


def wrong(option: str, value: str, wanted: str, hint: str = "") -> MinirunError:
    """The one face of a value that cannot be: --memory wants a size, not 'lots'."""
    return MinirunError(f"{option} wants {wanted}, not {value[:200]!r}", hint=hint, exit_code=USAGE)


def clash(option: str, value: str, other: str, hint: str = "") -> MinirunError:
    """Two that cannot both be meant: --restart always cannot stand beside --rm."""
    said = f"{option} {value[:200]}".rstrip()
    return MinirunError(f"{said} cannot stand beside {other}", hint=hint, exit_code=USAGE)


def size(option: str, text: str, *, unlimited: bool = False) -> int:
    """Bytes: 64m, 1.5g, 512 (docker/go-units: k is 1024, kb and KiB are k)."""
    if unlimited and text == "-1":
        return -1
    word = text.strip().lower()
    digits = word.rstrip("abcdefghijklmnopqrstuvwxyz").rstrip()
    suffix = word[len(digits) :].strip()
    if len(suffix) > 1 and suffix[0] in "kmgtp" and suffix[1:] in ("b", "ib"):
        suffix = suffix[0]
    whole, dot, part = digits.partition(".")
    if suffix not in SUFFIXES or not decimal(whole) or (dot and not decimal(part)):
        raise wrong(option, text, "a size", "b, k, m or g may follow the number, as 64m")
    shift = SUFFIXES[suffix]
    value = (int(whole) << shift) + (int(part) * (1 << shift) // 10 ** len(part) if dot else 0)
    if value > LARGEST:
        raise wrong(option, text, "a smaller size")
    return value


def decimal(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19


def number(option: str, text: str, least: int, most: int) -> int:
    """A whole number within bounds."""
    digits = text.removeprefix("-")
    if not decimal(digits) or not least <= int(text) <= most:
        bounds = f"from {least} to {most}" if most < LARGEST else f"of at least {least}"
        raise wrong(option, text, f"a number {bounds}")
    return int(text)


def billionths(option: str, text: str) -> int:
    """--cpus 1.5 in billionths of a CPU (NanoCPUs), exactly."""
    whole, _, part = text.partition(".")
    if not decimal(whole or "0") or not (whole or part) or (part and not decimal(part)) or len(part) > 9:
        raise wrong(option, text, "a number of CPUs", "as 0.5, or 2")
    return int(whole or "0") * 1_000_000_000 + int((part or "0").ljust(9, "0"))


def pair(option: str, text: str, wanted: str = "NAME=VALUE") -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise wrong(option, text, wanted)
    return name, value


def switch(option: str, text: str) -> bool:
    """A value of a long form's switch: readonly, readonly=true, readonly=0."""
    if text.lower() in ("", "1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise wrong(option, text, "true or false")


def choice(option: str, text: str, *words: str) -> str:
    if text not in words:
        raise wrong(option, text, ", ".join(words[:-1]) + " or " + words[-1])
    return text
