"""Who takes part in a comparison: the isolations that this minirun has, and why one of them cannot run here.

A table with a row for each, in the order of the columns.  All that a row says is how minirun is asked for it; nothing
else in ``minirun.lab`` knows one from another.
"""

from __future__ import annotations

import os

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Isolation(Record):
    """``flags`` stand before the verb; ``lacking`` says why it cannot run here, "" if it can."""

    name: str
    title: str
    flags: tuple[str, ...]
    lacking: Callable[[], str]


def nothing() -> str:
    return ""


def no_vm() -> str:
    """Why no Linux boots in a VM here."""
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened"
    return ""


ISOLATIONS = (
    Isolation(name="container", title="container: the host's kernel", flags=(), lacking=nothing),
    Isolation(name="vm", title="micro-VM: a kernel of its own", flags=("--isolation", "vm"), lacking=no_vm),
)


def chosen(names: Iterable[str]) -> list[Isolation]:
    """Those with ``names``, in the table's order; all if there are none.  Raises KeyError with an unknown name."""
    wanted = set(names)
    unknown = wanted - {row.name for row in ISOLATIONS}
    if unknown:
        raise KeyError(min(unknown))
    return [row for row in ISOLATIONS if row.name in wanted or not wanted]
