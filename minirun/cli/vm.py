"""``minirun vm``: what people do with micro-VMs that is not the life of a container.

``minirun vm ladder`` climbs the small guests of minirun.vm.ladder and says of each what happened; the other words are
in ``vm_machines``.
"""

from __future__ import annotations

import sys

from minirun.cli.parse import usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.cli.parse import Values
    from minirun.vm.ladder import Result, Rung


def run(glob: Values, what: str, words: tuple[str, ...], options: dict[str, Any]) -> int:
    """``what`` is the word after ``vm``."""
    from minirun.cli.vm_machines import WHAT as MACHINES

    if what in MACHINES or what == "ladder":
        check_options(what, options)
    if what in MACHINES:
        return MACHINES[what](glob, words, options)
    if what != "ladder":
        raise usage(f"unknown word {what!r} after vm", f"there is: {', '.join([*MACHINES, 'ladder'])}")
    return ladder(words, options)


OPTIONS = {"ls": ("format",), "console": (), "stop": (), "ladder": ("explain", "format")}


def check_options(what: str, options: dict[str, Any]) -> None:
    """One table has the options of all words: what a word does not heed it does not take."""
    for name, value in options.items():
        heeded = name in OPTIONS[what] if what in OPTIONS else name not in ("explain", "format")
        if value and value != "table" and not heeded:
            raise usage(f"minirun vm {what} takes no --{name}", "minirun vm --help says which are whose")


def ladder(names: tuple[str, ...], options: dict[str, Any]) -> int:
    """0 if every rung said 42."""
    from minirun.vm import probe
    from minirun.vm.ladder import RUNGS, climb

    wanted = [one(name) for name in names] or list(RUNGS)
    if options["explain"]:
        return explain(one(options["explain"]))
    results = []
    for rung in wanted:
        try:
            result = climb(rung)
        except OSError as error:
            raise probe.explain(error) from error
        results.append(result)
        if options["format"] == "table":
            print(row(result), flush=True)
    if options["format"] == "json":
        from minirun.spec.decode import encode

        print(encode([fields(result) for result in results], "  "))
    failed = [result for result in results if not result.ok()]
    return 1 if failed else 0


def one(name: str) -> Rung:
    from minirun.vm.ladder import RUNGS, find

    found = find(name)
    if found is None:
        raise usage(f"no rung {name!r} on the ladder", f"there is: {', '.join(rung.name for rung in RUNGS)}")
    return found


def row(result: Result) -> str:
    """A word, the rung, the time in the guest, the exits, what it teaches; below it what went wrong."""
    rung = result.rung
    word = "ok" if result.ok() else "FAILED"
    left = " ".join(f"{name} {count}" for name, count in result.exits.items() if name not in INTERNAL and count)
    line = f"{word:<7} {rung.name:<11} {result.run_us / 1000:7.1f} ms   {left:<12} {rung.teaches}"
    if result.ok():
        return line
    lines = [line, f"{'':<8}{result.why()}"]
    rows = getattr(result.end, "rows", None)
    return "\n".join([*lines, *(f"{'':<8}{text}" for text in (rows() if rows else []))])


def fields(result: Result) -> dict[str, object]:
    return {
        "name": result.rung.name, "teaches": result.rung.teaches, "ok": result.ok(), "why": result.why(),
        "value": result.value, "output": result.output, "end": result.end.describe(), "exits": result.exits,
        "buildMicroseconds": result.build_us, "runMicroseconds": result.run_us,
    }  # fmt: skip


def explain(rung: Rung) -> int:
    """The source, with what it includes, and the bytes that come of it."""
    from minirun.vm.ladder import ENTRY, read

    source = read(f"{rung.name}.S").decode()
    code = read(f"{rung.name}.bin")
    print(f"{rung.name}: {rung.teaches}\n")
    sys.stdout.write(source)
    if "steps.inc" in source:
        print("\nsteps.inc:\n")
        sys.stdout.write(read("steps.inc").decode())
    used = code.rstrip(b"\0")
    print(f"\nIts first bytes, at {ENTRY:#x}, of {len(used)}:\n")
    for at in range(0, min(len(used), 64), 16):
        print(f"  {ENTRY + at:04x}  {used[at : at + 16].hex(' ')}")
    return 0


INTERNAL = ("in-c", "in-python", "kick")
