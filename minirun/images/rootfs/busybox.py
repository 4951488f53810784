"""``[busybox]``: one static program, and a link for every applet that it says it has."""

from __future__ import annotations

import hashlib
import os
import subprocess

from minirun.errors import MinirunError
from minirun.images.rootfs.libraries import inspect
from minirun.images.rootfs.tree import FILE, Entry, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HINT = "install the package busybox-static (apt-get install busybox-static)"


class Input(dict[str, str]):
    """What was used: ``package``, ``version``, ``sha256``, ``pinned`` (from where, or "")."""


def fill(tree: Tree, own: dict[str, Any], architecture: str) -> Input:
    paths = own.get("paths", ["/bin/busybox"])
    path = next((path for path in paths if os.path.exists(path)), "")
    if not path:
        raise MinirunError("there is no busybox here", reason=f"looked for {' '.join(paths)}", hint=HINT)
    found = inspect(path)
    if found is None or found.loader or found.needed:
        why = "it is linked dynamically, and in the image there would be no library" if found else "it is no program"
        raise MinirunError(f"cannot use {path}", reason=why, hint=HINT)
    with open(path, "rb") as file:
        content = file.read()
    tree.put("bin/busybox", Entry(kind=FILE, mode=0o755, content=content, size=len(content)))
    for applet in applets(path):
        tree.link(f"bin/{applet}", "busybox")
    digest = hashlib.sha256(content).hexdigest()
    package = own.get("package", "")
    return Input(package=package, sha256=digest, **pinned(own, architecture, digest, package))


def applets(path: str) -> list[str]:
    done = subprocess.run([path, "--list"], capture_output=True, text=True, check=False, env={})
    names = sorted({word for word in done.stdout.split() if word != "busybox" and "/" not in word})
    if done.returncode or not names:
        raise MinirunError(f"{path} does not say which applets it has", reason=done.stderr.strip()[:200])
    return names


def pinned(own: dict[str, Any], architecture: str, digest: str, package: str) -> dict[str, str]:
    """The version, and the row of the recipe that knows this digest; without one, what the package database says."""
    for row in own.get("pin", []):
        version, known = (*row.get(architecture, ()), "", "")[:2]
        if known == digest:
            return {"version": version, "pinned": row.get("from", "the recipe")}
    return {"version": installed(package), "pinned": ""}


def installed(package: str) -> str:
    """The version that dpkg has; "" where there is no dpkg, or another busybox."""
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
