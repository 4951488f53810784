"""What the tests of id-mapped mounts share: rows, entries, and whose a file is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import Bundle, Json, run


def rows(inside: int, outside: int, size: int = 65536) -> list[Json]:
    return [{"containerID": inside, "hostID": outside, "size": size}]


def mapping(inside: int, outside: int, size: int = 65536) -> Json:
    """The members of a mount."""
    return {"uidMappings": rows(inside, outside, size), "gidMappings": rows(inside, outside, size)}


def add(bundle: Bundle, source: Path | str, destination: str, *options: str, **more: object) -> None:
    entry: Json = {"destination": destination, "type": "none", "source": str(source), "options": list(options), **more}
    bundle.config["mounts"].append(entry)


def owners(text: str) -> str:
    """Of the probe's ``stat``."""
    return " ".join(text.split()[2:4])


def owner(path: Path) -> tuple[int, int]:
    return path.lstat().st_uid, path.lstat().st_gid


def in_a_mount_namespace(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return run("unshare", "-m", "sh", "-ec", script, "sh", *words)
