"""An image from a registry into the store (distribution-spec, Pull).

    the document that the name means -> of an index, the document for the platform -> configuration and layers, several
    at once -> the documents -> admission -> the name

Everything is fetched by digest but the first document, and verified on the raw bytes.  A manifest is written when all
that it names is here, and the name is given last: an interrupted pull has left pieces that the next one goes on with,
and no image.  A registry that sends what cannot be true leaves nothing.
"""

from __future__ import annotations

import os
from errno import ENOSPC

from minirun.errors import MinirunError
from minirun.images import admit, download, garbage, media, platform as platforms
from minirun.images.authority import Who
from minirun.images.blobs import digest_of, make_directory
from minirun.images.media import Descriptor
from minirun.images.parallel import each
from minirun.images.present import is_attestation
from minirun.images.progress import Bar, Progress
from minirun.images.registry import Client
from minirun.images.store import INDEX_DEPTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.images.dial import Manner
    from minirun.images.reference import Reference
    from minirun.images.store import Image, Images

ACCEPT = (*media.MANIFESTS, *media.INDEXES)


def pull(
    images: Images, reference: Reference, *, platform: str = "", every: bool = False, progress: Progress | None = None,
    who: Who | None = None, manner: Manner | None = None,
) -> Image:  # fmt: skip
    """The image that the registry has under this name now.  ``every``: all platforms of an index.

    Only without a lock on the storage: it takes the shared one for as long as it lasts.
    """
    progress = progress or Progress()
    aim = f"cannot pull {reference.familiar}"
    client = Client(reference.registry, reference.repository, aim=aim, who=who, manner=manner)
    name = f"{reference.where}@{reference.digest}" if reference.digest else reference.name
    errand = Errand(images, client, reference, progress)
    try:
        with images.shared():
            image = errand.unchanged(name, platform) if not every else None
            if image is None:
                target = errand.fetch(platform, every)
                images.tag(name, target)
                image = images.find(name, platform)
    except MinirunError:
        if client.deceived:
            forget(images, errand.brought)
        raise
    finally:
        client.dial.hang_up()
    fitting(image, platform, progress)
    return image


