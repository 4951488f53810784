"""image tag, rm and prune."""

from __future__ import annotations

from minirun.cli import amounts
from minirun.cli.asking import confirm
from minirun.cli.image_files import reference_for
from minirun.cli.image_list import has_label
from minirun.cli.parse import usage
from minirun.cli.stores import storage_of, write_out
from minirun.container.image_use import collect, users
from minirun.errors import MinirunError
from minirun.images.reference import familiar, parse
from minirun.images.store import Image, Images
from minirun.images.tree import usage as disk_usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirun.cli.main import Call
    from minirun.container.record import Container

    Users = dict[str, list[Container]]


PATIENCE = 2.0  # seconds: rm can leave the content to a prune


def tag(call: Call) -> int:
    images = Images(storage_of(call))
    name = reference_for(call.words[1]).name
    with images.shared():
        image = images.find(call.words[0])
        images.tag(name, image.target)
    return 0


def rm(call: Call) -> int:
    """Every word that can be: what could not is said at the end, by the first error."""
    images = Images(storage_of(call))
    failed: MinirunError | None = None
    lock = images.exclusive(patience=PATIENCE)
    alone = lock.acquire()
    try:
        for word in call.words:
            try:
                remove(images, word, call.values.on("force"), keep=not alone)
            except MinirunError as error:
                if failed:
                    call.log.warn(failed.headline())
                failed = error
        if alone and not call.values.on("no_prune"):
            collect(images)
    finally:
        lock.release()
    if not alone:
        call.log.warn("the storage is in use: names are gone, their content goes with the next minirun image prune")
    if failed:
        raise failed
    return 0


def remove(images: Images, word: str, force: bool, keep: bool) -> None:
    """A name, or an image with its names; ``keep``: the content stays, without a name."""
    image = find_any(images, word)
    if image is None:
        return
    names = [image.name] if image.name else image.names
    if not image.name and len({parse(name).where for name in names}) > 1 and not force:
        raise MinirunError(
            f"cannot remove the image {word}", reason="it has names of more than one repository",
            hint=f"{', '.join(map(familiar, names))}: remove these, or --force",
        )  # fmt: skip
    last = len(names) == len(image.names)
    used = by_containers(images, image) if last else []
    if used and not force:
        raise MinirunError(
            f"cannot remove the image {word}", reason=f"container {used[0].name} was made of it",
            hint="minirun container rm, or --force, which takes the name only",
        )  # fmt: skip
    if used and not names:
        raise MinirunError(f"cannot remove the image {word}", reason=f"container {used[0].name} needs it")
    for name in names or [image.target.digest]:
        images.untag(name, keep=bool(used) or keep)
        write_out(f"Untagged: {familiar(name)}\n" if names else "")
    if last and not used:
        write_out(f"Deleted: {image.id}\n")


def find_any(images: Images, word: str) -> Image | None:
    """The image, of whatever platform it is; None for one that is not whole any more, and is without its name now."""
    names = images.names()
    target = images.target_of(word, names)
    if target is None:
        return images.find(word)  # by its id, or an error
    if target[0] and names[target[0]].digest != target[1].digest:
        raise MinirunError(f"cannot remove the image {word}", reason=f"it is a part of {familiar(target[0])}")
    every = [image for image in images.all() if image.target.digest == target[1].digest]
    if every:
        return Image(**{**every[0].__dict__, "name": target[0]})
    images.untag(target[0] or target[1].digest)
    write_out(f"Untagged: {familiar(target[0]) if target[0] else target[1].digest}\n")
    return None


def by_containers(images: Images, image: Image) -> list[Container]:
    """Of any platform's image behind the same target."""
    known = users(images.storage)
    ids = {one.id for one in images.all() if one.target.digest == image.target.digest}
    return [container for image_id in sorted(ids) for container in known.get(image_id, [])]


def prune(call: Call) -> int:
    images = Images(storage_of(call))
    every = call.values.on("all")
    conditions = [condition_of(word) for word in call.values.listed("filter")]
    if not call.values.on("force"):
        confirm("all images that no container was made of" if every else "all images without a name")
    with images.exclusive():
        before = disk_usage(f"{images.storage}/layers")
        lines = untag_unused(images, every, conditions)
        size = collect(images, partials=True).size + before - disk_usage(f"{images.storage}/layers")
    if lines:
        write_out("Deleted Images:\n" + "".join(f"{line}\n" for line in lines) + "\n")
    write_out(f"Total reclaimed space: {amounts.size(size)}\n")
    return 0


def untag_unused(images: Images, every: bool, conditions: Sequence[tuple[str, bool]] = ()) -> list[str]:
    """Images that no container was made of lose their names, with ``every``, or their place, if they had none."""
    known = users(images.storage)
    in_use = {image.target.digest for image in images.all() if image.id in known}
    lines = []
    for image in images.all():
        if image.target.digest in in_use or (image.names and not every) or image.target.digest not in still(images):
            continue
        if any(has_label(image, label) != wanted for label, wanted in conditions):
            continue
        for name in image.names or [image.target.digest]:
            images.untag(name)
            lines += [f"untagged: {familiar(name)}"] if image.names else []
        lines.append(f"deleted: {image.id}")
    return lines


def still(images: Images) -> set[str]:
    """Targets that have a name, or an entry without: an index has images of several platforms, and goes once."""
    return {target.digest for target in images.names().values()}


def condition_of(word: str) -> tuple[str, bool]:
    """A label, and whether an image that goes has it."""
    for start, wanted in (("label=", True), ("label!=", False)):
        if word.startswith(start) and len(word) > len(start):
            return word.removeprefix(start), wanted
    raise usage(f"unknown filter {word!r}", "label=NAME[=VALUE] or label!=NAME[=VALUE]")
