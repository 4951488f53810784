"""Small images as dictionaries of files, so that a test can bend any byte of them before they are written."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import MINIRUN, run

Files = dict[str, bytes]
OCI = "application/vnd.oci.image."


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(**files: str) -> bytes:
    """A layer with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def configuration(*layers: bytes, **more: Any) -> dict[str, Any]:
    return {
        "created": "2020-01-02T03:04:05Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["A=b"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [sha(one) for one in layers]},
        "history": [{"created": "2020-01-02T03:04:05Z", "created_by": "a test"} for _ in layers],
        **more,
    }


def encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def described(data: bytes, kind: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": OCI + kind if "/" not in kind else kind, "digest": sha(data), "size": len(data), **more}


def blob(files: Files, data: bytes) -> bytes:
    files["blobs/sha256/" + hashlib.sha256(data).hexdigest()] = data
    return data


def manifest(
    files: Files,
    *layers: bytes,
    config: Any = None,
    media: str = "layer.v1.tar",
    kind: str = "config.v1+json",
    **more: Any,
) -> bytes:
    """An image in ``files``; its manifest's bytes.  ``more`` replaces members of the manifest."""
    written = blob(files, encoded(configuration(*layers) if config is None else config))
    value = {
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": described(written, kind),
        "layers": [described(blob(files, one), media) for one in layers],
        **more,
    }
    return blob(files, encoded({name: member for name, member in value.items() if member is not ...}))


def index(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": list(entries), **more}


def layout(*entries: dict[str, Any], files: Files) -> Files:
    return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": encoded(index(*entries)), **files}


def named(name: str) -> dict[str, Any]:
    return {"annotations": {"org.opencontainers.image.ref.name": name}}


def one_layout(name: str = "made:1", *layers: bytes, **more: Any) -> Files:
    files: Files = {}
    made = manifest(files, *(layers or (layer(hello="world"),)), **more)
    return layout(described(made, "manifest.v1+json", **named(name)), files=files)


def docker_files(*layers: bytes, config: Any = None, tags: Any = ("made:1",), **more: Any) -> Files:
    """What ``docker save`` writes; ``more`` replaces members of manifest.json's only entry."""
    layers = layers or (layer(hello="world"),)
    written = encoded(configuration(*layers) if config is None else config)
    name = hashlib.sha256(written).hexdigest() + ".json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    entry = {"Config": name, "RepoTags": list(tags) if isinstance(tags, tuple) else tags, "Layers": names, **more}
    return {**dict(zip(names, layers, strict=True)), name: written, "manifest.json": encoded([entry])}


def write_tar(path: Path, files: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    """Entries in the order of the dictionary; a TarInfo is one of its own kind (a link, a device)."""
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            entry = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


def write_directory(path: Path, files: Files) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


class Storage:
    """``minirun --storage`` below a test's directory: ``storage("image", "ls")``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.command = (MINIRUN, "--storage", path / "storage", "--root", path / "root")

    def __call__(self, *words: str | Path, **more: Any) -> Any:
        return run(*self.command, *words, **more)

    def ok(self, *words: str | Path, **more: Any) -> str:
        done = self(*words, **more)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return str(done.stdout)

    def json(self, *words: str | Path) -> Any:
        return json.loads(self.ok(*words))

    def names(self) -> list[str]:
        rows = [json.loads(line) for line in self.ok("image", "ls", "--format", "json").splitlines()]
        return sorted(f"{row['Repository']}:{row['Tag']}" for row in rows)

    def files(self) -> list[str]:
        """What is below the storage that is no lock and no empty directory."""
        base = self.path / "storage"
        found = [p.relative_to(base).as_posix() for p in base.rglob("*") if p.is_file() or p.is_symlink()]
        return sorted(name for name in found if not name.endswith("lock"))
