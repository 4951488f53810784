"""PURE: what the headers of a registry's answers say.

WWW-Authenticate (RFC 9110, 11.6.1: several challenges, in one line or more), Retry-After (10.2.3), Content-Range and
the Range of a registry's upload.  All of it comes from a stranger: what is not well formed counts as not said.
"""

from __future__ import annotations

import re

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
PART = re.compile(rf'[\s,]*({TOKEN})(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?')
LONGEST = 16 << 10


def challenges(lines: list[str]) -> list[tuple[str, dict[str, str]]]:
    """[('bearer', {'realm': ..., 'service': ...}), ...]: scheme and parameters in lower case, in the order given."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in lines:
        if len(line) > LONGEST:
            continue
        at = 0
        while match := PART.match(line, at):
            at = match.end()
            word, quoted, bare = match.groups()
            if quoted is None and bare is None:
                found.append((word.lower(), {}))
            elif found:
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
                found[-1][1].setdefault(word.lower(), value)
    return found


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait, from either form of the header; never less than none."""
    if not value:
        return None
    if value.strip().isdecimal() and len(value) < 10:
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def content_range(value: str | None) -> tuple[int, int] | None:
    """(first byte, length of the whole or -1) of ``bytes 5-9/10``."""
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", (value or "").strip())
    if not match:
        return None
    return int(match[1]), -1 if match[3] == "*" else int(match[3])


def uploaded(value: str | None) -> int:
    """How many bytes of an upload the registry has: ``0-1023`` is 1024 (some write ``bytes=`` before it)."""
    match = re.fullmatch(r"(?:bytes[= ])?0-(\d{1,18})", (value or "").strip())
    count = int(match[1]) + 1 if match else 0
    return 0 if count == 1 else count  # docker's registry says 0-0 for nothing as well as for one byte
