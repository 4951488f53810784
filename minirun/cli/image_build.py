"""``minirun image build-rootfs``: a root filesystem from a recipe, as an image."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import storage_of, write_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call

# Options that only one kind of recipe has; a comma separates words where the option says so.
OWN = {
    "host": ("program", "with", "add"),
    "debian": ("suite", "mirror", "include", "lock", "write_lock"),
}
LISTS = ("with", "include")


def build_rootfs(call: Call) -> int:
    from minirun.images.rootfs import make
    from minirun.images.store import Images

    if not call.words:
        return recipes()
    recipe = make.read(call.words[0], call.cwd)
    more = {}
    for kind, names in OWN.items():
        for name in names:
            words = call.values.listed(name) or [word for word in [call.values.text(name)] if word]
            if words and kind != recipe.kind:
                raise usage(f"--{name.replace('_', '-')} is for recipes of the kind {kind}")
            if words:
                more[name] = [part for word in words for part in word.split(",")] if name in LISTS else words
    quiet = call.values.on("quiet")
    wanted = make.Wanted(name=call.values.text("name"), locked=call.values.on("locked"), more=more)
    built = make.build(Images(storage_of(call)), recipe, wanted, (lambda text: None) if quiet else progress)
    if quiet:
        write_out(f"{built.image.id}\n")
        return 0
    if recipe.kind == "busybox" and not built.pinned:
        call.log.warn(f"the recipe does not know this busybox: {'; '.join(built.inputs)}")
    write_out(face(built))
    return 0


def progress(text: str) -> None:
    import sys

    print(f"minirun: {text}", file=sys.stderr, flush=True)


def face(built: object) -> str:
    from minirun.images.reference import parse
    from minirun.images.rootfs.make import Built

    assert isinstance(built, Built)
    image = built.image
    rows = [
        ("image", image.id),
        ("layer", f"{built.files} files, {image.layers[0].size / 1e6:.2f} MB"),
        *(("from", text) for text in built.inputs),
    ]
    return "\n".join([parse(image.name).familiar, *(f"  {name:<7} {text}" for name, text in rows)]) + "\n"


def recipes() -> int:
    """Without a name: which there are."""
    from minirun.images.rootfs import make

    for name in make.known():
        write_out(f"{name:<10} {make.read(name).description}\n")
    return 0
