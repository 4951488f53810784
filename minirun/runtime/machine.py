"""Containers in machines: the spawners that ``isolation`` hands to the engine, and what is asked of a VMM that runs.

What counts a program's memory and processes is a cgroup of the guest's, and its processes are in the guest's /proc:
both are read through the VMM (vm/control.py).
"""

from __future__ import annotations

import posix

from minirun.engine.report import operation_failed
from minirun.errors import MinirunError
from minirun.linux import unix
from minirun.plan.hardware import MIB, OF_THE_KERNEL
from minirun.plan.machine import counted_inside, inner_limits
from minirun.plan.ops import WriteCgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.engine.execute import Site
    from minirun.runtime.store import Entry, State, Store
    from minirun.spec.types import Resources, Spec

CGROUP = "/sys/fs/cgroup/minirun"
TITLES = ["UID", "PID", "PPID", "CMD"]


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
    """One question, one answer.  Raises OSError with the guest's errno."""
    from minirun.vm.control import ask as put

    return put(connect(entry), question)


def read(entry: Entry, path: str) -> str:
    """A file of the guest's, "" if it cannot be read."""
    try:
        return ask(entry, f"read {path}".encode()).decode("utf-8", "replace")
    except OSError:
        return ""


def signal_all(entry: Entry, number: int) -> None:
    """Where there is no machine any more there is nobody to signal."""
    try:
        ask(entry, f"kill {number}".encode())
    except (MinirunError, OSError):
        return


def processes(entry: Entry) -> list[int]:
    """As the guest's first process counts them."""
    return [int(word) for word in read(entry, f"{CGROUP}/cgroup.procs").split()]


def process_rows(entry: Entry) -> list[list[str]]:
    """With a title; one that ended meanwhile is left out."""
    rows = [TITLES]
    for pid in processes(entry):
        fields = dict(line.partition(":")[::2] for line in read(entry, f"/proc/{pid}/status").splitlines())
        if "Uid" not in fields:
            continue
        words = read(entry, f"/proc/{pid}/cmdline").replace("\0", " ").strip() or f"[{fields['Name'].strip()}]"
        rows.append([fields["Uid"].split()[0], str(pid), fields["PPid"].strip(), words])
    return rows


class Files:
    """The guest's cgroup as a directory of ours, for as long as ``with`` lasts: one reader of cgroups is enough."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.path = f"{entry.path}/.stats.{posix.getpid()}"
        self.names: list[str] = []

    def __enter__(self) -> str:
        posix.mkdir(self.path, 0o700)
        for name in read(self.entry, CGROUP).split("\0"):
            if name.endswith((".stat", ".current", ".max", ".peak", ".events", ".pressure", ".weight", ".effective")):
                text = read(self.entry, f"{CGROUP}/{name}")
                self.names.append(name)
                with open(f"{self.path}/{name}", "w") as file:
                    file.write(text)
        return self.path

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            posix.unlink(f"{self.path}/{name}")
        posix.rmdir(self.path)


def update(entry: Entry, state: State, resources: Resources, source: str) -> Resources:
    """The guest's half of new limits; the host's is what is returned.  A machine's memory is what it is."""
    spec: Spec = entry.config()
    memory = resources.get("memory", {}).get("limit", 0)
    most = machine_memory(entry) - OF_THE_KERNEL // 2
    if memory > most > 0:
        raise MinirunError(
            f"cannot update container {state.id}", pointer="/linux/resources/memory/limit", config=source,
            reason=f"its machine has {machine_memory(entry) // MIB} MiB, with the guest's kernel in it",
            hint="annotation dev.minirun.vm.memory gives a machine more, when it is made",
        )  # fmt: skip
    asked: Spec = {**spec, "linux": {**spec["linux"], "resources": resources}}
    ops = [op for op in inner_limits(asked) if isinstance(op, WriteCgroup)]
    for step, op in enumerate(ops, 1):
        try:
            ask(entry, f"write {CGROUP}/{op.file}\0{op.value}".encode())
        except OSError as error:
            raise operation_failed(
                op, step, len(ops), number=error.errno or 0, call="write", detail=str(error.filename or ""),
                config=source, reason=error.strerror or "",
            ) from error  # fmt: skip
    left: Resources = {**resources}
    left.pop("pids", None)
    left.pop("memory", None)
    left.pop("devices", None)
    unified = {name: value for name, value in resources.get("unified", {}).items() if not counted_inside(name)}
    return {**left, "unified": unified}


def machine_memory(entry: Entry) -> int:
    """What the guest's kernel has to give, in bytes; 0 if it does not say."""
    for line in read(entry, "/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) << 10
    return 0
