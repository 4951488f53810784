"""An image of the machine's own static busybox, with every applet, in the form that all callers load.

A "docker-archive" as ``docker save`` makes it: one layer, its configuration, a manifest.  Nothing is fetched.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from tests.needs import BUSYBOX

NAME = "minirun.test/busybox:latest"


def add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def layer() -> bytes:
    """bin with busybox and its links, etc/passwd, and the directories that a root file system has."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("bin", "etc", "proc", "sys", "dev", "root", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        add(archive, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for applet in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(entry)
        add(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\n")
        add(archive, "etc/group", b"root:x:0:\nguest:x:1000:\n")
    return buffer.getvalue()


def write_image(path: Path) -> Path:
    data = layer()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "busybox_image.py"}],
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]},
    }
    encoded = json.dumps(config).encode()
    name = hashlib.sha256(encoded).hexdigest() + ".json"
    with tarfile.open(path, "w") as archive:
        add(archive, name, encoded)
        add(archive, "layer.tar", data)
        manifest = [{"Config": name, "RepoTags": [NAME], "Layers": ["layer.tar"]}]
        add(archive, "manifest.json", json.dumps(manifest).encode())
    return path
