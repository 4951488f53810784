"""Containers in machines: the spawners that ``isolation`` hands to the engine, and what is asked of a VMM that runs."""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.linux import unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.engine.execute import Site
    from minirun.runtime.store import Entry, State, Store


def prepare(entry: Entry, state: State, site: Site) -> None:
    """create: the spawn boots a machine around init."""
    from minirun.vm import process

    site.spawner = process.spawner(state.id, unix.listen(entry.control()))


def prepare_exec(store: Store, state: State, site: Site) -> None:
    """exec: the spawn is a process of the host's that stands for one in the machine."""
    from minirun.vm import visitor

    entry = store.open(state.id)
    site.cgroup = state.cgroup
    site.spawner = visitor.spawner(connect(entry))
    entry.close()


def connect(entry: Entry) -> int:
    """To the VMM's control socket."""
    try:
        return unix.connect(entry.control())
    except OSError as error:
        raise MinirunError(f"cannot reach the machine of container {entry.id}", reason=error.strerror or "") from error


def ask(entry: Entry, question: bytes) -> bytes:
    """One question, one answer (vm/control.py)."""
    from minirun.vm.control import ask as put

    fd = connect(entry)
    return put(fd, question)


def signal_all(entry: Entry, number: int) -> None:
    ask(entry, f"kill {number}".encode())
