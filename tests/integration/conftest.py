"""Fixtures of the integration tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle


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
