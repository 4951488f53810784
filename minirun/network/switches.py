"""This host's own switches, /proc/sys/net: read before they are written, and told of where others feel it."""

from __future__ import annotations

import posix


def sysctl(name: str, notes: list[str], said: str = "", value: bytes = b"1") -> None:
    """Written if it is another."""
    try:
        fd = posix.open(f"/proc/sys/{name}", posix.O_RDWR | posix.O_CLOEXEC)
    except OSError:
        fd = -1
    try:
        if fd < 0 or posix.read(fd, 16).strip() != value:
            posix.pwrite(fd, value, 0)
            if said:
                notes.append(said)
    except OSError as error:
        notes.append(f"cannot set {name.replace('/', '.')} to {value.decode()}: {error.strerror}")
    finally:
        if fd >= 0:
            posix.close(fd)
