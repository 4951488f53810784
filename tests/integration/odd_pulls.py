"""Pulls from a registry that does as it is told (odd_registry), with little patience, and what must be left of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.images import reference
from minirun.images.authority import Who
from minirun.images.credentials import Credentials
from minirun.images.dial import Manner
from minirun.images.pull import pull
from minirun.images.store import Image, Images
from tests.integration.odd_registry import Odd, digest_of, reply
from tests.integration.small_images import noise, tarball

LAYER = tarball({"file": noise(300_000, 1)})
SECOND = tarball({"other": b"x" * 1000})
HASTY = Manner(attempts=3, pause=0.01, connect=5.0, silence=10.0, answer=20.0)  # a busy machine is not a silent one
BLOB = f"/v2/x/blobs/{digest_of(LAYER)}"
NAMED = Who(given=Credentials(user="ann", password="s3cret-word"))


def blob_of(data: bytes) -> Callable[[Any], None]:
    return lambda handler: reply(handler, data)


def fetch(odd: Odd, folder: Path, name: str = "x", who: Who | None = None, **more: Any) -> Image:
    wanted = reference.parse(f"{odd.host}/{name}")
    words = {"platform": "linux/amd64", **more.pop("pull", {})}
    manner = Manner(**{**HASTY.__dict__, **more})
    return pull(Images(str(folder / "storage")), wanted, who=who or Who(), manner=manner, **words)


def left(folder: Path) -> list[str]:
    """Whatever is in the storage, but for locks and empty directories."""
    found = [path for path in (folder / "storage").rglob("*") if path.is_file() and not path.name.endswith("lock")]
    return sorted(path.relative_to(folder / "storage").as_posix() for path in found)


def refused(odd: Odd, folder: Path, pattern: str, **more: Any) -> MinirunError:
    before = time.monotonic()
    with pytest.raises(MinirunError, match=pattern) as caught:
        fetch(odd, folder, **more)
    assert time.monotonic() - before < 10
    assert left(folder) == []
    face = caught.value.face()
    assert "s3cret" not in face and "Traceback" not in face and len(face) < 1500
    return caught.value
