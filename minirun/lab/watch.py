"""What the host sees of a run: its processes, their memory, the system calls that they make.

proc(5): smaps_rollup has Pss, each page divided by the number of processes that have it: what the machine would get
back.  Memory that a VM's guest has touched is the VMM's mapping of the file ``minirun-guest``, told from smaps; that of
a program in a VM without a kernel is all that lies in one reservation, of a size that nothing else has.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from minirun.record import Record
from minirun.vm.sandbox import layout

VCPU = "anon_inode:kvm-vcpu"
GUEST = "minirun-guest"  # the file behind it (minirun/vm/memory.py), as /proc/PID/maps has its name


class Process(Record):
    """``pss`` and ``guest`` in KiB; ``guest`` is the part of it that is a guest's memory."""

    pid: int
    parent: int
    name: str
    pss: int = 0
    guest: int = 0


def descendants(pid: int) -> list[Process]:
    """``pid`` and all below it, with their memory, in the order of their ids."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (known := status(int(entry))):
            parents[int(entry)] = known
    family = {pid}
    while more := {child for child, (parent, _) in parents.items() if parent in family} - family:
        family |= more
    found = [Process(pid=one, parent=parents[one][0], name=parents[one][1]) for one in sorted(family) if one in parents]
    for process in found:
        process.pss, process.guest = memory(process.pid)
    return found


def status(pid: int) -> tuple[int, str] | None:
    """(parent, name) by proc_pid_stat(5); None if it has just ended.  The name may have spaces and parentheses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition(" (")[2].rpartition(") ")
    return int(rest.split()[1]), name


def memory(pid: int) -> tuple[int, int]:
    """(Pss of all, Pss of guest memory), KiB; zeros if it has ended, or may not be looked at."""
    try:
        whole = pss(Path(f"/proc/{pid}/smaps_rollup").read_text())
        maps = mappings(pid)
        if GUEST not in maps and VCPU not in maps:
            return whole, 0
        parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text(errors="replace"))
    except OSError:
        return 0, 0
    if GUEST in maps:
        return whole, sum(pss(part) for part in parts if GUEST in part)
    inside = reservation(maps)
    return whole, sum(pss(part) for part in parts if part and int(part.partition("-")[0], 16) in inside)


def reservation(maps: str) -> range:
    """The addresses of a sandbox's program: mappings side by side, together of the reservation's size."""
    rows = [line.split()[0].split("-") for line in maps.splitlines()]
    spans = [(int(start, 16), int(end, 16)) for start, end in rows]
    for number, (start, end) in enumerate(spans):
        for following, last in [(start, end), *spans[number + 1 :]]:
            if following not in (start, end):
                break
            end = last
            if end - start == layout.SIZE:
                return range(start, end)
            if end - start > layout.SIZE:
                break
    return range(0)


def mappings(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text(errors="replace")


def pss(text: str) -> int:
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def system_calls(summary: str) -> dict[str, int]:
    """``strace -c``'s table: name -> how often."""
    found = {}
    for line in summary.splitlines():
        words = line.split()
        if len(words) >= 5 and words[0].replace(".", "").isdigit() and words[3].isdigit() and words[-1] != "total":
            found[words[-1]] = int(words[3])
    return found
