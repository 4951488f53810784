"""``container run`` and ``create``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def run(call: Call) -> int:
    raise NotImplementedError


def create(call: Call) -> int:
    raise NotImplementedError
