"""Lock files: a line for each package of an image, with its version and the SHA-256 of its .deb.

    # a comment
    apt amd64 2.6.1 2f2a...

Versions come from the image's own dpkg status, digests from the signed package lists that apt fetched for it.
"""

from __future__ import annotations

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Row = tuple[str, str, str, str]  # package, architecture, version, SHA-256
SHOWN = 3  # of the differences, in an error


def stanzas(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Of a Debian control file (deb822(5)); the lines that go on are not needed here."""
    found: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            if found:
                yield found
            found = {}
        elif not line[0].isspace():
            name, _, value = line.partition(":")
            found[name] = value.strip()
    if found:
        yield found


def rows(status: Iterable[str], lists: Iterable[Iterable[str]]) -> list[Row]:
    """What is installed, in the order of names."""
    digests = {}
    for lines in lists:
        for one in stanzas(lines):
            key = (one.get("Package", ""), one.get("Architecture", ""), one.get("Version", ""))
            digests[key] = one.get("SHA256", "")
    found = []
    for one in stanzas(status):
        if one.get("Status", "").endswith(" installed"):
            key = (one["Package"], one["Architecture"], one["Version"])
            found.append((*key, digests.get(key, "")))
    return sorted(found)


def text(found: list[Row], comment: str) -> str:
    return f"# {comment}\n" + "".join(f"{' '.join(row)}\n" for row in found)


def read(path: str) -> list[Row]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is no text"
        raise MinirunError(
            "cannot read the lock", reason=f"{path}: {reason}", hint="--write-lock writes one"
        ) from error
    found: list[Row] = []
    for words in lines:
        if len(words) != 4 or len(words[3]) != 64:
            raise MinirunError("cannot read the lock", reason=f"{path}: {' '.join(words)[:80]!r}")
        found.append((words[0], words[1], words[2], words[3]))
    return sorted(found)


def differences(found: list[Row], locked: list[Row]) -> list[str]:
    """In words: what is another than the lock says."""
    have = {row[:2]: row for row in found}
    want = {row[:2]: row for row in locked}
    lines = [f"{name[0]} is not in the lock" for name in have if name not in want]
    lines += [f"{name[0]} is not installed" for name in want if name not in have]
    for name, row in have.items():
        other = want.get(name)
        if other is not None and other != row:
            lines.append(
                f"{name[0]} is {row[2]}, not {other[2]}" if row[2] != other[2] else f"{name[0]} has another digest"
            )
    return sorted(lines)


def refuse(lines: list[str], path: str) -> MinirunError:
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return MinirunError(
        f"the packages are not those of {path}", reason="; ".join(lines[:SHOWN]) + more,
        hint="--mirror with an archive that still has them (a snapshot of that day), or --write-lock for a new lock",
    )  # fmt: skip


def digest(found: list[Row]) -> str:
    from hashlib import sha256

    return sha256("".join(f"{' '.join(row)}\n" for row in found).encode()).hexdigest()
