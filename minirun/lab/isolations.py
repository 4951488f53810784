"""Who takes part in a comparison: the isolations that this minirun has, and why one of them cannot run here.

A table with a row for each, in the order of the columns.  All that a row says is how minirun is asked for it; nothing
else in ``minirun.lab`` knows one from another.
"""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.linux.kvm import Kvm
from minirun.record import Record
from minirun.vm import kernel, probe
from minirun.vm.ladder import climb, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Bare(Record):
    """A machine with nothing in it but a self-checking guest of a few lines: milliseconds, exits by reason."""

    build: float
    whole: float
    exits: dict[str, int]


class Isolation(Record):
    """``flags`` stand before the verb; ``lacking`` says why it cannot run here, "" if it can.

    ``bare`` measures what can be had instead where it cannot; its rows stand in a section of their own.
    """

    name: str
    title: str
    flags: tuple[str, ...]
    lacking: Callable[[], str]
    asks: Callable[[], str]  # what may be asked of the host's kernel on the program's behalf
    bare: Callable[[int], list[Bare]] | None = None


def nothing() -> str:
    return ""


def any_call() -> str:
    """The program itself asks, whatever there is, unless config.json has a filter for it."""
    from minirun.vm.sandbox.numbers import NAMES

    return f"{len(NAMES)}: all there are, less those of a filter in config.json"


def of_the_machine() -> str:
    """System calls in the filter of a machine's VMM (minirun.vm.confine)."""
    from minirun.vm import confine

    return f"{allowed(confine.LINES)}: its VMM's filter"


def of_the_sandbox() -> str:
    from minirun.vm.sandbox import confine

    return f"{allowed(confine.lines())}: minirun's own filter"


def allowed(lines: list[str]) -> int:
    """How many system calls a filter lets through, in whatever part."""
    names: set[str] = set()
    for line in lines:
        words = line.partition(" where ")[0].split()
        if words[0] == "allow":
            names.update(words[1:])
    return len(names | {"ioctl"})


def no_kvm() -> str:
    """Why there is no sandbox here: it runs on any KVM, an emulated one too."""
    try:
        Kvm().close()
    except OSError as error:
        return probe.explain(error).headline()
    return ""


def no_vm() -> str:
    """Why no Linux boots in a VM here."""
    found = probe.look()
    if found.error is not None:
        return probe.explain(found.error).headline()
    if found.kind == probe.EMULATED:
        return (
            f"KVM emulates the kernel mode of guests here, {found.rate:.1f} million instructions a second: "
            "too slow for Linux (make demo-lab has a KVM that is not)"
        )
    try:
        kernel.find()
    except MinirunError as error:
        return f"{error.headline()} ({error.hint})"
    return ""


def climbs(runs: int) -> list[Bare]:
    """The ladder's guest in long mode, again and again; nothing where there is no KVM at all."""
    rung = find("long")
    assert rung is not None
    results = []
    for _ in range(runs):
        try:
            results.append(climb(rung))
        except OSError:
            return []
    return [
        Bare(build=result.build_us / 1e3, whole=(result.build_us + result.run_us) / 1e3, exits=reasons(result.exits))
        for result in results
        if result.ok()
    ]


def reasons(exits: dict[str, int]) -> dict[str, int]:
    """Without what is not an exit's reason but who served it."""
    return {name: count for name, count in exits.items() if count and name not in ("in-c", "in-python", "kick")}


ISOLATIONS = (
    Isolation(
        name="container", title="container: the host's kernel", flags=("--isolation", "container"), lacking=nothing,
        asks=any_call,
    ),
    Isolation(
        name="sandbox", title="sandbox: a VM without a kernel", flags=("--isolation", "sandbox"), lacking=no_kvm,
        asks=of_the_sandbox,
    ),
    Isolation(
        name="vm", title="micro-VM: a kernel of its own", flags=("--isolation", "vm"), lacking=no_vm, bare=climbs,
        asks=of_the_machine,
    ),
)  # fmt: skip


def chosen(names: Iterable[str]) -> list[Isolation]:
    """Those with ``names``, in the table's order; all if there are none.  Raises KeyError with an unknown name."""
    wanted = set(names)
    unknown = wanted - {row.name for row in ISOLATIONS}
    if unknown:
        raise KeyError(min(unknown))
    return [row for row in ISOLATIONS if row.name in wanted or not wanted]
