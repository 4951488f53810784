"""events: numbers and out-of-memory events of a container, a JSON object a line."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import store_of, write_out
from minirun.errors import MinirunError
from minirun.runtime import isolation, status
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call
    from minirun.runtime.store import Entry, State

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(word: str) -> float:
    """A duration as Go writes it: 500ms, 5s, 1m."""
    for unit, factor in UNITS.items():
        digits = word.removesuffix(unit)
        if digits != word and digits.isascii() and digits.replace(".", "", 1).isdigit() and float(digits) > 0:
            return float(digits) * factor
    raise usage(f"--interval wants a duration such as 5s, not {word!r}")


def line(entry: Entry, state: State, kind: str) -> str:
    row: dict[str, object] = {"type": kind, "id": state.id}
    if kind == "stats":
        row["data"] = isolation.numbers(entry, state)
    return encode(row) + "\n"


def events(call: Call) -> int:
    interval = seconds(call.values.text("interval"))
    entry = store_of(call).open(call.words[0])
    state = entry.load()
    if status.status(entry, state) == status.STOPPED:
        raise MinirunError(f"cannot read events of container {state.id}", reason="container not running")
    if not state.cgroup:
        raise MinirunError(f"cannot read events of container {state.id}", reason="it has no cgroup of its own")
    if call.values.on("stats"):
        write_out(line(entry, state, "stats"))
        return 0
    return follow(entry, state, interval)


def follow(entry: Entry, state: State, interval: float) -> int:
    """Until the container ends: a line every interval, and one for every out-of-memory kill, as soon as it happens."""
    import select
    import time

    from minirun.cgroups.watch import Watch
    from minirun.linux.prctl import settle
    from minirun.runtime.lifecycle import open_pidfd

    settle(f"events:{state.id}")
    pidfd = open_pidfd(state)
    if pidfd < 0:
        return 0
    kills = Watch(state.cgroupRoot + state.cgroup, "memory.events", "oom_kill")
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    if kills.fd >= 0:
        poller.register(kills.fd, select.POLLPRI)
    due = time.monotonic() + interval
    while True:
        ready = {fd for fd, _ in poller.poll(max(due - time.monotonic(), 0) * 1000)}
        if kills.grown():
            write_out(line(entry, state, "oom"))
        if pidfd in ready:
            return 0
        if kills.fd in ready and kills.gone:  # it would be ready for ever
            poller.unregister(kills.fd)
        if time.monotonic() >= due:
            write_out(line(entry, state, "stats"))
            due += interval
