"""A group of resctrl's for init (Documentation/arch/x86/resctrl.rst, config-linux.md, IntelRdt)."""

from __future__ import annotations

import posix
from errno import EEXIST, ENOENT

from minirun.cgroups import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.engine.execute import Site


def make(site: Site, op: Any) -> None:
    """Made, or found as it should be; then init is one of its tasks, and so are its children."""
    assert site.init is not None
    directory = op.resctrl + (op.path if op.path != "/" else "")
    try:
        if op.existing:
            if not posix.access(directory, posix.F_OK):
                raise OSError(ENOENT, posix.strerror(ENOENT), directory)
        elif made(site, directory):
            for line in op.properties:
                tree.write(f"{directory}/schemata", line + "\n")
        elif not agrees(op.properties, tree.read(f"{directory}/schemata") if op.properties else ""):
            raise OSError(EEXIST, "it exists, with other schemata", directory)
        tree.write(f"{directory}/tasks", str(site.init.pid))
    except OSError as error:
        raise OSError(error.errno, complaint(op.resctrl) or error.strerror, error.filename or directory) from error


def made(site: Site, directory: str) -> bool:
    """False if it was there."""
    try:
        posix.mkdir(directory, 0o755)
    except FileExistsError:
        return False
    site.undo.append(lambda: remove(directory))
    return True


def remove(directory: str) -> None:
    """rmdir(2) takes the group's files with it; its tasks go back to the default group."""
    try:
        posix.rmdir(directory)
    except FileNotFoundError:
        pass


def agrees(wanted: list[str], text: str) -> bool:
    """Are all of ``wanted`` in force?  The kernel pads numbers and orders caches as it likes."""
    there = shares(text.splitlines())
    return all(there.get(key) == value for key, value in shares(wanted).items())


def shares(lines: list[str]) -> dict[tuple[str, str], str]:
    """``"  L3:0=00ff;1=f"`` -> {("L3", "0"): "ff", ("L3", "1"): "f"}."""
    found = {}
    for line in lines:
        resource, _, pairs = line.strip().partition(":")
        for pair in pairs.split(";"):
            cache, _, share = pair.partition("=")
            found[resource.strip(), cache.strip()] = share.strip().lower().lstrip("0") or "0"
    return found


def complaint(mount: str) -> str:
    """What the kernel has to say about the last thing it was asked; "" if it was fine."""
    try:
        said = tree.read(f"{mount}/info/last_cmd_status").strip()
    except OSError:
        return ""
    return "" if said == "ok" else said
