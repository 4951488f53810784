"""What mmdebstrap and debootstrap made, as a tree: from a tar, whose content stays there, or from a directory.

Both give, beside the tree, the lines of dpkg's status and of apt's package lists.
"""

from __future__ import annotations

import os
import stat
import tarfile

from minirun.errors import MinirunError
from minirun.images.rootfs.tree import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, LINK, Entry, Tree, above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS = "var/lib/dpkg/status"
LISTS = "var/lib/apt/lists/"
TYPES = {
    tarfile.REGTYPE: FILE, tarfile.AREGTYPE: FILE, tarfile.DIRTYPE: DIRECTORY, tarfile.SYMTYPE: LINK,
    tarfile.FIFOTYPE: FIFO, tarfile.CHRTYPE: CHARACTER, tarfile.BLKTYPE: BLOCK,
}  # fmt: skip
KINDS = {
    stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK, stat.S_IFIFO: FIFO, stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
}  # fmt: skip
XATTR = "SCHILY.xattr."


def from_tar(tree: Tree, path: str) -> tuple[list[str], list[list[str]]]:
    status: list[str] = []
    lists: list[list[str]] = []
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/")
            if name in ("", "."):
                continue
            if member.islnk():
                tree.entries[name] = tree.entries[member.linkname.removeprefix("./")]
                continue
            tree.entries[name] = Entry(
                kind=TYPES[member.type], mode=member.mode, uid=member.uid, gid=member.gid, date=int(member.mtime),
                target=member.linkname, source=path if member.isreg() else "", offset=member.offset_data,
                size=member.size, device=(member.devmajor, member.devminor), attributes=attributes(member),
            )  # fmt: skip
            if name == STATUS or is_list(name):
                file = archive.extractfile(member)
                lines = file.read().decode("utf-8", "replace").splitlines() if file else []
                if name == STATUS:
                    status = lines
                else:
                    lists.append(lines)
    return status, lists


def is_list(name: str) -> bool:
    return name.startswith(LISTS) and name.endswith("_Packages")


def attributes(member: tarfile.TarInfo) -> dict[str, bytes]:
    return {
        name.removeprefix(XATTR): value.encode("utf-8", "surrogateescape")
        for name, value in member.pax_headers.items()
        if name.startswith(XATTR)
    }


def from_directory(tree: Tree, root: str) -> tuple[list[str], list[list[str]]]:
    """Names of one inode are names of one entry."""
    known: dict[tuple[int, int], Entry] = {}
    for path in below(root):
        found = os.lstat(path)
        kind = KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None:  # a socket
            continue
        entry = known.get((found.st_dev, found.st_ino)) or Entry(
            kind=kind, mode=stat.S_IMODE(found.st_mode), uid=found.st_uid, gid=found.st_gid, date=int(found.st_mtime),
            target=os.readlink(path) if kind == LINK else "", source=path if kind == FILE else "",
            size=found.st_size if kind == FILE else 0, device=(os.major(found.st_rdev), os.minor(found.st_rdev)),
            attributes=extended(path) if kind == FILE else {},
        )  # fmt: skip
        if kind == FILE:
            known[found.st_dev, found.st_ino] = entry
        tree.entries[path[len(root) + 1 :]] = entry
    lists = [f"{root}/{name}" for name in tree.entries if is_list(name)]
    return read(f"{root}/{STATUS}"), [read(path) for path in lists]


def below(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        yield from (f"{folder}/{name}" for name in sorted([*folders, *files]))


def extended(path: str) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path) if name != "security.selinux"}


def read(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError as error:
        raise MinirunError(f"cannot read {path}", reason=error.strerror or "") from error


def empty(tree: Tree, places: list[str]) -> None:
    """Directories stay, what is in them goes."""
    wanted = set(places)
    tree.entries = {
        path: entry
        for path, entry in tree.entries.items()
        if entry.kind == DIRECTORY or wanted.isdisjoint(above(path)[:-1])
    }
