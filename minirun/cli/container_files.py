"""``container diff commit cp export``."""

from __future__ import annotations

import posix
from stat import S_ISREG

from minirun.cli.parse import usage
from minirun.cli.places import place_of, shelf_of
from minirun.cli.stores import absolute, write_out
from minirun.container.place import snapshot
from minirun.container.trees import Tree, targets
from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.cli.main import Call
    from minirun.container.life import Place
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf
    from minirun.images.copy import Side

KINDS = {"A": 1, "C": 0, "D": 2}  # docker's numbers


def diff(call: Call) -> int:
    from minirun.images.changes import changes

    form = call.values.text("format")
    if form not in ("table", "json"):
        raise usage(f"--format {form!r}", "table or json")
    shelf = shelf_of(call)
    container = shelf.find(call.words[0])
    found = changes(snapshot(shelf, container), targets(shelf, container))
    if form == "json":
        from minirun.spec.decode import encode

        write_out(encode([{"Path": path, "Kind": KINDS[kind]} for kind, path in found]) + "\n")
    else:
        write_out("".join(f"{kind} {shown(path)}\n" for kind, path in found))
    return 0


def shown(path: str) -> str:
    """A hostile name must not reach a terminal raw."""
    from minirun.errors import printable

    return printable(path)


def commit(call: Call) -> int:
    from minirun.images import reference
    from minirun.images.compose import image_from
    from minirun.images.instructions import apply
    from minirun.images.pack import pack
    from minirun.images.store import Images

    shelf, place = shelf_of(call), place_of(call)
    container = shelf.find(call.words[0])
    name = reference.parse(call.words[1]).name if len(call.words) > 1 else ""
    config = configuration(shelf, container)
    config.update(apply(config, call.values.listed("change")))
    images = Images(shelf.storage)
    with images.shared():
        base = images.find(container.manifest)
        layer = quietly(shelf, place, container, call, lambda: pack(
            images, snapshot(shelf, container), targets(shelf, container)))  # fmt: skip
        made = image_from(
            images, base=base, layers=[layer], config=config, name=name, history=" ".join(container.command),
            author=call.values.text("author"), comment=call.values.text("message"),
        )  # fmt: skip
    write_out(f"{made.id}\n")
    return 0


def quietly(
    shelf: Shelf, place: Place, container: Container, call: Call, act: Callable[[], tuple[Any, str]]
) -> tuple[Any, str]:
    """With the container frozen, if it runs and nobody froze it before."""
    from minirun.container.freezer import Frozen
    from minirun.container.record import PAUSED, RUNNING
    from minirun.container.truth import truth

    wanted = call.values.text("pause")
    if wanted not in ("", "true", "false"):
        raise usage(f"--pause {wanted!r}", "true or false")
    running = truth(shelf, place, container).status in (RUNNING, PAUSED)  # by another commit, perhaps
    if wanted == "false" or not running:
        return act()
    with Frozen(shelf, place, container):
        return act()


def configuration(shelf: Shelf, container: Container) -> dict[str, Any]:
    """The image's /config with what the container was given, as docker commits it."""
    asked, image = container.asked, container.imageConfig
    value = dict(image)
    given = {"User": asked.get("user"), "WorkingDir": asked.get("workdir"), "Cmd": asked.get("args")}
    value.update({member: word for member, word in given.items() if word})
    if asked.get("entrypoint") is not None:
        value["Entrypoint"] = asked["entrypoint"]
        value["Cmd"] = asked.get("args") or None
    pairs = dict(one.partition("=")[::2] for one in [*(image.get("Env") or []), *asked.get("env", [])] if "=" in one)
    if pairs:
        value["Env"] = [f"{name}={word}" for name, word in pairs.items()]
    if container.labels:
        value["Labels"] = {**(image.get("Labels") or {}), **container.labels}
    return value


def export(call: Call) -> int:
    from minirun.images.pack import Packer
    from minirun.images.tree import OPEN_DIRECTORY, STRICT
    from minirun.linux.openat2 import openat2

    path = call.values.text("output")
    if not path and posix.isatty(1):
        raise usage("a tar is nothing for a terminal", "--output FILE, or a pipe")
    shelf, place = shelf_of(call), place_of(call)
    container = shelf.find(call.words[0])
    with Tree(shelf, place, container) as tree, Output(path and absolute(path, call.cwd)) as fd:
        root = openat2(tree.root, b".", OPEN_DIRECTORY, STRICT)
        try:
            packer = Packer(written(fd), tree.side().inside)
            packer.tree(root, crossing=False)
            packer.end()
        except OSError as error:
            raise MinirunError(
                f"cannot read the files of container {container.name}", reason=error.strerror or "", exit_code=1
            ) from error
        finally:
            posix.close(root)
    return 0


