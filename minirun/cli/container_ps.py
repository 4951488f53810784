"""``container ps top stats``."""

from __future__ import annotations

import time

from minirun.cli.oci_list import columns, form_of
from minirun.cli.parse import usage
from minirun.cli.places import place_of, shelf_of
from minirun.cli.stores import store_of, write_out
from minirun.container import life, listing
from minirun.container.record import PAUSED, RESTARTING, RUNNING, seconds_of
from minirun.container.truth import sweep_all
from minirun.errors import MinirunError, printable
from minirun.spec.decode import encode
from minirun.spec.members import DAMAGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call
    from minirun.cli.parse import Values
    from minirun.container.record import Container, Status
    from minirun.container.shelf import Shelf

TITLES = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
HEADINGS = {"ID": "CONTAINER ID", "RunningFor": "CREATED"}  # a template's, where they are not the member's name
COMMAND_WIDTH = 20


def ps(call: Call) -> int:
    form, values = form_of(call, go=True), call.values
    shelf = shelf_of(call)
    rows = chosen(call, shelf)
    if values.on("quiet"):
        whole = values.on("no_trunc")
        write_out("".join(f"{container.id if whole else container.short}\n" for container, _ in rows))
        return 0
    now = time.time()
    if form == "json":
        write_out("".join(encode(document(shelf, *row, now, values.on("size"))) + "\n" for row in rows))
        return 0
    if form != "table":
        from minirun.cli.template import lines

        write_out(lines(form, [short(shelf, *row, now, values, ".Size" in form) for row in rows], HEADINGS))
        return 0
    titles = [*TITLES, *(["SIZE"] if values.on("size") else [])]
    cells = [line(shelf, *row, now, values.on("no_trunc"), values.on("size")) for row in rows]
    write_out(columns([titles, *cells]))
    return 0


def chosen(call: Call, shelf: Shelf) -> list[tuple[Container, Status]]:
    values, place = call.values, place_of(call)
    sweep_all(shelf, place)
    last = values.number("last") or (1 if values.on("latest") else 0)
    filters = values.listed("filter")
    fits = listing.filtered(filters, shelf.find)
    everything = values.on("all") or last or any(word.startswith(("status=", "exited=")) for word in filters)
    rows = []
    damaged: list[MinirunError] = []
    for container in shelf.all(damaged):
        try:
            status = life.truth(shelf, place, container)
        except MinirunError as error:
            if error.errno_name == DAMAGED:
                damaged.append(error)
            elif error.errno_name != "ENOENT":  # it went away meanwhile
                raise
            continue
        if not shelf.exists(container.id):  # --rm, and only now is it known that it has ended
            continue
        if not everything and status.status not in (RUNNING, PAUSED, RESTARTING):
            continue
        if fits(container, status):
            rows.append((container, status))
    for problem in damaged:
        call.log.error(problem)
    return rows[:last] if last else rows


def command_of(container: Container, whole: bool) -> str:
    text = " ".join(container.command)
    if not whole and len(text) > COMMAND_WIDTH:
        text = text[: COMMAND_WIDTH - 1] + "…"
    return f'"{printable(text)}"'


def line(shelf: Shelf, container: Container, status: Status, now: float, whole: bool, sized: bool) -> list[str]:
    cells = [
        container.id if whole else container.short, printable(container.image), command_of(container, whole),
        f"{listing.ago(now - seconds_of(container.created))} ago", listing.state_words(status, now),
        listing.port_words(status.attached.get("ports", [])), container.name,
    ]  # fmt: skip
    return [*cells, human(size_of(shelf, container))] if sized else cells


def document(shelf: Shelf, container: Container, status: Status, now: float, sized: bool) -> dict[str, object]:
    """docker's members of `ps --format json`."""
    found: dict[str, object] = {
        "ID": container.id, "Names": container.name, "Image": container.image,
        "Command": command_of(container, True), "CreatedAt": container.created, "State": status.status,
        "RunningFor": f"{listing.ago(now - seconds_of(container.created))} ago",
        "Status": listing.state_words(status, now), "ExitCode": status.exitCode,
        "Ports": listing.port_words(status.attached.get("ports", [])),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(container.labels.items())),
        "Networks": ",".join(listing.networks(container)), "Pid": status.pid,
        "Mounts": ",".join([*container.volumes, *container.anonymous]),
    }  # fmt: skip
    if sized:
        found["Size"] = human(size_of(shelf, container))
    return found


def short(
    shelf: Shelf, container: Container, status: Status, now: float, values: Values, sized: bool
) -> dict[str, object]:
    """What a template sees: cut as in the table."""
    found = document(shelf, container, status, now, sized or values.on("size"))
    if not values.on("no_trunc"):
        found["ID"], found["Command"] = container.short, command_of(container, False)
    return found


def size_of(shelf: Shelf, container: Container) -> int:
    """Bytes that its writable layer takes on disk."""
    from minirun.container.place import snapshot
    from minirun.images.tree import usage as bytes_below

    return bytes_below(snapshot(shelf, container).upper)


def human(size: float) -> str:
    """docker's decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g}{unit}"
        size /= 1000
    return f"{size:.3g}TB"


def top(call: Call) -> int:
    from minirun.cli.oci_list import ps_table
    from minirun.runtime import isolation

    shelf, place = shelf_of(call), place_of(call)
    container = shelf.find(call.words[0])
    status = life.truth(shelf, place, container)
    if status.status not in (RUNNING, PAUSED):
        raise life.not_running("look into", container, status)
    entry = store_of(call).open(container.id)
    state = entry.load()
    rows = isolation.process_rows(entry, state)
    write_out(columns(rows) if rows else ps_table(isolation.processes(entry, state), call.words[1:] or ["-ef"]))
    return 0


def stats(call: Call) -> int:
    from minirun.cli import stats as live

    shelf, place = shelf_of(call), place_of(call)
    asked = [shelf.find(word) for word in call.words]

    def names() -> dict[str, str]:
        """Those asked for, or whatever runs by now."""
        found = asked or [one for one in shelf.all() if life.truth(shelf, place, one).status in (RUNNING, PAUSED)]
        return {one.id: one.name for one in found}

    try:
        interval = float(call.values.text("interval"))
    except ValueError:
        interval = 0.0
    if not 0.05 <= interval <= 3600:
        raise usage(f"--interval wants seconds, not {call.values.text('interval')!r}")
    wanted = live.Wanted(
        ids=tuple(one.id for one in asked), interval=interval, once=call.values.on("no_stream"), form=form_of(call),
        names=names,
    )  # fmt: skip
    return live.run(store_of(call), wanted)
