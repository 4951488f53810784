"""--device and --privileged: nodes of this host for config.json, looked at anew at every start."""

from __future__ import annotations

import posix

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHARACTER, BLOCK, DIRECTORY, LINK = 0o020000, 0o060000, 0o040000, 0o120000
KINDS = {CHARACTER: "c", BLOCK: "b"}
# What the runtime makes itself, or is a file system of the container's own.
OWN = frozenset(("pts", "shm", "mqueue", "console", "ptmx", "fd", "stdin", "stdout", "stderr", "core", ".lxc",
                 "null", "zero", "full", "random", "urandom", "tty"))  # fmt: skip
MOST = 4096


def nodes(source: str, target: str, access: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Devices and the rules that allow them; a directory is all devices below it (/dev/snd)."""
    try:
        mode = posix.stat(source).st_mode & 0o170000
    except OSError as error:
        raise MinirunError(f"cannot give the device {source}", reason=error.strerror or "") from error
    if mode == DIRECTORY:
        found = below(source, target)
    else:
        found = [node(source, target)]
        if not found[0]:
            raise MinirunError(f"cannot give the device {source}", reason="it is no device")
    return found, [rule(device, access) for device in found]


def node(source: str, target: str) -> dict[str, Any]:
    """{} for what is no device."""
    about = posix.stat(source)
    kind = KINDS.get(about.st_mode & 0o170000)
    if kind is None:
        return {}
    return {
        "type": kind, "path": target, "major": major(about.st_rdev), "minor": minor(about.st_rdev),
        "fileMode": about.st_mode & 0o7777, "uid": about.st_uid, "gid": about.st_gid,
    }  # fmt: skip


def below(source: str, target: str, skip: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in sorted(posix.listdir(source)):
        path = f"{source.rstrip('/')}/{name}"
        try:
            mode = posix.lstat(path).st_mode & 0o170000
            if name in skip or mode == LINK or len(found) > MOST:
                continue
            if mode == DIRECTORY:
                found += below(path, f"{target.rstrip('/')}/{name}")
            elif device := node(path, f"{target.rstrip('/')}/{name}"):
                found.append(device)
        except FileNotFoundError:
            continue
    return found


def every() -> list[dict[str, Any]]:
    """--privileged: all that this host has below /dev."""
    return below("/dev", "/dev", OWN)


def rule(device: dict[str, Any], access: str) -> dict[str, Any]:
    return {
        "allow": True, "type": device["type"], "major": device["major"], "minor": device["minor"], "access": access
    }  # fmt: skip


def numbers(path: str) -> tuple[int, int]:
    """Of a block device, for a limit."""
    try:
        about = posix.stat(path)
    except OSError as error:
        raise MinirunError(f"cannot limit {path}", reason=error.strerror or "") from error
    if about.st_mode & 0o170000 != BLOCK:
        raise MinirunError(f"cannot limit {path}", reason="it is no block device")
    return major(about.st_rdev), minor(about.st_rdev)


def major(device: int) -> int:
    """gnu_dev_major (makedev(3))."""
    return (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF


def minor(device: int) -> int:
    return device & 0xFF | (device >> 12) & ~0xFF
