"""A container's status, derived from its process (runtime.md, State)."""

from __future__ import annotations

from minirun.cgroups import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.runtime.store import Entry, State

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat, or 0 if there is no such process or it is a zombie (proc(5))."""
    try:
        line = tree.read(f"/proc/{pid}/stat")
    except OSError:
        return 0
    fields = line.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in "ZX":
        return 0
    return int(fields[19])


def alive(state: State) -> bool:
    """Is the process that create made still there?  A pid used again has another start time."""
    return state.pid > 0 and start_time(state.pid) == state.startTime


def status(entry: Entry, state: State, *, locked: bool = False) -> str:
    """``locked``: we hold the entry's lock ourselves, so that an unfinished create cannot be under way.

    Who holds it looks at the gate himself: he may be about to open it.
    """
    if not state.complete:
        return CREATING if not locked and entry.busy() else STOPPED
    if not alive(state):
        return STOPPED
    if state.cgroup and tree.is_frozen(state.cgroupRoot + state.cgroup):
        return PAUSED
    return CREATED if entry.has_gate() and (locked or entry.waits_at_gate()) else RUNNING


def document(state: State, word: str, pid: int | None = None) -> dict[str, object]:
    """The state as the specification has it: pid in created and running only, annotations only if there are any.

    In runc's order: there are scripts that read it with a pattern.
    """
    from minirun.runtime.store import OCI_VERSION

    number = 0 if word == STOPPED else (state.pid if pid is None else pid)
    found: dict[str, object] = {"ociVersion": OCI_VERSION, "id": state.id, "pid": number, "status": word}
    found["bundle"] = state.bundle
    if state.annotations:
        found["annotations"] = state.annotations
    return found
