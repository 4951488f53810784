"""The shelf and the place that a call means, and its containers."""

from __future__ import annotations

from minirun.cli.stores import storage_of, store_of
from minirun.container.life import Place
from minirun.container.shelf import Shelf
from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cli.main import Call
    from minirun.container.record import Container


def shelf_of(call: Call) -> Shelf:
    return Shelf(storage_of(call))


def place_of(call: Call) -> Place:
    return Place(storage=storage_of(call), root=store_of(call).root, env=call.env, cwd=call.cwd, warn=call.log.warn)


def each(call: Call, act: Callable[[Shelf, Place, Container], str | None]) -> int:
    """Every container named, in order; what ``act`` returns, or else its word, is printed.  One that fails does not
    keep the others; the exit code is 1 then."""
    from minirun.cli.stores import write_out

    shelf, place, failed = shelf_of(call), place_of(call), 0
    for word in call.words:
        try:
            said = act(shelf, place, shelf.find(word))
            write_out((word if said is None else said) + "\n")
        except MinirunError as error:
            call.log.error(error)
            failed = error.exit_code if len(call.words) == 1 else 1
    return failed
