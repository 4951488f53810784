"""What list, ps and events tell of containers: read from /proc and the cgroup, never kept."""

from __future__ import annotations

from minirun.cgroups import tree
from minirun.facts import read
from minirun.runtime import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.runtime.store import State, Store


def list_containers(store: Store) -> list[dict[str, object]]:
    """One row a container, in runc's JSON shape."""
    from minirun.errors import MinirunError

    rows = []
    for container_id in store.ids():
        try:
            entry = store.open(container_id)
        except MinirunError:  # deleted meanwhile, or a stray name
            continue
        state = entry.load()
        word = status.status(entry, state)
        row = status.document(state, word)
        row.pop("annotations", None)
        row |= {
            "isolation": state.isolation,
            "rootfs": state.rootfs,
            "created": state.created,
            "owner": owner_name(state.owner),
        }
        if state.annotations:
            row["annotations"] = state.annotations
        rows.append(row)
        entry.close()
    return rows


def owner_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def processes(state: State) -> list[int]:
    """Every process of the container; without a cgroup, those in its init's pid namespace, if that is its own.

    One that it has joined is another container's: those are not ours to signal.
    """
    if state.cgroup:
        return tree.processes(state.cgroupRoot + state.cgroup)
    if not status.alive(state):
        return []
    import posix

    own = link(f"/proc/{state.pid}/ns/pid")
    if own == link("/proc/self/ns/pid") or not is_first(state.pid):
        return [state.pid]
    pids = [int(name) for name in posix.listdir("/proc") if name.isdigit()]
    return sorted(pid for pid in pids if own and link(f"/proc/{pid}/ns/pid") == own) or [state.pid]


def is_first(pid: int) -> bool:
    """Was its pid namespace made for it: is it pid 1 there (proc_pid_status(5), NSpid)?"""
    lines = read(f"/proc/{pid}/status").splitlines()
    return any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in lines)


def link(path: str) -> str:
    import posix

    try:
        return posix.readlink(path)
    except OSError:
        return ""


def command_line(pid: int) -> str:
    """For people: the words, or the name in brackets."""
    words = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
    return words or f"[{read(f'/proc/{pid}/comm').strip()}]"
