"""Layers, unpacked once and shared: ``STORAGE/layers/<chain id>/fs``, read-only, in overlay form.

A layer's key is its chain id (image-spec, config.md): the hash of its diff id and of all below it, because whiteouts
and hard links mean something only on top of the right layers.  Whoever takes a layer's lock first unpacks it; others
wait and find it there.  It is made below ``STORAGE/tmp`` and renamed when whole; who dies in the middle leaves a
directory that the next to unpack that layer, or the garbage collection, removes.
"""

from __future__ import annotations

import posix

from minirun.facts import alone, user_namespace
from minirun.images.tree import OPEN_DIRECTORY, exists, make_directories, remove_tree
from minirun.linux import ofdlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from minirun.images.media import Descriptor
    from minirun.images.progress import Progress
    from minirun.images.store import Image, Images

ALGORITHM = "sha256:"


def own_sha256() -> Callable[[bytes], Any]:
    """The interpreter's own: hashlib loads the whole of OpenSSL, which takes longer than a container's overlay."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]  # Python 3.12
    except ImportError:
        from _sha256 import sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
    found: Callable[[bytes], Any] = sha256
    return found


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The chain ids of layers, lowest first: ``sha256:...`` each."""
    sha256 = own_sha256()
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(ALGORITHM + sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest() if chain else diff_id)
    return chain


class Layers:
    """The unpacked layers of a storage.

    ``userxattr``: for overlays that are mounted in a user namespace; None: if we are in one.
    """

    def __init__(self, storage: str, *, userxattr: bool | None = None) -> None:
        self.storage = storage
        self.place = f"{storage}/layers"
        self.userxattr = user_namespace() if userxattr is None else userxattr
        self.skipped: list[str] = []  # devices that could not be made, in a user namespace

    def directory(self, chain_id: str) -> str:
        """Where the layer is, or would be: what overlayfs takes as a lower directory."""
        return f"{self.place}/{chain_id.partition(':')[2]}/fs"

    def has(self, chain_id: str) -> bool:
        return exists(self.directory(chain_id))

    def ensure(self, images: Images, image: Image, progress: Progress | None = None) -> list[str]:
        """The lower directories of ``image``, topmost first; what is not there yet is unpacked.

        The caller holds ``images.shared()`` until it has written down who uses them.
        """
        chain = chain_ids(image.diff_ids)
        lowers: list[str] = []
        for number, chain_id in enumerate(chain):
            directory = self.directory(chain_id)
            if not exists(directory):
                self.unpack(images, image, number, chain_id, lowers, progress)
            lowers.insert(0, directory)
        return lowers

    def unpack(
        self,
        images: Images,
        image: Image,
        number: int,
        chain_id: str,
        lowers: list[str],
        progress: Progress | None,
    ) -> None:
        """Layer ``number`` of the image, by whoever gets its lock first."""
        name = chain_id.partition(":")[2]
        make_directories(self.place)
        fd = posix.open(f"{self.place}/.lock", posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC, 0o600)
        try:
            ofdlock.lock(fd, int(name[:15], 16))
            if self.has(chain_id):
                return
            work = f"{self.storage}/tmp/layer-{name}"
            remove_tree(work)  # somebody died here
            make_directories(f"{work}/fs")
            try:
                self.fill(f"{work}/fs", images, image.layers[number], image.diff_ids[number], lowers, progress)
                posix.rename(work, f"{self.place}/{name}")
            except BaseException:
                remove_tree(work)
                raise
        finally:
            posix.close(fd)

    def fill(
        self,
        directory: str,
        images: Images,
        layer: Descriptor,
        diff_id: str,
        lowers: list[str],
        progress: Progress | None,
    ) -> None:
        """Unpack the blob, and believe it only then: its digest, its size, and the digest of what was in it."""
        from minirun.images.lowers import Lowers
        from minirun.images.stream import Stream
        from minirun.images.tar_read import TarReader
        from minirun.images.unpack import Unpacker

        what = f"layer {layer.digest[:19]}"
        bar = progress.start(f"{layer.digest.partition(':')[2][:12]} unpacking", layer.size) if progress else None
        below = Lowers(lowers, userxattr=self.userxattr)
        blob = images.blobs.open(layer.digest)
        root = posix.open(directory, OPEN_DIRECTORY)
        stream = Stream(blob, what, algorithms=(layer.digest, diff_id), advance=bar.advance if bar else None)
        try:
            unpacker = Unpacker(root, TarReader(stream, what), below, squash=alone())
            unpacker.run()
            stream.finish(layer.digest, layer.size, diff_id)
        finally:
            stream.close()
            below.close()
            posix.close(root)
            posix.close(blob)
        self.skipped += unpacker.skipped
        if bar:
            bar.done("unpacked")

    def gc(self, keep: Iterable[str]) -> int:
        """Remove the layers whose chain ids are not in ``keep``; how many.  The caller holds ``images.exclusive()``."""
        kept = {chain_id.partition(":")[2] for chain_id in keep}
        names = posix.listdir(self.place) if exists(self.place) else []
        unused = [name for name in names if name[:1] != "." and name not in kept]
        for name in unused:
            doomed = f"{self.storage}/tmp/layer-gone-{name}"
            make_directories(f"{self.storage}/tmp")
            posix.rename(f"{self.place}/{name}", doomed)  # never half a layer under its own name
            remove_tree(doomed)
        return len(unused)
