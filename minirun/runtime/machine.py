"""Containers in machines: the spawners that ``isolation`` hands to the engine, and what is asked of a VMM that runs.

What counts a program's memory and processes is a cgroup of the guest's, and its processes are in the guest's /proc:
both are read through the VMM (vm/control.py).  A guest may answer what it likes: its words are never a path of ours,
and what makes no sense is an error, or nothing.
"""

from __future__ import annotations

import posix

from minirun.engine.report import operation_failed
from minirun.errors import MinirunError, printable
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
COUNTERS = (".stat", ".current", ".max", ".peak", ".events", ".pressure", ".weight", ".effective")
MOST_COUNTERS = 200  # a cgroup of Linux 6 has some sixty files
CPU_DIGITS = 5  # of a CPU's number: a list of numbers is spelled out in memory
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


def awake(entry: Entry, state: State) -> None:
    """Raises MinirunError for a machine that is paused: nobody is there to answer."""
    from minirun.runtime import status

    if status.status(entry, state) == status.PAUSED:
        raise MinirunError(
            f"cannot ask the machine of container {state.id}", reason="it is paused", hint=f"minirun resume {state.id}"
        )


def signal_all(entry: Entry, number: int) -> None:
    """Where there is no machine any more there is nobody to signal; one that is paused hears it when it goes on."""
    try:
        fd = connect(entry)
        unix.send(fd, f"kill {number}".encode())
        posix.close(fd)
    except (MinirunError, OSError):
        return


def processes(entry: Entry) -> list[int]:
    """As the guest's first process counts them."""
    return [int(word) for word in read(entry, f"{CGROUP}/cgroup.procs").split() if is_number(word)]


def is_number(word: str) -> bool:
    """As the kernel writes a pid: whoever is asked is the guest."""
    return word.isascii() and word.isdigit() and len(word) < 20


def process_rows(entry: Entry) -> list[list[str]]:
    """With a title; one that ended meanwhile is left out."""
    rows = [TITLES]
    for pid in processes(entry):
        fields = dict(line.partition(":")[::2] for line in read(entry, f"/proc/{pid}/status").splitlines())
        if not fields.get("Uid", "").split():
            continue
        words = read(entry, f"/proc/{pid}/cmdline").replace("\0", " ").strip() or f"[{fields.get('Name', '').strip()}]"
        row = [fields["Uid"].split()[0], str(pid), fields.get("PPid", "").strip(), words]
        rows.append([printable(each) for each in row])
    return rows


class Files:
    """The guest's cgroup as a directory of ours, for as long as ``with`` lasts: one reader of cgroups is enough."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.path = f"{entry.path}/.stats.{posix.getpid()}"
        self.names: list[str] = []

    def __enter__(self) -> str:
        posix.mkdir(self.path, 0o700)
        try:
            for name in counters(read(self.entry, CGROUP)):
                text = read(self.entry, f"{CGROUP}/{name}")
                if name.startswith("cpuset.") and not is_list(text):
                    continue
                self.names.append(name)
                with open(f"{self.path}/{name}", "x", errors="replace") as file:
                    file.write(text)
        except BaseException:
            self.__exit__()
            raise
        return self.path

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            try:
                posix.unlink(f"{self.path}/{name}")
            except FileNotFoundError:
                continue
        posix.rmdir(self.path)


def counters(names: str) -> list[str]:
    """Those of a cgroup's files that stats read.  They become files of ours: no name leads anywhere else."""
    found = {name for name in names.split("\0") if name.endswith(COUNTERS) and is_file_name(name)}
    return sorted(found)[:MOST_COUNTERS]


def is_file_name(name: str) -> bool:
    return (
        len(name) < 64 and name[0].isalpha() and name.replace(".", "a").replace("_", "a").isalnum() and name.isascii()
    )


def is_list(text: str) -> bool:
    """ "0-2,7", with numbers that may be counted up to (cpuset(7), List Format)."""
    words = text.strip().replace("-", ",").split(",")
    return all(not word or (is_number(word) and len(word) <= CPU_DIGITS) for word in words)


def numbers(entry: Entry, state: State) -> dict[str, object]:
    """events --stats, of the guest's counters."""
    from minirun.cgroups.stats import stats

    with Files(entry) as directory:
        try:
            return stats(directory)
        except (ValueError, LookupError, OverflowError) as error:
            raise MinirunError(
                f"cannot read the counters of container {state.id}", reason="its guest's are none of Linux's"
            ) from error


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
        words = line.split()
        if len(words) > 1 and words[0] == "MemTotal:" and is_number(words[1]):
            return int(words[1]) << 10
    return 0
