"""What no image reaches goes: blobs, and what was under way when its writer ended."""

from __future__ import annotations

import posix

from minirun.images import media
from minirun.images.names_file import MAKING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minirun.images.store import Images


def reachable(images: Images, roots: Iterable[str]) -> set[str]:
    """Every digest behind the targets and ``roots``; what cannot be read leads nowhere."""
    found: set[str] = set()
    waiting = [target.digest for target in images.names().values()] + list(roots)
    while waiting:
        digest = waiting.pop()
        if digest in found:
            continue
        found.add(digest)
        waiting += below(images, digest)
    return found


def below(images: Images, digest: str) -> list[str]:
    """What a document names; a layer is none, and too large to look."""
    if not images.blobs.has(digest) or images.blobs.size(digest) > media.DOCUMENT_LIMIT:
        return []
    data = images.blobs.read(digest)
    if data[:1] not in (b"{", b" ", b"\n", b"\t", b"\r"):
        return []
    from minirun.errors import MinirunError

    try:
        value = media.document(data, digest)
        lists = [value.get(name, []) for name in ("manifests", "layers")] + [[value.get("config")]]
        return [one["digest"] for some in lists for one in some if isinstance(one, dict) and "digest" in one]
    except (MinirunError, TypeError):
        return []


def collect(images: Images, keep: Iterable[str], partials: bool) -> tuple[int, int]:
    """Under the exclusive lock: nobody is writing, so whatever is unreachable is nobody's."""
    reached = reachable(images, keep)
    count = size = 0
    base = f"{images.storage}/blobs"
    for algorithm in entries(base):
        for encoded in entries(f"{base}/{algorithm}"):
            if f"{algorithm}:{encoded}" not in reached:
                size += remove(f"{base}/{algorithm}/{encoded}")
                count += 1
    for name in entries(images.blobs.ingest):
        if partials or not name.endswith(".part"):
            size += remove(f"{images.blobs.ingest}/{name}")
    remove(f"{images.storage}/{MAKING}")
    return count, size


def entries(path: str) -> list[str]:
    try:
        return posix.listdir(path)
    except FileNotFoundError:
        return []


def remove(path: str) -> int:
    try:
        size = posix.stat(path, follow_symlinks=False).st_size
        posix.unlink(path)
    except FileNotFoundError:
        return 0
    return size
