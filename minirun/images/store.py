"""The images of a storage: names for descriptors (images.json), and what is behind them in the content store.

    images.json   {"images": {"REGISTRY/library/busybox:latest": DESCRIPTOR, "sha256:<hex>": DESCRIPTOR …}}

A name is a whole reference, or a digest for an image that has none (docker's <none>: loaded or imported without, or
its name went to another).  The target is a manifest, or an index of which perhaps one platform's image is here.
images.json is changed under images.lock and by rename, so that a reader needs no lock and a crash leaves one or
the other.  Blobs that no target reaches belong to whoever holds STORAGE/lock shared; nobody does once it is held
exclusively, and ``gc`` removes them.

What others wrote is checked where it comes in (``images.admit``); here documents of our own store are read.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.images import media, platform as platforms
from minirun.images.blobs import Blobs
from minirun.images.locks import PATIENCE, Lock
from minirun.images.media import Descriptor
from minirun.images.names_file import replace
from minirun.images.present import gather
from minirun.images.reference import is_digest, is_id, parse
from minirun.record import Record
from minirun.spec.decode import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

INDEX_DEPTH = 3  # an index within an index within an index


class Image(Record):
    """One platform's image.  ``name`` is what it was found by ("" by its id), ``names`` all that lead to its target."""

    name: str
    names: list[str]
    target: Descriptor
    manifest: dict[str, Any]
    manifest_descriptor: Descriptor
    config: dict[str, Any]
    id: str  # the configuration's digest
    layers: list[Descriptor]
    diff_ids: list[str]
    size: int  # of manifest, configuration and layers, as they are in the store

    @property
    def manifest_digest(self) -> str:
        return self.manifest_descriptor.digest


