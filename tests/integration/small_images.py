"""Small images for tests of what moves them: made by our own store, from layers made here."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from pathlib import Path

from minirun.images import compose, media
from minirun.images.media import Descriptor
from minirun.images.store import Image, Images


def tarball(files: dict[str, bytes]) -> bytes:
    """A tar with these files, the same bytes each time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def layer(images: Images, tar: bytes) -> tuple[Descriptor, str]:
    """(compressed blob in the store, diff id)."""
    packed = gzip.compress(tar, 1, mtime=0)
    return images.blobs.put(packed, media.LAYER_GZIP), f"sha256:{hashlib.sha256(tar).hexdigest()}"


def noise(size: int, seed: int) -> bytes:
    """Bytes that no compression makes fewer."""
    return random.Random(seed).randbytes(size)


def image(storage: Path, name: str, sizes: tuple[int, ...] = (1000, 3 << 20), platform: str = "") -> Image:
    """An image with a layer of noise for each size."""
    images = Images(str(storage))
    with images.shared():
        layers = [layer(images, tarball({f"file{number}": noise(size, number)})) for number, size in enumerate(sizes)]
        return compose.image_from(
            images,
            layers=layers,
            config={"Cmd": ["/bin/true"]},
            name=name,
            platform=platform,
            created="2020-01-01T00:00:00Z",
        )
