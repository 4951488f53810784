"""``container update`` and ``rename``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def update(call: Call) -> int:
    raise NotImplementedError


def rename(call: Call) -> int:
    raise NotImplementedError
