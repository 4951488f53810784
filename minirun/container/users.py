"""Who a container's program runs as: names looked up in the image's own passwd and group (passwd(5), group(5)).

The image may be hostile: the files are opened below the rootfs only (openat2(2), RESOLVE_IN_ROOT), must be regular,
and are read up to a limit.  docker's rules: a number need not be in passwd; a name must be; without a group of one's
own, the groups that list the user are added.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.linux.openat2 import O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from minirun.record import Record

LARGEST = 4 << 20
MOST = 0xFFFFFFFE
REGULAR = 0o100000


class User(Record):
    uid: int = 0
    gid: int = 0
    groups: list[int]
    home: str = "/"


def resolve(root: int, user: str, more: list[str]) -> User:
    """``user``: NAME|UID[:GROUP|GID]; ``more``: groups besides.  ``root`` is a descriptor of the rootfs."""
    name, colon, group = user.partition(":")
    found = User(groups=[])
    entry = passwd(root, name or "0")
    if entry:
        found.uid, found.gid, found.home = int(entry[2]), int(entry[3]), known(entry[5])
    elif is_id(name):
        found.uid = int(name)
    elif name:
        raise unknown("user", name, "/etc/passwd")
    if colon and group:
        found.gid = group_id(root, group)
    # the own group is among them, so that what it is denied cannot be had by giving it up (CVE-2022-36109)
    found.groups = [found.gid]
    if entry and not group:
        found.groups += [gid for gid, members in groups(root) if entry[0] in members and gid != found.gid]
    for word in more:
        gid = group_id(root, word)
        if gid not in found.groups:
            found.groups.append(gid)
    return found


def known(home: str) -> str:
    """A home that config.json can hold."""
    try:
        home.encode()
    except UnicodeEncodeError:
        return "/"
    return home or "/"


def is_id(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 10 and int(word) <= MOST


def unknown(kind: str, name: str, file: str) -> MinirunError:
    return MinirunError(f"unknown {kind} {name[:200]!r}", reason=f"the image's {file} has no such {kind}")


def passwd(root: int, word: str) -> list[str]:
    """The line of a name, or else of a number; [] if there is none."""
    lines = [fields for fields in table(root, b"etc/passwd", 7) if is_id(fields[2]) and is_id(fields[3])]
    by_name = next((fields for fields in lines if fields[0] == word), [])
    if by_name or not is_id(word):
        return by_name
    return next((fields for fields in lines if int(fields[2]) == int(word)), [])


def groups(root: int) -> list[tuple[int, list[str]]]:
    return [(int(fields[2]), fields[3].split(",")) for fields in table(root, b"etc/group", 4) if is_id(fields[2])]


def group_id(root: int, word: str) -> int:
    for fields in table(root, b"etc/group", 4):
        if fields[0] == word and is_id(fields[2]):
            return int(fields[2])
    if not is_id(word):
        raise unknown("group", word, "/etc/group")
    return int(word)


def table(root: int, name: bytes, width: int) -> list[list[str]]:
    """Lines that have all their fields; a missing file has none."""
    text = read(root, name).decode("utf-8", "surrogateescape")
    return [fields for fields in (line.split(":") for line in text.split("\n")) if len(fields) >= width]


def read(root: int, name: bytes) -> bytes:
    try:
        place = openat2(root, name, O_PATH | posix.O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except OSError:  # not there, a link into nothing, a directory on the way that is none
        return b""
    try:
        about = posix.fstat(place)
        if about.st_mode & 0o170000 != REGULAR:  # and never opened: a device may do something at its mere opening
            return b""
        fd = posix.open(f"/proc/self/fd/{place}", posix.O_RDONLY | posix.O_CLOEXEC)
    finally:
        posix.close(place)
    try:
        if about.st_size > LARGEST:
            raise MinirunError("cannot look up the user", reason=f"the image's /{name.decode()} is too large")
        data = b""
        while len(data) <= LARGEST and (part := posix.read(fd, 65536)):
            data += part
        return data
    finally:
        posix.close(fd)
