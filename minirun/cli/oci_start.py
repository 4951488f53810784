"""start."""

from __future__ import annotations

from minirun.cli.stores import store_of
from minirun.runtime.start import start as start_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def start(call: Call) -> int:
    start_container(store_of(call), call.words[0], call.env, call.log.warn)
    return 0
