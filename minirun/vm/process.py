"""The VMM as a process of the host's: it stands where ``minirun-init`` stands for a container.

    create (engine)                         the VMM: a fork of it
    boot: fork                      ->      a session of its own, nothing open but what it needs
    the cgroup is made, if systemd's is     (waits)
    expect: "go"                    ->      joins the cgroup; builds the machine, then its own cell (confine.py)
                                            runs the guest; from here on init's words come from inside of it
    SYNC, GO, READY ...            <->      passed on

Its pid is the container's, its end the program's: exit code 128 + n where a signal killed the program, because nobody
can die by a signal that killed somebody else.  No exec: a fork shares what is imported already, and is there at once.

What goes wrong before there is an init to say so comes as words through a memfd, whole: message, reason, hint.
"""

from __future__ import annotations

import posix

from minirun.engine.init import Init
from minirun.errors import FAILED, MinirunError
from minirun.linux import unix
from minirun.linux.descriptors import bundle, close_others
from minirun.plan.hardware import from_words
from minirun.plan.wire import encode
from minirun.record import Record
from minirun.spec import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.engine.execute import Site
    from minirun.plan.hardware import Hardware
    from minirun.plan.ops import Op, Spawn

LONGEST = 65536  # of the last words


class Parts(Record):
    """What a VMM is made from; all descriptors are its own."""

    name: str
    hardware: Hardware
    plan: bytes
    step: int
    flags: int
    inside: list[tuple[int, str, str]]  # writes to the guest's cgroup: step, file, value
    cgroup: str  # the directory on the host, "" for none
    sync: int
    gate: int
    control: int
    go: int  # end of file: begin
    words: int
    stdio: tuple[int, int, int]
    terminal: bool
    cache: str  # the directory of compiled filters; initramfs archives are kept beside it


class Machine(Init):
    """The VMM, as the engine sees it."""

    config = ""  # the file that its pointers point into

    def __init__(self, pid: int, pidfd: int, sync: int, go: int, words: int, tell: Callable[[str], None]) -> None:
        super().__init__(pid, pidfd, sync)
        self.go = go
        self.words = words
        self.tell = tell  # what goes wrong once the program runs, and nobody waits for a word

    def expect(self, wanted: int) -> None:
        """The first time anything is expected of it, all that has to be there before it is there."""
        if self.go >= 0:
            posix.close(self.go)
            self.go = -1
        super().expect(wanted)

    def wait(self) -> int:
        first = self.status is None
        status = super().wait()
        told = last_words(self.words, self.config) if first else None
        if told is not None:
            self.tell(told.headline())
        return status

    def died(self) -> MinirunError:
        status = super().wait()
        told = last_words(self.words, self.config)
        if told is not None:
            return told
        if status > 128:
            hint = "its cgroup's memory limit, or somebody's kill" if status == 137 else ""
            return MinirunError("the machine ended", reason=f"the VMM was killed by signal {status - 128}", hint=hint)
        return MinirunError("the machine ended", reason=f"the VMM ended with status {status} and said nothing")


def spawner(name: str, control: int) -> Callable[[Site, Spawn], Init]:
    """For ``Site.spawner``; ``control`` is the listening socket that exec and its sisters connect to."""
    return lambda site, op: boot(site, op, name, control)


def boot(site: Site, op: Spawn, name: str, control: int) -> Machine:
    """Fork the VMM."""
    ours, theirs = unix.pair()
    wait, go = posix.pipe2(posix.O_CLOEXEC)
    words = posix.memfd_create("minirun-words", posix.MFD_CLOEXEC)
    parts = Parts(
        name=name, hardware=from_words(op.machine), step=site.ops.index(op) + 1, flags=op.flags,
        plan=encode(site.ops, trace=site.trace, program=site.program), inside=inside(site.ops),
        cgroup=site.cgroup_root + site.cgroup if site.cgroup and op.into_cgroup else "", sync=theirs,
        gate=site.gate_fd, control=control, go=wait, words=words, stdio=site.stdio, cache=site.filter_cache,
        terminal=any(each.KIND == "console" for each in site.ops),
    )  # fmt: skip
    pid = posix.fork()
    if pid == 0:
        live(parts)
    for fd in (theirs, wait, control):
        posix.close(fd)
    machine = Machine(pid, posix.pidfd_open(pid), ours, go, words, site.warn or (lambda text: None))
    machine.config = site.config
    return machine


def inside(ops: list[Op]) -> list[tuple[int, str, str]]:
    """What is written to the container's cgroup in the guest."""
    return [
        (step, op.file, op.value)  # type: ignore[attr-defined]
        for step, op in enumerate(ops, 1)
        if op.KIND == "write_cgroup" and op.inside  # type: ignore[attr-defined]
    ]


def live(parts: Parts) -> None:
    """The child: its whole life.  Nothing of the parent's may run in it, whatever happens."""
    code = FAILED
    try:
        detach(parts)
        from minirun.vm.vmm import main

        code = main(parts)
    except MinirunError as error:
        say(parts.words, error)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        say(parts.words, MinirunError("cannot boot the machine", reason=what))
    except BaseException as error:  # a defect of ours: it must not unwind into the parent's code
        say(parts.words, MinirunError("cannot boot the machine", reason=f"{error.__class__.__name__}: {error}"))
    finally:
        posix._exit(code)


def detach(parts: Parts) -> None:
    """A session of its own; nothing of the parent's stays open, least of all its lock on the container's entry."""
    import gc

    posix.setsid()
    given = [0, 1, 2, parts.sync, parts.gate, parts.control, parts.go, parts.words, *parts.stdio, *bundle()]
    close_others(sorted({fd for fd in given if fd >= 0}))
    gc.enable()  # minirun's verbs live too short for it
    gc.freeze()


def say(words: int, error: MinirunError) -> None:
    """An error's parts, for whoever made the VMM, which knows the pointer's file; what was said first is the reason."""
    if posix.fstat(words).st_size:
        return
    told = {"message": error.message, "reason": error.reason, "hint": error.hint, "pointer": error.pointer or ""}
    text = decode.encode(told).encode()
    if len(text) > LONGEST:  # half a document is none
        text = decode.encode(told | {"reason": error.reason[:1000], "hint": ""}).encode()
    try:
        posix.pwrite(words, text, 0)
    except OSError:
        return


def last_words(words: int, config: str = "") -> MinirunError | None:
    """None if there are none.  A guest that broke out of its machine could write them."""
    data = posix.pread(words, LONGEST, 0)
    if not data:
        return None
    try:
        told = decode.decode(data, "the VMM's last words")
        message, reason, hint, pointer = [str(told[name]) for name in ("message", "reason", "hint", "pointer")]
    except (MinirunError, LookupError, TypeError):
        return MinirunError("the machine ended", reason="what its VMM said of it is damaged")
    return MinirunError(
        message, reason=reason, hint=hint, pointer=pointer or None, config=config if pointer else ""
    )  # fmt: skip
