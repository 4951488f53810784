"""kill, delete, pause, resume."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import store_of
from minirun.errors import MinirunError
from minirun.runtime import lifecycle
from minirun.runtime.signals import signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cli.main import Call
    from minirun.runtime.store import Store


def each(call: Call, store: Store, act: Callable[[str], None]) -> int:
    """The container named, or with --regex all that match; one that fails does not keep the others."""
    if not call.values.on("regex"):
        act(call.words[0])
        return 0
    import re

    try:
        pattern = re.compile(call.words[0])
    except re.error as error:
        raise usage(f"{call.words[0]!r} is not a regular expression: {error}") from error
    failed: MinirunError | None = None
    for container_id in store.ids():
        try:
            if pattern.search(container_id):
                act(container_id)
        except MinirunError as error:
            failed = failed or error
    if failed:
        raise failed
    return 0


def kill(call: Call) -> int:
    number = signal_number(call.words[1] if len(call.words) > 1 else "TERM")
    store = store_of(call)
    return each(call, store, lambda found: lifecycle.kill(store, found, number, everyone=call.values.on("all")))


def delete(call: Call) -> int:
    store = store_of(call)
    force = call.values.on("force")
    return each(call, store, lambda found: lifecycle.delete(store, found, force, call.log.warn))


def pause(call: Call) -> int:
    lifecycle.freeze(store_of(call), call.words[0], True)
    return 0


def resume(call: Call) -> int:
    lifecycle.freeze(store_of(call), call.words[0], False)
    return 0
