"""Pushes and pulls of a small image, by the command line and without it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from minirun.images import reference
from minirun.images.authority import Who
from minirun.images.blobs import digest_of
from minirun.images.credentials import Credentials
from minirun.images.dial import Manner
from minirun.images.media import Descriptor
from minirun.images.pull import pull
from minirun.images.push import push
from minirun.images.store import Image, Images
from tests.conftest import MINIRUN, run
from tests.integration.registries import PASSWORD, USER

BIG = (1000, 3 << 20, 2000, 1 << 20, 3000)
HASTY = Manner(attempts=3, pause=0.02)
KNOWN = Who(given=Credentials(user=USER, password=PASSWORD))


def minirun(storage: Path, *words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    return run(MINIRUN, "--storage", storage, "image", *words, **more)


def said(storage: Path, *words: str | Path, **more: object) -> str:
    done = minirun(storage, *words, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def small(store: Path) -> Image:
    return Images(str(store)).find("local.test/small:1")


def send(store: Path, name: str, *, who: Who | None = None, **more: object) -> Descriptor:
    manner = Manner(**{**HASTY.__dict__, **more})
    return push(Images(str(store)), small(store), reference.parse(name), who=who or Who(), manner=manner)


def fetch(folder: Path, name: str, *, who: Who | None = None, **more: object) -> Image:
    manner = Manner(**{**HASTY.__dict__, **more})
    return pull(Images(str(folder / "storage")), reference.parse(name), who=who or Who(), manner=manner)


def whole(storage: Path, image: Image) -> None:
    """Every blob of it is what its name says, and nothing is under way."""
    blobs = Images(str(storage)).blobs
    for one in [image.manifest_descriptor, *image.layers]:
        assert digest_of(Path(blobs.path(one.digest)).read_bytes()) == one.digest
    assert not list((storage / "ingest").iterdir())
