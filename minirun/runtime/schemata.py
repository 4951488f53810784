"""update --l3-cache-schema, --mem-bw-schema: another share of caches and memory bandwidth, for a container that runs.

Its group of resctrl's (Documentation/arch/x86/resctrl.rst) is the one that /linux/intelRdt had made or named; a
container without one gets a group of its own now, as with runc, and delete takes it away.
"""

from __future__ import annotations

import posix
from errno import ESRCH

from minirun import facts
from minirun.cgroups import tree
from minirun.engine import resctrl
from minirun.errors import MinirunError
from minirun.plan.resctrl import MOUNT_HINT, NOT_MOUNTED
from minirun.runtime.inspect import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.runtime.store import Entry, State

AT = "/linux/intelRdt"


def change(entry: Entry, state: State, lines: dict[str, str], source: str) -> Callable[[], None]:
    """Put ``lines`` (by their member of intelRdt) in force; returns what takes them back.

    The entry must be locked.  Raises MinirunError, and then nothing has changed.
    """
    mount = facts.find_resctrl()
    if not mount:
        raise refused(state, NOT_MOUNTED, source, MOUNT_HINT)
    given = entry.config().get("linux", {}).get("intelRdt")
    group = (given or {}).get("closID") or state.id
    if group == "/":
        raise refused(state, "its group is the default one, which is everybody's on this host", source)
    directory = f"{mount}/{group}"
    undo: list[Callable[[], None]] = []
    try:
        if given is None and directory not in state.resctrl:
            own_group(entry, state, directory, undo)
        before = tree.read(f"{directory}/schemata")
        tree.write(f"{directory}/schemata", "\n".join(lines.values()) + "\n")  # one write(2): all of it, or nothing
        undo.insert(0, lambda: tree.write(f"{directory}/schemata", before))
    except OSError as error:
        reason = resctrl.complaint(mount) or error.strerror or ""
        put_back(undo)
        raise refused(state, f"{error.filename or directory}: {reason}", source) from error
    return lambda: put_back(undo)


def own_group(entry: Entry, state: State, directory: str, undo: list[Callable[[], None]]) -> None:
    """Written down first: should we be killed, delete knows what there is to remove.  Raises OSError."""
    state.resctrl = [*state.resctrl, directory]
    entry.save(state)

    def forget() -> None:
        resctrl.remove(directory)
        state.resctrl = [path for path in state.resctrl if path != directory]
        entry.save(state)

    try:
        posix.mkdir(directory, 0o755)
    except FileExistsError:  # somebody else's: it must not go with this container
        state.resctrl = state.resctrl[:-1]
        entry.save(state)
        raise
    undo.append(forget)
    moved: set[int] = set()
    while new := set(processes(state)) - moved:  # until none was born meanwhile in the group that they leave
        for pid in sorted(new):
            try:
                tree.write(f"{directory}/tasks", str(pid))
            except OSError as error:
                if error.errno != ESRCH:
                    raise
        moved |= new


def put_back(undo: list[Callable[[], None]]) -> None:
    """What fails here must not hide the failure that brought us here."""
    for step in undo:
        try:
            step()
        except OSError:
            continue


def refused(state: State, reason: str, source: str, hint: str = "") -> MinirunError:
    return MinirunError(f"cannot update container {state.id}", reason=reason, pointer=AT, config=source, hint=hint)
