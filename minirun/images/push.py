"""An image from the store into a registry (distribution-spec, Push).

    configuration and layers, several at once: is it there? can it be mounted from a repository beside? else upload
    -> the manifest -> of an index with all its images the other manifests, then the index -> its digest, as answered

What the registry has already is never sent.  The manifest comes last, so that a name never means half an image.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.images import media, platform as platforms, refusals, upload
from minirun.images.authority import Who
from minirun.images.media import Descriptor
from minirun.images.parallel import each
from minirun.images.present import is_attestation
from minirun.images.progress import Progress
from minirun.images.reference import is_digest, parse
from minirun.images.refusals import Asked
from minirun.images.registry import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.dial import Manner
    from minirun.images.reference import Reference
    from minirun.images.store import Image, Images


def push(
    images: Images, image: Image, reference: Reference, *, every: bool = False, progress: Progress | None = None,
    who: Who | None = None, manner: Manner | None = None,
) -> Descriptor:  # fmt: skip
    """What the name means in the registry afterwards.  ``every``: the whole index, if all of its images are here.

    Only without a lock on the storage: it takes the shared one for as long as it lasts.
    """
    aim = f"cannot push {reference.familiar}"
    if not reference.tag:
        raise MinirunError(aim, reason="a push needs a tag, not a digest")
    client = Client(reference.registry, reference.repository, actions="pull,push", aim=aim, who=who, manner=manner)
    try:
        with images.shared():
            target = image.target if every else image.manifest_descriptor
            errand = Errand(images, client, reference, progress or Progress())
            errand.send(target)
    finally:
        client.dial.hang_up()
    return target


class Errand:
    """One push under way."""

    def __init__(self, images: Images, client: Client, reference: Reference, progress: Progress) -> None:
        self.images, self.client, self.reference, self.progress = images, client, reference, progress
        self.beside = beside(images, reference)

    def send(self, target: Descriptor) -> None:
        documents = self.gather(target)
        blobs: dict[str, Descriptor] = {}
        for one, data in documents:
            if one.mediaType in media.MANIFESTS:
                parts = media.parts_of(media.document(data, one.digest), one.digest)
                blobs |= {part.digest: part for part in parts}
        self.client.authority.scopes += [
            f"repository:{other}:pull" for other in sorted({self.beside.get(d, "") for d in blobs} - {""})
        ]
        bars = {one.digest: self.progress.start(one.digest.partition(":")[2][:12], one.size) for one in blobs.values()}

        def act(one: Descriptor) -> None:
            upload.blob(self.client, self.images.blobs, one, bars[one.digest], self.beside.get(one.digest, ""))

        each(act, blobs.values(), self.client.stop)
        for one, data in documents:
            self.put(one, data, self.reference.tag if one is target else one.digest)

    def gather(self, one: Descriptor) -> list[tuple[Descriptor, bytes]]:
        """The document and all below it, the inner first."""
        data = self.images.blobs.read(one.digest, verify=True)
        found: list[tuple[Descriptor, bytes]] = []
        if one.mediaType in media.INDEXES:
            for child in media.index_of(media.document(data, one.digest), one.digest):
                if not self.images.blobs.has(child.digest, child.size):
                    what = "an attestation" if is_attestation(child) else str(platforms.of(child.platform))
                    raise MinirunError(
                        self.client.aim, reason=f"of all that it has {what or child.digest} is not here",
                        hint="without --all-platforms only this machine's goes; pull --all-platforms brings the others",
                    )  # fmt: skip
                found += self.gather(child)
        return [*found, (one, data)]

    def put(self, one: Descriptor, data: bytes, word: str) -> None:
        path = f"{self.reference.repository}/manifests/{word}"
        headers = {"Content-Type": one.mediaType, "Content-Length": str(len(data))}
        response = self.client.ask("PUT", path, headers=headers, body=lambda: data, good=(201, 200, 202))
        self.client.words(response)
        said = response.headers.get("Docker-Content-Digest", "")
        if said and said != one.digest and is_digest(said):
            asked = Asked(method="PUT", url=response.url or path, aim=self.client.aim)
            raise refusals.lie(self.client.aim, f"it has {said[:100]}, not {one.digest}", asked)


def beside(images: Images, reference: Reference) -> dict[str, str]:
    """blob -> another repository of the same registry that has it, if what we know of it is still so."""
    found: dict[str, str] = {}
    for image in images.all():
        for name in image.names:
            other = parse(name)
            if other.registry == reference.registry and other.repository != reference.repository:
                for one in image.layers:
                    found.setdefault(one.digest, other.repository)
    return found
