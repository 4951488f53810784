"""What a container has changed: docker's diff, from the upper directory and the layers below it alone."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.images.snapshot import Snapshot


def changes(snapshot: Snapshot) -> list[tuple[str, str]]:
    """``("A"|"C"|"D", "/path")``, sorted by path: added, changed (a directory with a change below, too), deleted."""
    raise NotImplementedError
