"""From samples to rows: what a table or a page shows, as plain data.  Nothing here looks at the machine.

A row is one question, a cell one isolation's answer: numbers (one for each run, with a unit) or words.
"""

from __future__ import annotations

from statistics import median

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minirun.lab.isolations import Bare
    from minirun.lab.runs import Look, Timed

# Nanoseconds, milliseconds, KiB: the largest step that leaves a number of at least 1.
STEPS = {
    "ns": ((1, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")),
    "ms": ((1, "ms"), (1e3, "s")),
    "KiB": ((1, "KiB"), (1024, "MiB"), (1024**2, "GiB")),
    "": ((1, ""),),
}
CAPABILITIES = 41  # CAP_CHECKPOINT_RESTORE is the last, 40


class Cell(Record):
    """``values`` if it was measured, else ``text``; both empty: there is no answer."""

    values: tuple[float, ...] = ()
    text: str = ""


class Row(Record):
    """``name`` is for programs; ``less`` is for a number that is better when it is smaller."""

    section: str
    name: str
    label: str
    cells: dict[str, Cell]
    unit: str = ""


class Measured(Record):
    """All that was found under one isolation; ``lacking`` says why there is nothing."""

    name: str
    title: str
    timed: Sequence[Timed] = ()
    looks: Sequence[Look] = ()
    traced: dict[int, dict[str, int]] = {}
    bare: Sequence[Bare] = ()
    lacking: str = ""
    asks: str = ""


TIME, MEMORY, INSIDE, OUTSIDE, COST, BORDER, BARE = (
    "time", "memory, as the host counts it (PSS)", "what the program sees", "what the host sees of it",
    "what things cost inside", "who works for it on the host",
    "a bare guest in place of Linux: the ladder's, long mode",
)  # fmt: skip


def rows(found: Sequence[Measured]) -> list[Row]:
    """Every row that has an answer, in the order of the sections."""
    made: list[Row] = []
    for make in (times, memories, insides, outsides, costs, borders, bares):
        made += make(found)
    return [row for row in made if any(cell.values or cell.text for cell in row.cells.values())]


def row(found: Sequence[Measured], section: str, name: str, label: str, unit: str, ask: Any) -> Row:
    """``ask`` maps what was measured to a list of numbers, or to words."""
    cells = {}
    for one in found:
        answer = ask(one) if not one.lacking or section == BARE else ""
        if isinstance(answer, str):
            cells[one.name] = Cell(text=answer)
        else:
            cells[one.name] = Cell(values=tuple(round(value, 3) for value in answer))
    return Row(section=section, name=name, label=label, unit=unit, cells=cells)


def times(found: Sequence[Measured]) -> list[Row]:
    return [
        row(found, TIME, "first_ms", "to its first instruction", "ms", lambda one: [run.first for run in one.timed]),
        row(found, TIME, "whole_ms", "to its exit", "ms", lambda one: [run.whole for run in one.timed]),
        row(found, TIME, "code", "exit code", "", lambda one: ", ".join(sorted({str(run.code) for run in one.timed}))),
    ]


def memories(found: Sequence[Measured]) -> list[Row]:
    def total(name: str, label: str, processes: Any, size: Any) -> Row:
        def ask(one: Measured) -> list[float]:
            sums = [[size(process) for process in processes(look)] for look in one.looks]
            return [sum(sizes) for sizes in sums if sizes]

        return row(found, MEMORY, name, label, "KiB", ask)

    return [
        total(
            "program_kib", "the program, its processes", lambda k: [p for p in own(k) if not p.guest], lambda p: p.pss
        ),
        total("guest_kib", "memory of the VM in use", vmm, lambda p: p.guest),
        total("vmm_kib", "the VMM beyond it", vmm, lambda p: p.pss - p.guest),
        total("keeper_kib", "minirun run, which waits", lambda look: look.processes[:1], lambda p: p.pss),
        total("total_kib", "all together", lambda look: look.processes, lambda p: p.pss),
    ]


def own(look: Look) -> list[Any]:
    """Without the first: the command that waits for it."""
    return list(look.processes[1:])


def vmm(look: Look) -> list[Any]:
    return [process for process in own(look) if process.guest]


def insides(found: Sequence[Measured]) -> list[Row]:
    def words(name: str, label: str, of: Any) -> Row:
        return row(found, INSIDE, name, label, "", lambda one: of(one.looks[0].seen) if one.looks else "")

    return [
        words("kernel", "kernel", lambda seen: line(seen, "/proc/sys/kernel/osrelease")),
        words("uptime", "this kernel's age", lambda seen: age(line(seen, "/proc/uptime"))),
        words("pid1", "PID 1", lambda seen: line(seen, "/proc/1/comm")),
        words("own_pid", "its own PID", lambda seen: field(seen, "/proc/self/status", "Pid")),
        words("processes", "processes in sight", lambda seen: str(sum(w.isdigit() for w in listed(seen, "/proc/")))),
        words("cpus", "CPUs it may use", lambda seen: field(seen, "/proc/self/status", "Cpus_allowed_list")),
        words("memory", "memory there is", lambda seen: kib(field(seen, "/proc/meminfo", "MemTotal"))),
        words("capabilities", "capabilities", lambda seen: capabilities(field(seen, "/proc/self/status", "CapEff"))),
        words("seccomp", "system call filter", lambda seen: filters(field(seen, "/proc/self/status", "Seccomp"))),
        words("filesystems", "file systems its kernel knows", lambda seen: str(len(listed(seen, "/proc/filesystems")))),
        words("devices", "in /dev", lambda seen: names(seen, "/dev/")),
        words("classes", "in /sys/class", lambda seen: names(seen, "/sys/class/")),
        words("virtio", "virtio devices", lambda seen: names(seen, "/sys/bus/virtio/devices/")),
    ]


def line(seen: dict[str, str], name: str) -> str:
    return seen.get(name, "").strip()


def listed(seen: dict[str, str], name: str) -> list[str]:
    return [word for word in seen.get(name, "").splitlines() if word]


def field(seen: dict[str, str], file: str, name: str) -> str:
    """The value of ``Name:  value`` in a file of /proc."""
    for text in seen.get(file, "").splitlines():
        if text.startswith(f"{name}:"):
            return text.partition(":")[2].strip()
    return ""


def names(seen: dict[str, str], folder: str) -> str:
    """How many, and which, sorted; terminals and loop devices are folded to one with a star."""
    found = sorted({word.rstrip("0123456789") + "*" if word[-1:].isdigit() else word for word in listed(seen, folder)})
    return f"{len(listed(seen, folder))}: {' '.join(found)}" if found else ""


def age(uptime: str) -> str:
    seconds = float(uptime.split()[0]) if uptime else 0.0
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.2f} s" if uptime else ""


def kib(text: str) -> str:
    return number(float(text.split()[0]), "KiB") if text else ""


def capabilities(mask: str) -> str:
    """CapEff is a hexadecimal mask."""
    if not mask:
        return ""
    count = int(mask, 16).bit_count()
    return "all" if count >= CAPABILITIES else f"{count} of {CAPABILITIES}"


def filters(mode: str) -> str:
    return {"0": "none", "2": "yes"}.get(mode, mode)


def outsides(found: Sequence[Measured]) -> list[Row]:
    def visible(one: Measured) -> str:
        return f"{len(own(one.looks[0]))}: {' '.join(p.name for p in own(one.looks[0]))}" if one.looks else ""

    return [row(found, OUTSIDE, "host_processes", "its processes", "", visible)]


COSTS = {
    "syscall": "a system call (getppid)", "process": "fork, exec, exit, wait", "stat": "statx of its program file",
    "read": "open, read 4 KiB, close it", "write": "create, write 4 KiB, close, unlink",
}  # fmt: skip


def costs(found: Sequence[Measured]) -> list[Row]:
    def of(name: str) -> Any:
        return lambda one: [value for look in one.looks for value in look.costs.get(name, ())]

    made = [row(found, COST, f"{name}_ns", label, "ns", of(name)) for name, label in COSTS.items()]
    where = row(found, COST, "place", "... where it writes", "", lambda one: place(one.looks))
    return [*made, where]


def place(looks: Sequence[Look]) -> str:
    return looks[0].seen.get("place", "") if looks else ""


def borders(found: Sequence[Measured]) -> list[Row]:
    """System calls of the whole run, of the program's own calls among them, and exits of the guest."""

    def whole(one: Measured) -> list[float]:
        return [sum(one.traced[min(one.traced)].values())] if one.traced else []

    def caused(one: Measured) -> list[float]:
        if len(one.traced) < 2:
            return []
        low, high = min(one.traced), max(one.traced)
        more = sum(one.traced[high].values()) - sum(one.traced[low].values())
        return [max(0.0, more * 1000 / (high - low))]

    def most(one: Measured) -> str:
        calls = one.traced.get(min(one.traced, default=0), {})
        return " ".join(f"{name} {count}" for name, count in sorted(calls.items(), key=lambda pair: -pair[1])[:6])

    made = [
        row(found, BORDER, "may_ask", "system calls it may make", "", lambda one: one.asks),
        row(found, BORDER, "host_calls", "host system calls, whole run", "", whole),
        row(found, BORDER, "most_calls", "... the most frequent", "", most),
        row(found, BORDER, "caused_calls", "... for 1000 of the program's", "", caused),
    ]
    reasons = sorted({reason for one in found for look in one.looks for reason in look.exits})
    for reason in reasons:
        ask = lambda one, reason=reason: [look.exits[reason] for look in one.looks if reason in look.exits]  # noqa: E731
        label = ANSWERED.get(reason, f"VM exits: {reason}")
        made.append(row(found, BORDER, f"exits_{reason}", label, "", ask))
    return made


ANSWERED = {"in-c": "VM exits answered in C", "in-python": "VM exits answered in Python", "kick": "vCPUs called out"}


def bares(found: Sequence[Measured]) -> list[Row]:
    """Where no Linux runs: a guest of a few lines, a floor for any VM, and nothing to compare with."""
    made = [
        row(
            found, BARE, "bare_build_ms", "memory, VM and vCPU are made", "ms", lambda one: [b.build for b in one.bare]
        ),
        row(found, BARE, "bare_whole_ms", "it has checked itself", "ms", lambda one: [b.whole for b in one.bare]),
    ]
    for reason in sorted({reason for one in found for bare in one.bare for reason in bare.exits}):
        ask = lambda one, reason=reason: [bare.exits.get(reason, 0) for bare in one.bare]  # noqa: E731
        made.append(row(found, BARE, f"bare_exits_{reason}", f"exits: {reason}", "", ask))
    return made


def number(value: float, unit: str) -> str:
    """Three digits and the unit that fits."""
    factor, name = step(value, unit)
    return f"{rounded(value / factor)} {name}".rstrip()


def step(value: float, unit: str) -> tuple[float, str]:
    return next((one for one in reversed(STEPS[unit]) if abs(value) >= one[0]), STEPS[unit][0])


def rounded(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def shown(cell: Cell, unit: str) -> str:
    """``12.3 (11.9-14.0) ms``: the median, and the lowest and highest where they differ, in the median's unit."""
    if not cell.values:
        return cell.text
    factor, name = step(median(cell.values), unit)
    low, middle, high = (rounded(value / factor) for value in (min(cell.values), median(cell.values), max(cell.values)))
    return f"{middle} {name}".rstrip() if low == high else f"{middle} ({low}-{high}) {name}".rstrip()


def ratio(cells: dict[str, Cell], name: str, base: str) -> float | None:
    """``name``'s median over ``base``'s."""
    if name == base or not cells[name].values or not cells[base].values or not median(cells[base].values):
        return None
    return median(cells[name].values) / median(cells[base].values)