class Errand:
    """One pull under way."""

    def __init__(self, images: Images, client: Client, reference: Reference, progress: Progress) -> None:
        self.images, self.client, self.reference, self.progress = images, client, reference, progress
        self.documents: dict[str, tuple[Descriptor, bytes]] = {}  # what is to be written, the target last
        self.besides: list[Descriptor] = []  # blobs of what goes with the images, and is none
        self.brought: set[str] = set()  # digests that were not here before
        self.what = f"the manifest of {reference.familiar}"

    def address(self, word: str) -> str:
        return f"{self.reference.repository}/manifests/{word}"

    def unchanged(self, name: str, platform: str) -> Image | None:
        """The image that is here already, if the registry still means the same by its name.

        A HEAD costs little, and registries that count pulls do not count it.  What it answers is taken as a reason to
        fetch nothing, never as a digest to trust.
        """
        target = self.images.names().get(name)
        if target is None or self.images.choose(target, platforms.parse(platform)) is None:
            return None
        if not self.reference.digest:
            headers = {"Accept": ", ".join(ACCEPT)}
            answer = self.client.ask("HEAD", self.address(self.reference.tag), headers=headers, good=(200, 404, 405))
            self.client.words(answer)
            if answer.status != 200 or answer.headers.get("Docker-Content-Digest", "") != target.digest:
                return None
        try:
            admit.admit(self.images, target)
        except MinirunError:
            return None
        return self.images.find(name, platform)

    def fetch(self, platform: str, every: bool) -> Descriptor:
        """Everything that is not here yet; the descriptor of the document that the name means."""
        target, data = self.first()
        manifests = self.below(target, data, platforms.parse(platform), every, INDEX_DEPTH)
        parts = [one for manifest in manifests for one in (manifest.config, *manifest.layers)]
        blobs = list({one.digest: one for one in (*parts, *self.besides)}.values())
        self.check_room(blobs)
        self.bring(blobs)
        try:
            for one, raw in self.documents.values():
                self.write(one, raw)
            admit.admit(self.images, target)
        except MinirunError:
            self.client.deceived = True
            raise
        return target

    # documents

    def first(self) -> tuple[Descriptor, bytes]:
        wanted = self.reference.digest
        data, kind = self.client.document(self.address(wanted or self.reference.tag), ACCEPT)
        digest = digest_of(data, wanted.partition(":")[0] or "sha256")
        if wanted and digest != wanted:
            raise media.bad(self.what, f"its digest is {digest}")
        return Descriptor(mediaType=kind if kind in ACCEPT else "", digest=digest, size=len(data)), data

    def child(self, one: Descriptor) -> bytes:
        """A document by its digest: from here, or from the registry."""
        if self.images.blobs.has(one.digest, one.size) and one.size <= media.DOCUMENT_LIMIT:
            return self.images.blobs.read(one.digest, verify=True)
        data, _ = self.client.document(self.address(one.digest), ACCEPT)
        found = digest_of(data, one.digest.partition(":")[0])
        if (found, len(data)) != (one.digest, one.size):
            raise media.bad(self.what, f"for {one.digest} of {one.size} bytes came {found} of {len(data)}")
        return data

    def below(
        self, one: Descriptor, data: bytes, wanted: platforms.Platform, every: bool, depth: int
    ) -> list[media.Manifest]:
        """The manifests that are wanted at or below a document; their documents, the inner first, in ``documents``."""
        if not depth:
            raise media.bad(self.what, f"indexes within indexes, more than {INDEX_DEPTH} deep")
        value = media.document(data, self.what)
        kind = media.kind_of(value, one.mediaType, self.what)
        one.mediaType = one.mediaType or value.get("mediaType") or (media.INDEX if kind == "index" else media.MANIFEST)
        if kind == "manifest":
            found = [media.manifest_of(value, self.what)]
        else:
            found = []
            for child in self.chosen(value, wanted, every):
                found += self.below(child, self.child(child), wanted, every, depth - 1)
            for child in [one for one in media.index_of(value, self.what) if every and is_attestation(one)]:
                self.documents[child.digest] = (child, self.child(child))
                self.besides += media.parts_of(media.document(self.documents[child.digest][1], self.what), self.what)
        self.documents[one.digest] = (one, data)
        return found

    def chosen(self, value: dict[str, Any], wanted: platforms.Platform, every: bool) -> list[Descriptor]:
        listed = [one for one in media.index_of(value, self.what) if not is_attestation(one)]
        listed = [one for one in listed if one.mediaType in (*ACCEPT, "")]
        if every and listed:
            return listed
        best = platforms.choose(listed, wanted)
        if not best:
            raise MinirunError(
                f"cannot pull {self.reference.familiar}", reason=f"there is none for {wanted}",
                hint=f"--platform takes what there is: {platforms.words(listed)}",
            )  # fmt: skip
        return best[:1]

    def write(self, one: Descriptor, data: bytes) -> None:
        if self.images.blobs.has(one.digest, one.size):
            return
        self.brought.add(one.digest)
        writer = self.images.blobs.writer(one)
        try:
            writer.write(data)
            writer.commit()
        finally:
            writer.abort()

    # blobs

    def check_room(self, blobs: list[Descriptor]) -> None:
        """Before the first byte: will there be room for all?  It is also where a size that nobody has ends."""
        need = sum(one.size for one in blobs if not self.images.blobs.has(one.digest, one.size))
        make_directory(self.images.storage)
        found = os.statvfs(self.images.storage)
        free = found.f_bavail * found.f_frsize
        if need > free:
            raise MinirunError(
                f"cannot pull {self.reference.familiar}", reason=f"{need} bytes are to come, {free} are free",
                hint="minirun image prune makes room; --storage names another place",
            )  # fmt: skip

    def bring(self, blobs: list[Descriptor]) -> None:
        """Configurations and layers, several at once, in the order in which they are listed."""
        bars: dict[str, Bar] = {one.digest: self.progress.start(short(one.digest), one.size) for one in blobs}
        self.brought |= {one.digest for one in blobs if not self.images.blobs.has(one.digest, one.size)}
        try:
            each(
                lambda one: download.blob(self.client, self.images.blobs, one, bars[one.digest]),
                blobs,
                self.client.stop,
            )
        except OSError as error:
            hint = "minirun image prune makes room" if error.errno == ENOSPC else ""
            aim = f"cannot pull {self.reference.familiar}"
            raise MinirunError(aim, reason=f"cannot write to the storage: {error.strerror}", hint=hint) from error


def short(digest: str) -> str:
    """As docker shows it: enough to tell the layers of an image apart."""
    return digest.partition(":")[2][:12]


def forget(images: Images, brought: set[str]) -> None:
    """Take away what a lying registry has sent, unless somebody is at work here: then the next gc does."""
    lock = images.exclusive(patience=0.0)
    if not lock.acquire():
        return
    try:
        for digest in brought - garbage.reachable(images, ()):
            garbage.remove(images.blobs.path(digest))
            garbage.remove(f"{images.blobs.ingest}/{digest.partition(':')[2]}.part")
    finally:
        lock.release()


def fitting(image: Image, platform: str, progress: Progress) -> None:
    """A name that means one image only brings that, for whatever machine it is: say so."""
    found, wanted = platforms.of(image.config), platforms.parse(platform)
    if found.architecture and not platforms.rank(wanted, found):
        progress.say(f"minirun: warning: the image is for {found}, not for {wanted}")
