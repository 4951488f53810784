"""``container inspect`` and ``port``: what is known of a container, in docker's members."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import write_out
from minirun.errors import MinirunError, printable
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from minirun.cli.main import Call


def inspect(call: Call) -> int:
    from minirun.cli.container_run import place_of, shelf_of
    from minirun.container import life
    from minirun.container.document import document

    shelf, place = shelf_of(call), place_of(call)

    def one(word: str) -> dict[str, Any]:
        container = shelf.find(word)
        found = document(shelf, container, life.truth(shelf, place, container))
        if call.values.on("size"):
            from minirun.images.tree import usage as disk_usage

            found["SizeRw"] = disk_usage(f"{shelf.directory(container.id)}/upper")
        return found

    return show(call, [lambda word=word: one(word) for word in call.words])  # type: ignore[misc]


def show(call: Call, looks: Sequence[Callable[[], dict[str, Any]]]) -> int:
    """All that there are, as docker prints them; the exit code says whether all were."""
    form = call.values.text("format")
    if form != "json" and not form.strip("{} ").startswith("."):
        raise usage(f"--format must be json or a path as .Name, not {form!r}")
    found, code = [], 0
    for look in looks:
        try:
            found.append(look())
        except MinirunError as error:
            call.log.error(error)
            code = 1
    if form == "json":
        write_out(encode(found, "  ") + "\n")
    else:
        write_out("".join(f"{member(one, form.strip('{} '))}\n" for one in found))
    return code


def member(value: Any, path: str) -> str:
    """.State.Status of the document; Go's {{ }} around it may stay.  What is no word is JSON."""
    for name in filter(None, path.split(".")):
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            near = ", ".join(value) if isinstance(value, dict) else "nothing"
            raise usage(f"there is no {path}", f"at {name!r} there is {near}")
    return printable(value) if isinstance(value, str) else encode(value)


def port(call: Call) -> int:
    """80/tcp -> 0.0.0.0:8080, a line each; with a port, the addresses only."""
    from minirun.cli.container_run import place_of, shelf_of
    from minirun.container import life
    from minirun.container.document import published

    shelf = shelf_of(call)
    container = shelf.find(call.words[0])
    status = life.truth(shelf, place_of(call), container)
    wanted = call.words[1] if len(call.words) > 1 else ""
    if wanted and "/" not in wanted:
        wanted += "/tcp"
    found = published(container, status)
    if wanted and wanted not in found:
        raise MinirunError(f"no public port {wanted!r} of {container.name}", exit_code=1)
    for inner, outer in found.items():
        for where in outer:
            host = f"[{where['HostIp']}]" if ":" in where["HostIp"] else where["HostIp"]
            address = f"{host}:{where['HostPort']}"
            if inner == wanted:
                write_out(f"{address}\n")
            elif not wanted:
                write_out(f"{inner} -> {address}\n")
    return 0
