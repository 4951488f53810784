"""``container inspect`` and ``port``: what is known of a container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def inspect(call: Call) -> int:
    raise NotImplementedError


def port(call: Call) -> int:
    raise NotImplementedError
