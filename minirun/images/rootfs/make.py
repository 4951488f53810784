"""From a recipe's name to an image in the store: ``build``.

In order: read the recipe, let its kind fill a tree, put in what the recipe says itself, write the layer, compose the
image.  Nothing outside of the storage is written; whatever fails leaves no image and no file.
"""

from __future__ import annotations

import hashlib
import os
import time
from tempfile import TemporaryDirectory

from minirun.errors import MinirunError
from minirun.images import platform
from minirun.images.blobs import make_directory
from minirun.images.compose import image_from
from minirun.images.reference import parse
from minirun.images.rootfs import layer
from minirun.images.rootfs.recipe import Recipe, recipe_from
from minirun.images.rootfs.tree import DIRECTORY, FILE, Entry, Tree
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.images.store import Image, Images

RECIPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recipes")
LARGEST = 1 << 20


class Wanted(Record):
    """What the command line adds to a recipe.  ``more``: the kind's own options, by name."""

    name: str = ""
    locked: bool = False
    more: dict[str, list[str]] = {}


class Built(Record):
    """``inputs``: what it was made from, for people; ``pinned``: is each of them the one that the recipe knows?"""

    image: Image
    files: int
    inputs: list[str]
    pinned: bool


class Filled(Record):
    """What a kind says of its tree."""

    config: dict[str, Any] = {}
    labels: dict[str, str] = {}
    inputs: list[str] = []
    pinned: bool = False
    words: dict[str, str] = {}  # for {suite} in names and texts


def known() -> list[str]:
    """The recipes that come with minirun."""
    return sorted(name.removesuffix(".toml") for name in os.listdir(RECIPES) if name.endswith(".toml"))


def read(word: str, cwd: str = "") -> Recipe:
    """A known recipe's name, or a file (a path has a / in it, or ends in .toml).  Raises MinirunError."""
    import tomllib

    if "/" in word or word.endswith(".toml"):
        path = os.path.join(cwd, word)
    else:
        path = f"{RECIPES}/{word}.toml"
        if not os.path.exists(path):
            hint = f"there are {' '.join(known())}; a file's name has a / in it or ends in .toml"
            raise MinirunError(f"there is no recipe {word!r}", hint=hint)
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST)
        document = tomllib.loads(data.decode())
    except OSError as error:
        raise MinirunError("cannot read the recipe", reason=f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MinirunError("cannot read the recipe", reason=f"{path}: {error}") from error
    return recipe_from(document, path, hashlib.sha256(data).hexdigest())


def build(images: Images, recipe: Recipe, wanted: Wanted, say: Callable[[str], None]) -> Built:
    """The image, named in the store.  ``say`` gets a line for what takes long."""
    make_directory(f"{images.storage}/tmp")
    with images.shared(), TemporaryDirectory(prefix="build-", dir=f"{images.storage}/tmp") as scratch:
        tree = Tree()
        for path, mode in recipe.directories.items():
            tree.directory(path, mode)
        for path, target in recipe.links.items():
            tree.link(path, target)
        filled = fill(tree, recipe, wanted, scratch, say)
        finish(tree, recipe, filled.words)
        if wanted.locked and not filled.pinned:
            raise MinirunError(
                "an input is not pinned",
                reason="; ".join(filled.inputs),
                hint="without --locked it is used all the same",
            )
        name = parse(wanted.name or replaced(recipe.name, filled.words)).name
        date = date_of(recipe)
        blob, diff_id = layer.write(tree, images.blobs, date, recipe.compression)
        image = image_from(
            images, layers=[(blob, diff_id)], config=configuration(recipe, filled), name=name,
            history=f"minirun image build-rootfs {os.path.basename(recipe.file).removesuffix('.toml')}",
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(date)),
        )  # fmt: skip
    return Built(image=image, files=len(tree.entries), inputs=filled.inputs, pinned=filled.pinned)


def date_of(recipe: Recipe) -> int:
    """The recipe's, or SOURCE_DATE_EPOCH (reproducible-builds.org)."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not given:
        return recipe.date
    if not (given.isascii() and given.isdigit()) or len(given) > 11:
        raise MinirunError(f"SOURCE_DATE_EPOCH must be seconds since 1970, not {given[:40]!r}", exit_code=2)
    return int(given)


def fill(tree: Tree, recipe: Recipe, wanted: Wanted, scratch: str, say: Callable[[str], None]) -> Filled:
    if recipe.kind == "busybox":
        from minirun.images.rootfs import busybox

        used = busybox.fill(tree, recipe.own, platform.parse("").architecture)
        text = f"{used['package']} {used['version'] or 'of unknown version'}"
        inputs = [f"{text}, as pinned for {used['pinned']}" if used["pinned"] else f"{text}, sha256 {used['sha256']}"]
        labels = {"dev.minirun.input.package": text, "dev.minirun.input.sha256": used["sha256"]}
        return Filled(labels=labels, inputs=inputs, pinned=bool(used["pinned"]))
    if recipe.kind == "host":
        from minirun.images.rootfs import host

        config, labels = host.fill(tree, recipe.own, wanted.more, say)
        inputs = [f"this host's files, sha256 {labels['dev.minirun.input.sha256']}"]
        return Filled(config=config, labels=labels, inputs=inputs)
    if recipe.kind == "debian":
        from minirun.images.rootfs import debian

        return Filled(**debian.fill(tree, recipe, wanted.more, wanted.locked, scratch, say))
    return Filled(pinned=True, inputs=["what the recipe says itself"])


def finish(tree: Tree, recipe: Recipe, words: dict[str, str]) -> None:
    """What the recipe says itself is put over what its kind filled in."""
    for path, text in recipe.files.items():
        tree.text(path, replaced(text, words))
    for path, name in recipe.copy.items():
        source = os.path.join(os.path.dirname(recipe.file), name)
        found = os.stat(source)
        mode = 0o755 if found.st_mode & 0o111 else 0o644
        tree.put(path, Entry(kind=FILE, mode=mode, source=source, size=found.st_size))
    for path, mode in (*recipe.directories.items(), *recipe.modes.items()):
        at(tree, path).mode = mode
    for path, (uid, gid) in recipe.owners.items():
        entry = at(tree, path)
        entry.uid, entry.gid = uid, gid


def at(tree: Tree, path: str) -> Entry:
    entry = tree.entries.get(tree.place(path))
    if entry is None:
        tree.put(path, entry := Entry(kind=DIRECTORY, mode=0o755))
    return entry


def configuration(recipe: Recipe, filled: Filled) -> dict[str, Any]:
    """The recipe's words, and the kind's where the recipe has none; Env of both."""
    config = {**filled.config, **recipe.config}
    env = [*recipe.config.get("Env", []), *filled.config.get("Env", [])]
    labels = {
        "dev.minirun.recipe": os.path.basename(recipe.file).removesuffix(".toml"),
        "dev.minirun.recipe.sha256": recipe.digest, **filled.labels, **recipe.config.get("Labels", {}), **recipe.labels,
    }  # fmt: skip
    return {**config, **({"Env": env} if env else {}), "Labels": dict(sorted(labels.items()))}


def replaced(text: str, words: dict[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return text
