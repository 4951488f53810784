"""``container update`` and ``rename``: the two verbs that change a container's record."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import store_of, write_out
from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.cli.main import Call
    from minirun.container.record import Container


def update(call: Call) -> int:
    """The limits of all that are named; of a running one at once, and for the next start."""
    from minirun.cli.container_run import place_of, shelf_of
    from minirun.container import life
    from minirun.container.devices import numbers
    from minirun.container.limits import resources
    from minirun.container.words import restart

    values = call.values
    wanted = resources(values, numbers)
    if not wanted and not values.text("restart"):
        raise usage("minirun container update wants something to change", "as --memory 256m, or --restart no")
    restart(values.text("restart"), remove=False)
    shelf, place = shelf_of(call), place_of(call)
    code = 0
    for word in call.words:
        try:
            container = shelf.find(word)
            status = life.truth(shelf, place, container)
            if wanted and status.status in ("running", "paused"):
                change_running(call, container, wanted)
            with shelf.hold(container.id):
                container = shelf.load(container.id)
                if values.text("restart"):
                    container.restart, container.retries = restart(values.text("restart"), container.remove)
                container.asked = {**container.asked, "resources": merged(container.asked["resources"], wanted)}
                shelf.save(container)
            write_out(f"{container.name}\n")
        except MinirunError as error:
            call.log.error(error)
            code = error.exit_code if error.exit_code == 1 else 125
    return code


def change_running(call: Call, container: Container, wanted: dict[str, Any]) -> None:
    from minirun.runtime.update import update as change
    from minirun.spec import check

    source = "the command line"
    change(store_of(call), container.id, check.resources(wanted, source), source, {})


def merged(before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Section by section, member by member."""
    return {**before, **{name: {**before.get(name, {}), **given} for name, given in wanted.items()}}


def rename(call: Call) -> int:
    from minirun.cli.container_run import shelf_of

    shelf = shelf_of(call)
    container = shelf.find(call.words[0])
    if container.name == call.words[1]:
        raise MinirunError(f"the container is called {container.name} already", exit_code=1)
    with shelf.hold(container.id):
        shelf.rename(shelf.load(container.id), call.words[1])
    return 0