def written(fd: int) -> Callable[[bytes], None]:
    """Writes to ``fd``; what goes wrong there is said to have gone wrong there."""
    from minirun.images.attributes import write

    def emit(data: bytes) -> None:
        try:
            write(fd, data)
        except OSError as error:
            raise MinirunError("cannot write the tar", reason=error.strerror or "", exit_code=1) from error

    return emit


class Output:
    """Standard output, or a file that is there whole or not at all; a device or a pipe is written to as it is."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.making = ""
        self.fd = 1

    def __enter__(self) -> int:
        if self.path:
            flags = posix.O_WRONLY | posix.O_CLOEXEC
            try:
                if not special(self.path):
                    self.making = f"{self.path}.{posix.getpid()}.new"
                    flags |= posix.O_CREAT | posix.O_EXCL
                self.fd = posix.open(self.making or self.path, flags, 0o600)
            except OSError as error:
                raise MinirunError(f"cannot write {self.path}", reason=error.strerror or "", exit_code=1) from error
        return self.fd

    def __exit__(self, kind: object, *why: object) -> None:
        if not self.path:
            return
        posix.close(self.fd)
        if not self.making:
            return
        try:
            if kind is None:
                posix.rename(self.making, self.path)
                self.making = ""
        except OSError as error:
            raise MinirunError(f"cannot write {self.path}", reason=error.strerror or "", exit_code=1) from error
        finally:
            if self.making:
                posix.unlink(self.making)


def special(path: str) -> bool:
    """Is there something that is no file, so that nothing may take its place: /dev/null, a pipe?"""
    try:
        return not S_ISREG(posix.stat(path).st_mode)
    except FileNotFoundError:
        return False


def cp(call: Call) -> int:
    source, target = (split(word) for word in call.words)
    if bool(source[0]) == bool(target[0]):
        raise usage("one of the two must be CONTAINER:PATH", "minirun container cp --help says more")
    shelf, place = shelf_of(call), place_of(call)
    container = shelf.find(source[0] or target[0])
    with Tree(shelf, place, container, write=bool(target[0])) as tree:
        skipped = between(call, tree, source, target)
    for name in skipped:
        call.log.warn(f"{name}: a device, which may not be made here")
    return 0


def split(word: str) -> tuple[str, str]:
    """(container or "", path): a path of this machine with a colon is written ./a:b."""
    name, colon, path = word.partition(":")
    return ("", word) if not colon or not name or name.startswith((".", "/")) else (name, path or "/")


def between(call: Call, tree: Tree, source: tuple[str, str], target: tuple[str, str]) -> list[str]:
    from minirun.images import copy

    inside = tree.side()
    archive, follow = call.values.on("archive"), call.values.on("follow_link")
    if target[1] == "-" and not target[0]:
        copy.find_source(inside, source[1].encode("utf-8", "surrogateescape"), follow).close()
        copy.pack_from(inside, source[1].encode("utf-8", "surrogateescape"), written(1), None, follow)
        return []
    if source[1] == "-" and not source[0]:
        return from_stdin(inside, target[1])
    here = posix.open("/", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        host = copy.Side(here, "this machine", confined=False, owner=(posix.geteuid(), posix.getegid()))
        if source[0]:
            return copy.copy(inside, source[1], host, rooted(target[1], call.cwd), archive=archive, follow=follow)
        return copy.copy(host, rooted(source[1], call.cwd), inside, target[1], archive=archive, follow=follow)
    finally:
        posix.close(here)


def rooted(path: str, cwd: str) -> str:
    """From the root; what a slash or a dot at the end says stays."""
    return path if path.startswith("/") else f"{cwd.rstrip('/')}/{path}"


def from_stdin(inside: Side, path: str) -> list[str]:
    from minirun.images import copy
    from minirun.images.tree import OPEN_DIRECTORY, STRICT
    from minirun.linux.openat2 import openat2

    spot = copy.find_source(inside, path.encode("utf-8", "surrogateescape") + b"/", True)
    try:
        base = openat2(spot.at, spot.name, OPEN_DIRECTORY, STRICT)
    finally:
        spot.close()
    try:
        return copy.land(inside, base, 0, "standard input", lambda uid, gid: (inside.outside(uid), inside.outside(gid)))
    finally:
        posix.close(base)
