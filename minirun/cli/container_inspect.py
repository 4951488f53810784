"""``container inspect`` and ``port``: what is known of a container, in docker's members."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import write_out
from minirun.errors import MinirunError
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from minirun.cli.main import Call
    from minirun.container.life import Place
    from minirun.container.record import Container, Status


def inspect(call: Call) -> int:
    from minirun.cli.container_run import place_of, shelf_of
    from minirun.container import life
    from minirun.container.document import document

    shelf, place = shelf_of(call), place_of(call)

    def one(word: str) -> dict[str, Any]:
        container = shelf.find(word)
        status = life.truth(shelf, place, container)
        connected(status, container, place)
        found = document(shelf, container, status)
        if call.values.on("size"):
            from minirun.images.tree import usage as disk_usage

            found["SizeRw"] = disk_usage(f"{shelf.directory(container.id)}/upper")
        return found

    return show(call, [lambda word=word: one(word) for word in call.words])  # type: ignore[misc]


def connected(status: Status, container: Container, place: Place) -> None:
    """What `network connect` and `disconnect` have changed since it was started."""
    known = status.attached.get("interfaces") or []
    named = {one["name"] for one in container.networks}
    if not status.monitor or named == {one["network"] for one in known}:
        return
    from minirun.network import connect, wanted

    there = connect.interfaces(wanted.Place(storage=place.storage, root=place.root), container.id)
    kept = [one for one in known if one["network"] in named]
    new = [one for one in there if all(one.network != each["network"] for each in kept)]
    status.attached["interfaces"] = kept + [dict(zip(one.FIELDS, one.astuple(), strict=True)) for one in new]


def show(call: Call, looks: Sequence[Callable[[], dict[str, Any]]]) -> int:
    """All that there are, as docker prints them; the exit code says whether all were."""
    form = call.values.text("format")
    if form != "json" and not form.startswith(".") and "{{" not in form:
        raise usage(f"--format must be json or a template, not {form!r}", "as '{{.Id}}', or .Id for short")
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
        from minirun.cli.template import lines

        write_out(lines(form if "{{" in form else f"{{{{{form}}}}}", found, {}))
    return code


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
