"""The VMM's control socket: what minirun's verbs ask of a machine that runs.  unix(7) SOCK_SEQPACKET, a packet a word.

    fd NAME        a descriptor comes with it: plan, sync, 0, 1, 2, master, slave
    exec FLAGS STEP      with those: one more program; the answer is "exited CODE", when it has
    signal N       to that program
    kill N         to all programs of the container
    read PATH      a file of the guest's, or a directory's names: "ok" and the bytes, or "errno N"
    write PATH     and after a NUL what is written to it
    exits          counts of the machine's exits, as JSON
    console        what the guest's kernel has said, then whatever it says

Only the owner of the state directory can reach it (mode 0700): whoever may use minirun on this container.  The end of a
connection is the end of its program, as a terminal's is.
"""

from __future__ import annotations

import posix

from minirun.linux import unix
from minirun.spec.decode import encode
from minirun.vm.task import Spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.channel import Exited
    from minirun.vm.loop import Loop
    from minirun.vm.relay import Relay
    from minirun.vm.task import Task

LONGEST = 65536
SIGKILL = 9
CGROUP = "/sys/fs/cgroup/minirun"
MOST = 64  # connections
PATIENCE = 30.0  # seconds for an answer: a guest that is emulated takes its time
EIO, ETIMEDOUT = 5, 110


class Control:
    """The listener."""

    def __init__(
        self, loop: Loop, fd: int, relay: Relay, exits: Callable[[], dict[str, int]], said: Callable[[], bytes]
    ) -> None:
        self.loop = loop
        self.fd = fd
        self.relay = relay
        self.exits = exits
        self.said = said
        self.callers: set[Caller] = set()
        posix.set_blocking(fd, False)
        loop.add(fd, self.knock)

    def knock(self, events: int) -> None:
        try:
            fd = unix.accept(self.fd)
        except OSError:
            return
        if len(self.callers) >= MOST:
            posix.close(fd)
            return
        self.callers.add(Caller(self, fd))

    def heard(self, data: bytes) -> None:
        """The guest's kernel says something."""
        for caller in [*self.callers]:
            if caller.listens:
                caller.say(data)


class Caller:
    """One connection."""

    def __init__(self, control: Control, fd: int) -> None:
        self.control = control
        self.fd = fd
        self.given: dict[str, int] = {}
        self.task: Task | None = None
        self.listens = False
        control.loop.add(fd, self.hear)

    def hear(self, events: int) -> None:
        try:
            data, passed = unix.receive(self.fd, LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data, passed = b"", -1
        if not data:
            if passed >= 0:
                posix.close(passed)
            self.leave()
            return
        word, _, rest = data.partition(b" ")
        if word == b"fd" and passed >= 0:
            self.keep(rest.decode("ascii", "replace"), passed)
            return
        if passed >= 0:
            posix.close(passed)
        verb = VERBS.get(word)
        try:
            if verb is None:
                raise ValueError(word)
            verb(self, rest.decode("utf-8", "surrogateescape"))
        except (KeyError, ValueError, OSError):  # not a word of ours, or a descriptor is missing
            self.say(b"errno 22")

    def keep(self, name: str, fd: int) -> None:
        old = self.given.get(name)
        if old is not None:
            posix.close(old)
        self.given[name] = fd

    def say(self, data: bytes) -> None:
        """A caller who does not read what he asked for is none of ours to wait for."""
        if self.fd < 0:
            return
        try:
            unix.send(self.fd, data)
        except OSError:
            return

    def leave(self) -> None:
        self.control.callers.discard(self)
        self.control.loop.remove(self.fd)
        posix.close(self.fd)
        self.fd = -1
        for fd in self.given.values():
            posix.close(fd)
        self.given.clear()
        if self.task is not None:
            self.task.kill(SIGKILL)

    # -- the verbs ----------------------------------------------------------------------------------------------

    def execute(self, words: str) -> None:
        flags, _, step = words.partition(" ")
        if self.task is not None:
            raise ValueError("one program for a connection")
        plan = contents(self.given["plan"])
        asked_flags, asked_step = int(flags), int(step)
        if not (0 <= asked_flags < 1 << 64 and 0 <= asked_step < 1 << 32):
            raise ValueError(words)
        posix.close(self.given.pop("plan"))
        given, self.given = self.given, {}
        asked = Spawn(
            step=asked_step, flags=asked_flags, plan=plan, sync=given.get("sync", -1), target=1,
            stdio=(given.get("0", -1), given.get("1", -1), given.get("2", -1)),
            terminal=(given.get("master", -1), given.get("slave", -1)), cgroup=CGROUP.rpartition("/")[2],
            exited=self.exited,
        )  # fmt: skip
        try:
            self.task = self.control.relay.spawn(asked)
        except ValueError:
            self.say(b"exited 125")

    def exited(self, ended: Exited | None) -> None:
        self.task = None
        self.say(b"exited %d" % (128 + SIGKILL if ended is None else ended.code()))

    def signal(self, word: str) -> None:
        if self.task is not None:
            self.task.kill(signal_of(word))

    def kill(self, word: str) -> None:
        number = signal_of(word)
        for task in [*self.control.relay.tasks.values()]:
            task.kill(number)
        self.say(b"ok")

    def read(self, path: str) -> None:
        self.control.relay.read(path, self.answer)

    def write(self, words: str) -> None:
        path, _, value = words.partition("\0")
        self.control.relay.write_file(path, value.encode("utf-8", "surrogateescape"), self.answer)

    def answer(self, errno: int, data: bytes) -> None:
        self.say(b"errno %d" % errno if errno else b"ok" + data)

    def console(self, _: str) -> None:
        """What the guest's kernel has said, and from now on says."""
        self.say(self.control.said() or b"\n")
        self.listens = True

    def tell_exits(self, _: str) -> None:
        self.say(b"ok" + encode(self.control.exits()).encode())


VERBS: dict[bytes, Callable[[Caller, str], None]] = {
    b"exec": Caller.execute, b"signal": Caller.signal, b"kill": Caller.kill, b"read": Caller.read,
    b"write": Caller.write, b"exits": Caller.tell_exits, b"console": Caller.console,
}  # fmt: skip


def signal_of(word: str) -> int:
    """Raises ValueError."""
    number = int(word)
    if not 0 <= number < 65:
        raise ValueError(word)
    return number


def contents(fd: int) -> bytes:
    """A memfd, whole."""
    return posix.pread(fd, posix.fstat(fd).st_size, 0)


def ask(fd: int, question: bytes, seconds: float = PATIENCE) -> bytes:
    """For the other end: one question on a connection of its own.  Raises OSError with the guest's errno."""
    from select import POLLIN, poll

    try:
        unix.send(fd, question)
        watch = poll()
        watch.register(fd, POLLIN)
        if not watch.poll(seconds * 1000):  # paused, or a guest that does not want to: nobody waits for ever
            raise TimeoutError(ETIMEDOUT, "the machine does not answer", "")
        data, _ = unix.receive(fd, LONGEST + 16)
    finally:
        posix.close(fd)
    if data.startswith(b"errno "):
        number = int(data[6:]) if data[6:].isdigit() else EIO
        raise OSError(number, posix.strerror(number), question.partition(b" ")[2].decode("utf-8", "replace"))
    if not data.startswith(b"ok"):
        raise OSError(104, "the machine has ended")
    return data[2:]
