"""Images made by hand for tests: layers as lists of members, straight into a storage."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

from minirun.images.compose import image_from
from minirun.images.layers import Layers
from minirun.images.media import LAYER, LAYER_GZIP, Descriptor
from minirun.images.store import Image, Images
from tests.unit.tars import tar


def blob(images: Images, data: bytes, *, squeezed: bool = True) -> tuple[Descriptor, str]:
    """A tar in the store: (descriptor, diff id)."""
    content = gzip.compress(data, 1, mtime=0) if squeezed else data
    return images.blobs.put(content, LAYER_GZIP if squeezed else LAYER), "sha256:" + hashlib.sha256(data).hexdigest()


def image(images: Images, *layers: bytes | list[tuple[Any, ...]], name: str = "localhost/t:latest") -> Image:
    """An image of these layers, lowest first."""
    made = [blob(images, layer if isinstance(layer, bytes) else tar(*layer)) for layer in layers]
    return image_from(images, layers=made, name=name, created="2024-01-01T00:00:00Z", platform="linux/amd64")


def unpacked(storage: Path, *layers: bytes | list[tuple[Any, ...]]) -> list[Path]:
    """The directories of an image's layers, topmost first."""
    images = Images(str(storage))
    with images.shared():
        return [Path(path) for path in Layers(str(storage)).ensure(images, image(images, *layers))]