class Images:
    """Those of ``storage``.  Whoever writes, or needs what he found to stay, does it ``with images.shared()``."""

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.blobs = Blobs(storage)

    def shared(self) -> Lock:
        return Lock(f"{self.storage}/lock", exclusive=False)

    def exclusive(self, patience: float = PATIENCE) -> Lock:
        return Lock(f"{self.storage}/lock", exclusive=True, patience=patience)

    # names

    def names(self) -> dict[str, Descriptor]:
        """images.json: every name and its target."""
        path = f"{self.storage}/images.json"
        try:
            fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise MinirunError(f"cannot read {path}", reason=error.strerror or "") from error
        try:
            data = posix.read(fd, posix.fstat(fd).st_size)
        finally:
            posix.close(fd)
        try:
            found = decode(data, path)["images"]
            return {name: media.descriptor(value, path) for name, value in found.items()}
        except (MinirunError, LookupError, TypeError, AttributeError) as error:
            hint = "move it away: images have to be loaded again"
            raise MinirunError(f"{path} is damaged", reason=getattr(error, "reason", ""), hint=hint) from error

    def change(self, edit: Callable[[dict[str, Descriptor]], None]) -> None:
        """Let ``edit`` change the names; nobody sees half of it."""
        with Lock(f"{self.storage}/images.lock", exclusive=True):
            names = self.names()
            edit(names)
            text = encode({"images": {name: names[name].to_json() for name in sorted(names)}}, "  ") + "\n"
            replace(self.blobs, text.encode())

    def tag(self, name: str, target: Descriptor) -> None:
        """Give ``target`` a name, a whole reference or "" for none; one that loses its last name goes on without."""

        def edit(names: dict[str, Descriptor]) -> None:
            before = names.get(name)
            names[name or target.digest] = target
            if name:
                names.pop(target.digest, None)
            lost = before and all(one.digest != before.digest for one in names.values())
            if before and lost and not self.same_image(before, target):
                names[before.digest] = before

        self.change(edit)

    def same_image(self, one: Descriptor, other: Descriptor) -> bool:
        """Do two manifests differ in how the layers are compressed only, so that the id is the same?"""
        if one.mediaType not in media.MANIFESTS or other.mediaType not in media.MANIFESTS:
            return False
        if not self.blobs.has(one.digest) or not self.blobs.has(other.digest):
            return False
        return bool(self.document(one)["config"]["digest"] == self.document(other)["config"]["digest"])

    def untag(self, name: str, keep: bool = False) -> Descriptor:
        """Take a name away; ``keep``: its image stays, without one if that was the last."""
        found: list[Descriptor] = []

        def edit(names: dict[str, Descriptor]) -> None:
            if name not in names:
                raise absent(name)
            target = names.pop(name)
            found.append(target)
            if keep and all(one.digest != target.digest for one in names.values()):
                names[target.digest] = target

        self.change(edit)
        return found[0]

    # images

    def find(self, word: str, platform: str = "") -> Image:
        """By name, name@digest, digest, id or the beginning of one; an error if there is none."""
        names = self.names()
        found = self.target_of(word, names)
        if found:
            return self.open(found[1], found[0], names, platform)
        image = self.by_id(word, names, platform)
        if image is None:
            raise absent(word)
        return image

    def lookup(self, word: str, platform: str = "") -> Image | None:
        """``find``, but None if it is not here, or not for this platform: what a pull may change."""
        names = self.names()
        found = self.target_of(word, names)
        if found is None:
            return self.by_id(word, names, platform)
        manifest = self.choose(found[1], platforms.parse(platform))
        return self.open(found[1], found[0], names, platform) if manifest else None

    def all(self, damaged: list[str] | None = None) -> list[Image]:
        """Every image, one for each target and platform that is here; ``name`` is the first of its names.

        What cannot be read any more is left out, and named in ``damaged``.
        """
        names = self.names()
        found = []
        for digest in sorted({target.digest for target in names.values()}):
            target = next(one for one in names.values() if one.digest == digest)
            called = sorted(name for name, one in names.items() if one.digest == digest and not is_digest(name))
            try:
                here = self.complete(target)
                found += [self.read_image(target, one, called[0] if called else "", called) for one in here]
            except MinirunError:
                here = []
            if not here and damaged is not None:
                damaged += called or [digest]
        return found

    def target_of(self, word: str, names: dict[str, Descriptor]) -> tuple[str, Descriptor] | None:
        """The name and the target that ``word`` means, if it is a name, or the digest of a target."""
        if is_digest(word):
            return next((("", one) for one in names.values() if one.digest == word), None)
        try:
            reference = parse(word)
        except MinirunError:
            if is_id(word):
                return None
            raise
        if reference.name in names:
            return reference.name, names[reference.name]
        if not reference.digest:
            return None
        for name, target in names.items():
            if not is_digest(name) and parse(name).where == reference.where:
                if target.digest == reference.digest:
                    return name, target
                child = next((one for one in self.complete(target) if one.digest == reference.digest), None)
                if child:
                    return name, child
        return None

    def by_id(self, word: str, names: dict[str, Descriptor], platform: str) -> Image | None:
        """The one image whose id, or the digest of its manifest or index, begins with ``word``."""
        if not is_id(word):
            return None
        start = "sha256:" + word.removeprefix("sha256:")
        found = {}
        for image in self.all():
            if any(one.startswith(start) for one in (image.id, image.manifest_digest)):
                found[image.id] = Image(**{**image.__dict__, "name": ""})
            elif image.target.digest.startswith(start):
                found.setdefault(image.target.digest, self.open(image.target, "", names, platform))
        if len({image.id for image in found.values()}) > 1:
            raise MinirunError(f"{word} is the beginning of more than one image's id", hint="minirun image ls")
        return next(iter(found.values()), None)

    def open(self, target: Descriptor, name: str, names: dict[str, Descriptor], platform: str) -> Image:
        """The image for this platform behind a target."""
        wanted = platforms.parse(platform)
        manifest = self.choose(target, wanted)
        if manifest is None and not self.complete(target):
            raise MinirunError(f"the image {name or target.digest} is not whole any more", hint="pull or load it again")
        if manifest is None:
            raise MinirunError(
                f"the image {name or target.digest} is not here for {wanted}",
                reason=f"there is {platforms.words(self.complete(target))}",
                hint="minirun image pull --platform fetches another",
            )
        called = sorted(one for one, other in names.items() if other.digest == target.digest and not is_digest(one))
        return self.read_image(target, manifest, name, called)

    def choose(self, target: Descriptor, wanted: platforms.Platform) -> Descriptor | None:
        """The manifest for ``wanted`` of those that are here; a target that is no index serves whoever asks for it."""
        here = self.complete(target)
        if target.mediaType not in media.INDEXES:
            return here[0] if here else None
        return next(iter(platforms.choose(here, wanted)), None)

    def complete(self, target: Descriptor) -> list[Descriptor]:
        """The images' manifests below a target that are here with all they need; each once."""
        found: list[Descriptor] = []
        gather(self, target, INDEX_DEPTH, set(), found)
        return found

    def read_image(self, target: Descriptor, manifest: Descriptor, name: str, names: list[str]) -> Image:
        value = self.document(manifest)
        checked = media.manifest_of(value, f"the manifest {manifest.digest}")
        config = self.document(checked.config)
        return Image(
            name=name,
            names=names,
            target=target,
            manifest=value,
            manifest_descriptor=manifest,
            config=config,
            id=checked.config.digest,
            layers=checked.layers,
            diff_ids=config.get("rootfs", {}).get("diff_ids", []),
            size=manifest.size + checked.config.size + sum(layer.size for layer in checked.layers),
        )

    def document(self, one: Descriptor) -> dict[str, Any]:
        return media.document(self.blobs.read(one.digest), one.digest)

    # garbage

    def gc(self, keep: Iterable[str] = (), partials: bool = False) -> tuple[int, int]:
        """Remove every blob that no target reaches; only ``with exclusive()``.  How many, and their bytes.

        ``keep``: more digests to begin from.  ``partials``: interrupted downloads, too.
        """
        from minirun.images.garbage import collect

        return collect(self, keep, partials)


def absent(word: str) -> MinirunError:
    return MinirunError(f"there is no image {word}", hint=f"minirun image pull {word}, or minirun image ls")
