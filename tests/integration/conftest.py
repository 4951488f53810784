"""Fixtures of the integration tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.integration.mapping import rows


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody can reach: pytest's own lie below one that is closed to others."""
    path = Path(tempfile.mkdtemp(prefix="minirun-test-"))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def open_bundle(open_place: Path, rootfs_master: Path) -> Bundle:
    """A bundle that other users, mapped ones too, can reach."""
    (open_place / "bundle").mkdir()
    return Bundle(open_place / "bundle", rootfs_master)


@pytest.fixture
def mapped(open_bundle: Bundle) -> Bundle:
    """A bundle with a user namespace: root inside is 100000 outside."""
    linux = open_bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux.update(uidMappings=rows(0, 100000), gidMappings=rows(0, 100000))
    return open_bundle


@pytest.fixture
def volume(open_place: Path) -> Path:
    """A directory of the host's root with files of 0:0, 5:6 and 7:8."""
    folder = open_place / "volume"
    folder.mkdir()
    for name, uid, gid in (("root", 0, 0), ("five", 5, 6), ("seven", 7, 8)):
        (folder / name).write_text(name)
        os.chown(folder / name, uid, gid)
    return folder
