"""From samples to words: medians, lowest values, ratios; one table, shown as text and as markdown.

Trust the ratios and the lowest values.  Absolute times belong to one machine in one hour; nothing asserts them.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from lifecycle import MEMORY_ROWS, TIME_ROWS, Bench

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

INTRO = f"""# Performance

How long each verb of an OCI runtime takes and how much memory it needs, for minirun and, in the same run on the same
machine, for runc and crun. The table is written by `make bench` (`tests/bench/run.py --write docs/performance.md`).

**What.** Every verb starts a new process, as containerd and podman start it: start-up is part of the price. The bundle
is a static busybox with the spec that `runc spec` prints, its process `/bin/true` (for `run`) or `/bin/sleep 1000`;
*filtered* is the same with podman's default seccomp profile.
Two columns of reference for `run`: *floor* is a bare C program that asks the kernel for the same namespaces, mounts,
cgroup, device program and privileges and does nothing else; *python* is the interpreter started and left at once.

**How.** Wall time from spawn to exit, taken by a small static C program; the runtimes take turns, step by step, so
that noise hits all alike; a private mount namespace shows them a host with cgroup v2 only. Peak RSS is that of the
largest process of the call; RSS and PSS of the waiting init are read between `create` and `start`.

**On what.** A small, shared, noisy virtual machine: trust the ratios and the lowest values, not the milliseconds.

{BEGIN}
{END}
"""


def summary(bench: Bench, runs: int, notes: list[tuple[str, str]]) -> dict[str, Any]:
    """Everything measured, as plain data: what ``--json`` writes and what the tables are made from."""
    times: dict[str, dict[str, dict[str, float]]] = {}
    for (row, name), values in bench.ms.items():
        times.setdefault(row, {})[name] = {"median": round(median(values), 3), "lowest": round(min(values), 3)}
    memory: dict[str, dict[str, int]] = {}
    for (row, name), sizes in bench.kib.items():
        memory.setdefault(row, {})[name] = round(median(sizes))
    return {
        "machine": machine(),
        "runs": runs,
        "versions": {subject.name: subject.version for subject in bench.subjects if subject.version},
        "ms": times,
        "kib": memory,
        "ratios": ratios(times, memory),
        "notes": [f"{name}: {why}" for name, why in notes],
    }


def ratios(times: dict[str, Any], memory: dict[str, Any]) -> dict[str, dict[str, float]]:
    """minirun's median over each peer's, per row."""
    found: dict[str, dict[str, float]] = {}
    medians = {row: {name: cell["median"] for name, cell in cells.items()} for row, cells in times.items()}
    for row, cells in {**medians, **memory}.items():
        for peer in ("runc", "crun"):
            if "minirun" in cells and cells.get(peer):
                found.setdefault(row, {})[peer] = round(cells["minirun"] / cells[peer], 3)
    return found


def machine() -> dict[str, Any]:
    """The kind of machine, in the words of /proc and os-release(5)."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.partition(": ")[2] for line in cpuinfo.splitlines() if line.startswith("model name")]
    kernel = os.uname()
    return {
        "system": release.get("PRETTY_NAME", "unknown").strip('"'),
        "kernel": f"{kernel.sysname} {kernel.release} {kernel.machine}",
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": models[0] if models else "unknown",
        "virtual": " hypervisor" in cpuinfo,
        "load": round(os.getloadavg()[0], 1),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def table(data: dict[str, Any]) -> list[list[str]]:
    """Rows of cells, the header first: ``median / lowest`` per subject, then the ratios."""
    present = {name for cells in data["ms"].values() for name in cells}
    names = [name for name in ("minirun", "runc", "crun", "floor", "python") if name in present]
    peers = [name for name in ("runc", "crun") if name in present and "minirun" in present]
    rows = [["", *names, *(f"minirun / {peer}" for peer in peers)]]
    for row in (*TIME_ROWS, *MEMORY_ROWS):
        cells = data["ms"].get(row) or data["kib"].get(row)
        if not cells:
            continue
        unit = "KiB" if row in MEMORY_ROWS else "ms"
        line = [f"{row}, {unit}", *(cell(cells.get(name)) for name in names)]
        known = data["ratios"].get(row, {})
        rows.append(line + [f"{known[peer]:.2f}" if peer in known else "" for peer in peers])
    return rows


def cell(value: dict[str, float] | int | None) -> str:
    """``24.1 / 20.3`` for times, a plain number for sizes, nothing where a subject has no such verb."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    return f"{value['median']:.1f} / {value['lowest']:.1f}"


def conditions(data: dict[str, Any]) -> list[str]:
    """What a reader must know beside the numbers."""
    host = data["machine"]
    kind = "itself a virtual machine" if host["virtual"] else "not virtualized"
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    where = f"{host['system']}, {host['kernel']}, {host['cpus']} CPUs ({host['cpu']}), {kind}"
    return [
        f"Times are median / lowest of {data['runs']} runs; sizes are medians; {host['date']}.",
        f"Versions: {versions}.",
        f"{where}; load average {host['load']} afterwards.",
    ]


def as_text(data: dict[str, Any]) -> str:
    rows = table(data)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", *conditions(data)])


def as_markdown(data: dict[str, Any]) -> str:
    rows = table(data)
    head = ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" + " ---: |" * (len(rows[0]) - 1)]
    body = ["| " + " | ".join(row) + " |" for row in rows[1:]]
    notes = [f"- {line}" for line in [*conditions(data), *data["notes"]]]
    return "\n".join([*head, *body, "", *notes])


def place(file: Path) -> tuple[str, str]:
    """The text before and after the table; asked for before measuring, so that a bad file costs no one minutes."""
    text = file.read_text() if file.exists() else INTRO
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench: {file} has no {BEGIN} … {END}")
    return before + begin, end + after


def write(file: Path, data: dict[str, Any]) -> None:
    """Replace the table between the two marks, and nothing else."""
    before, after = place(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{before}\n{as_markdown(data)}\n{after}")


def put(file: Path, marks: tuple[str, str], table: list[list[str]], notes: list[str]) -> None:
    """The table (its header first, its first column words) and the notes between the two marks, and nothing else."""
    before, begin, rest = file.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise SystemExit(f"bench: {file} has no {marks[0]} … {marks[1]}")
    rule = ["---", *["---:"] * (len(table[0]) - 1)]
    lines = ["| " + " | ".join(row) + " |" for row in (table[0], rule, *table[1:])]
    file.write_text("\n".join([f"{before}{begin}", *lines, "", *(f"- {note}" for note in notes), f"{end}{after}"]))
