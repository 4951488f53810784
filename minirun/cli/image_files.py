"""image load, save, export and import."""

from __future__ import annotations

import posix
from stat import S_ISREG

from minirun.cli.parse import usage
from minirun.cli.stores import absolute, storage_of, write_out
from minirun.errors import MinirunError, printable
from minirun.images.reference import Reference, familiar, is_digest, is_id, parse
from minirun.images.store import Image, Images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cli.main import Call

FORMATS = ("docker-archive", "oci-archive", "oci")


def load(call: Call) -> int:
    from minirun.images import load as loading

    images = Images(storage_of(call))
    given = call.values.text("input")
    name = parse(call.values.text("name")).name if call.values.text("name") else ""
    path = absolute(given, call.cwd) if given and given != "-" else ""
    with images.shared():
        if path and loading.is_directory(path):
            found = loading.load_directory(images, path, name)
        else:
            fd = input_of(path, call)
            try:
                found = loading.load(images, fd, given if path else "standard input", name)
            finally:
                if path:
                    posix.close(fd)
        lines = [line for target, names in found for line in loaded(images, target.digest, names)]
    if not call.values.on("quiet"):
        write_out("".join(f"{line}\n" for line in lines))
    return 0


def loaded(images: Images, digest: str, names: list[str]) -> list[str]:
    """docker's words."""
    if names:
        return [f"Loaded image: {familiar(name)}" for name in names]
    image = images.lookup(digest)
    return [f"Loaded image ID: {image.id if image else digest}"]


def input_of(path: str, call: Call) -> int:
    if path:
        try:
            return posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError as error:
            raise MinirunError(f"cannot open {path}", reason=error.strerror or "") from error
    if posix.isatty(0):
        raise usage("standard input is a terminal", "-i FILE, or < FILE")
    return 0


def save(call: Call) -> int:
    form, output = call.values.text("format"), call.values.text("output")
    if form not in FORMATS:
        raise usage(f"--format must be {', '.join(FORMATS)}, not {form!r}")
    images = Images(storage_of(call))
    from minirun.images import save as saving

    with images.shared():
        wanted = [wanted_of(images, word, call.values.text("platform")) for word in call.words]
        if form == "oci":
            if not output:
                raise usage("--format oci wants --output DIR")
            saving.directory(images, wanted, absolute(output, call.cwd))
            return 0
        write = saving.docker_archive if form == "docker-archive" else saving.oci_archive
        if output and output != "-":
            to_file(absolute(output, call.cwd), lambda out: write(images, wanted, out))
            return 0
        if posix.isatty(1):
            raise usage("standard output is a terminal", "-o FILE, or > FILE")
        write(images, wanted, lambda data: saving.write_all(1, data))
    return 0


def wanted_of(images: Images, word: str, platform: str) -> tuple[Image, list[str]]:
    """An image, and the names to save with it: the one that was said; none for an id; all for a bare repository's."""
    image = images.find(word, platform)
    name = image.name if not is_digest(word) and not (is_id(word) and not image.name) else ""
    return image, [name] if name else []


def to_file(path: str, write: Callable[[Callable[[bytes], object]], None]) -> None:
    """Whole or not at all, unless it is a device or a pipe."""
    from minirun.images.save import write_all

    try:
        plain = S_ISREG(posix.stat(path).st_mode)
    except FileNotFoundError:
        plain = True
    making = f"{path}.{posix.getpid()}.new" if plain else path
    try:
        fd = posix.open(
            making, posix.O_WRONLY | posix.O_CREAT | posix.O_CLOEXEC | (posix.O_EXCL if plain else 0), 0o644
        )
    except OSError as error:
        raise MinirunError(f"cannot write {path}", reason=error.strerror or "") from error
    try:
        write(lambda data: write_all(fd, data))
        if plain:
            posix.rename(making, path)
    except BaseException:
        if plain:
            posix.unlink(making)
        raise
    finally:
        posix.close(fd)


def export(call: Call) -> int:
    from minirun.images import save as saving

    images = Images(storage_of(call))
    with images.shared():
        wanted = wanted_of(images, call.words[0], call.values.text("platform"))
        saving.directory(images, [wanted], absolute(call.words[1], call.cwd))
    return 0


def import_(call: Call) -> int:
    from minirun.images import importing
    from minirun.images.compose import image_from
    from minirun.images.instructions import apply

    name = reference_for(call.words[1]).name if len(call.words) > 1 else ""
    changes = apply({}, call.values.listed("change"))
    path = absolute(call.words[0], call.cwd) if call.words[0] != "-" else ""
    images = Images(storage_of(call))
    with images.shared():
        fd = input_of(path, call)
        try:
            layer = importing.take_layer(images, fd, path or "standard input")
        finally:
            if path:
                posix.close(fd)
        image = image_from(
            images,
            layers=[layer],
            config=changes,
            name=name,
            comment=call.values.text("message") or f"imported from {call.words[0]}",
            created=call.values.text("created") or None,
            platform=call.values.text("platform"),
        )
    write_out(f"{image.id}\n")
    return 0


def reference_for(word: str) -> Reference:
    """A name that an image may be given: a digest is not for us to promise."""
    found = parse(word)
    if found.digest:
        raise usage(f"{printable(word)[:200]} has a digest", "an image is named by a tag")
    return found
