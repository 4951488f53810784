"""A tree, attribute by attribute, as JSON: run as a script, because the tree may be in another mount namespace.

path -> [type and mode, owner, group, mtime, device, content's hash or link's target, xattrs, first of its hard links]
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys


def row(path: str, first: dict[int, str], name: str) -> list[object]:
    is_ = os.lstat(path)
    content = ""
    if stat.S_ISREG(is_.st_mode):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif stat.S_ISLNK(is_.st_mode):
        content = os.readlink(path)
    xattrs = {
        key: os.getxattr(path, key, follow_symlinks=False).hex() for key in os.listxattr(path, follow_symlinks=False)
    }
    twin = first.setdefault(is_.st_ino, name) if not stat.S_ISDIR(is_.st_mode) and is_.st_nlink > 1 else name
    device = is_.st_rdev if stat.S_ISCHR(is_.st_mode) or stat.S_ISBLK(is_.st_mode) else 0
    return [is_.st_mode, is_.st_uid, is_.st_gid, is_.st_mtime_ns, device, content, xattrs, twin]


def picture(root: str) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    first: dict[int, str] = {}
    for folder, directories, files in os.walk(root):
        for name in sorted((*directories, *files)):
            path = os.path.join(folder, name)
            short = os.path.relpath(path, root)
            found[short] = row(path, first, short)
        directories.sort()
    found["."] = row(root, first, ".")
    return found


if __name__ == "__main__":
    json.dump(picture(sys.argv[1]), sys.stdout)
