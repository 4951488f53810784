"""A program in the guest, as the VMM sees it: init's talk with the engine, stdio or terminal, and the end.

The engine believes that it talks to ``minirun-init`` (engine/protocol.py), and so it does: the agent passes init's
messages on as they are.  Three things end here: a terminal (its master is the guest's; the engine gets that of a pty of
ours), what a GO brings with it (a descriptor becomes its bytes), and the wait at the gate, which is a socket of the
host's (native/init/sync.c, ``op_wait``).
"""

from __future__ import annotations

import posix
import select

from minirun.engine.protocol import DETACH, FAILED, GO, MESSAGE, READY, START, SYNC, TERMINAL, TRACE, WARNING
from minirun.linux import unix
from minirun.record import Record
from minirun.vm import channel, pty
from minirun.vm.channel import (
    BYTES,
    CREDIT,
    DATA,
    END,
    ORDER,
    RESIZE,
    SIGNAL,
    BadFrame,
    Exited,
    Write,
    stream_of,
)
from minirun.vm.gate import Gate
from minirun.vm.stdio import Sink, Source, contents, modes_of, own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.relay import Relay

PASSED_ON = (SYNC, TERMINAL, READY, TRACE, WARNING, FAILED)
BACKLOG = 20 << 20  # what may wait for the guest to read it: a document, and every task's window
SIGHUP, SIGKILL, SIGCONT, SIGWINCH = 1, 9, 18, 28


class Spawn(Record):
    """What the engine wants: init in new namespaces, with a plan.  All descriptors pass to the task.

    ``stdio``: the host's descriptors, -1 for none.  ``terminal``: the host's pty, (master, slave) of ``pty.open_pty``,
    where the plan has a console.  ``gate``: a listening socket, where another process will say START.
    ``target``: 0, or the task whose namespaces the plan joins.  ``exited`` is called once, when all output is out;
    None says that the machine ended first.  ``abandoned`` is called if the engine goes before it has said START.
    """

    step: int
    flags: int
    plan: bytes
    sync: int
    gate: int = -1
    stdio: tuple[int, int, int] = (-1, -1, -1)
    terminal: tuple[int, int] = (-1, -1)
    target: int = 0
    cgroup: str = ""
    cgroup_writes: list[Write] = []
    task_writes: list[Write] = []
    exited: Callable[[Exited | None], None]
    abandoned: Callable[[], None] | None = None

    def close(self) -> None:
        """Nothing came of it."""
        for fd in {self.sync, self.gate, *self.stdio, *self.terminal} - {-1}:
            posix.close(fd)


class Task:
    """One of them; ``number`` is the channel's."""

    def __init__(self, relay: Relay, number: int, asked: Spawn) -> None:
        self.relay = relay
        self.number = number
        self.asked = asked
        self.sync = asked.sync
        self.gate = Gate(relay.loop, asked.gate, self.opened)
        self.master, self.slave = asked.terminal
        self.pid = 0  # in the guest
        self.ready = self.ordered = False  # READY was said; START was said
        self.size = b""
        self.over = False
        self.ended: Exited | None = None
        self.source: Source | None = None
        self.sinks: dict[int, Sink] = {}

    def send(self, kind: int, payload: bytes = b"", fd: int = channel.WHOLE) -> None:
        self.relay.send(kind, stream_of(self.number, fd), payload)

    def begin(self) -> None:
        """Tell the agent; from here on init can be heard."""
        asked = self.asked
        modes = [channel.NULL] * 3
        if self.slave < 0:
            modes = modes_of(asked.stdio)
            self.attach(*[fd if mode != channel.NULL else -1 for fd, mode in zip(asked.stdio, modes, strict=True)])
        else:
            self.attach(self.slave, self.slave, -1)
            pty.control(self.slave)
        self.relay.write(channel.frames(BYTES, stream_of(self.number), asked.plan))
        self.relay.write(
            channel.spawn(
                self.number, flags=asked.flags, step=asked.step, target=asked.target,
                stdio=(modes[0], modes[1], modes[2]), cgroup=asked.cgroup,
                cgroup_writes=asked.cgroup_writes, task_writes=asked.task_writes,
            )
        )  # fmt: skip
        for fd in {*asked.stdio} - {-1}:
            posix.close(fd)
        if self.sync >= 0:
            posix.set_blocking(self.sync, False)
            self.relay.loop.add(self.sync, self.hear)
        if self.source is not None and self.slave < 0:
            self.source.grant(channel.WINDOW)

    def attach(self, stdin: int, stdout: int, stderr: int) -> None:
        loop = self.relay.loop
        if stdin >= 0:
            self.source = Source(loop, own(stdin, posix.O_RDONLY), self.typed, lambda: self.send(END, fd=0))
        for number, fd in ((1, stdout), (2, stderr)):
            if fd >= 0:
                self.sinks[number] = sink = Sink(
                    loop, own(fd, posix.O_WRONLY), self.giver(number), self.closer(number)
                )  # fmt: skip
                sink.drained = self.settle

    def giver(self, number: int) -> Callable[[int], None]:
        return lambda count: self.send(CREDIT, channel.NUMBER.pack(count), number)

    def closer(self, number: int) -> Callable[[], None]:
        return lambda: self.send(END, fd=number)

    def typed(self, data: bytes) -> None:
        if self.slave >= 0:
            self.resize()
        self.send(DATA, data, 0)

    # -- the engine ---------------------------------------------------------------------------------------------

    def hear(self, events: int) -> None:
        """An order of the engine's, or its end."""
        try:
            data, passed = unix.receive(self.sync, 4)
        except BlockingIOError:
            return
        except OSError:
            data, passed = b"", -1
        if data == DETACH and self.ready and self.gate.fd >= 0:
            self.let_go()
            self.gate.listen()
        elif data in (GO, START):
            self.order(data, passed)
        elif not self.ordered:  # the host is gone, or does not know what it says: so are we
            self.let_go()
            self.kill(SIGKILL)
            if self.asked.abandoned is not None:
                self.asked.abandoned()
        else:
            self.let_go()
        if passed >= 0:
            posix.close(passed)

    def order(self, order: bytes, passed: int) -> None:
        """GO or START, with the bytes of what came along."""
        if passed >= 0:
            self.relay.write(channel.frames(BYTES, stream_of(self.number), contents(passed)))
        self.ordered = self.ordered or order == START
        self.send(ORDER, order)

    def let_go(self) -> None:
        """The engine hears no more of us."""
        if self.sync >= 0:
            self.relay.loop.remove(self.sync)
            posix.close(self.sync)
            self.sync = -1

    def opened(self, caller: int, passed: int) -> None:
        """Who opened the gate hears what becomes of it."""
        self.sync = caller
        self.relay.loop.add(caller, self.hear)
        self.order(START, passed)

    # -- the agent ----------------------------------------------------------------------------------------------

    def report(self, message: bytes) -> None:
        """Init's message.  Raises BadFrame for what init never says to the engine of a VM."""
        if len(message) != MESSAGE.size:
            raise BadFrame(f"a report of {len(message)} bytes")
        kind = MESSAGE.unpack(message)[0]
        if kind not in PASSED_ON or (kind == READY and self.ready):
            raise BadFrame(f"a report of type {kind}")
        master = -1
        if kind == TERMINAL:
            if self.master < 0:
                raise BadFrame("a terminal that nobody wanted")
            master, self.master = self.master, -1
            self.size = bytes(channel.SIZE.size)
            if self.source is not None:
                self.source.grant(channel.WINDOW)
        self.ready = self.ready or kind == READY
        self.tell(message, master)
        if master >= 0:
            posix.close(master)

    def tell(self, message: bytes, fd: int = -1) -> None:
        if self.sync < 0:
            return
        try:
            unix.send(self.sync, message, fd)
        except BlockingIOError as error:  # some hundred messages that the engine has not read
            raise BadFrame("too many reports") from error
        except OSError:  # it is gone, and we hear so
            return

    def fail(self, step: int, errno: int, call: str, detail: str) -> None:
        """In init's place: what is wrong with the machine itself."""
        try:
            self.tell(MESSAGE.pack(FAILED, step, errno, 0, 0, call.encode()[:23], detail.encode()[:207]))
        except BadFrame:
            return

    def closed(self) -> None:
        """Init's end of file: exec has succeeded, or it is dead; the engine tells the two apart as on the host."""
        self.let_go()

    def data(self, number: int, payload: bytes) -> None:
        sink = self.sinks.get(number)
        if sink is not None and not sink.write(payload):
            raise BadFrame("more output than credit")

    def end(self, number: int) -> None:
        if number == 0 and self.source is not None:
            self.source.close()
        elif number in self.sinks:
            self.sinks[number].finish()

    def credit(self, count: int) -> None:
        """For input that it has taken; or says so.  Raises BadFrame."""
        if self.source is None:
            return
        if count > self.source.outstanding:
            raise BadFrame("credit for what was not taken")
        self.source.grant(count)

    def exited(self, ended: Exited | None) -> None:
        """None: nobody is left to say how."""
        self.over, self.ended = True, ended
        self.settle()

    def settle(self) -> None:
        """The end, as soon as everything has been written."""
        if not self.over or not all(sink.empty for sink in self.sinks.values()):
            return
        self.over = False  # once
        self.release()
        self.asked.exited(self.ended)

    def release(self) -> None:
        """Everything of ours; who still writes to us in the guest is none of the program's concern any more."""
        self.relay.forget(self.number)
        self.let_go()
        self.gate.close()
        for end in (self.source, *self.sinks.values()):
            if end is not None:
                end.close()
        for fd in (self.master, self.slave):
            if fd >= 0:
                posix.close(fd)
        self.master = self.slave = -1

    # -- people -------------------------------------------------------------------------------------------------

    def kill(self, number: int) -> None:
        """A signal; but what our own end of a terminal means to say, the guest's says by itself."""
        if number == SIGWINCH and self.slave >= 0 and self.resize():
            return
        if number in (SIGHUP, SIGCONT) and self.hung_up():
            return
        self.send(SIGNAL, channel.NUMBER.pack(number))

    def hung_up(self) -> bool:
        """Has everybody closed our pty's master?  Then the guest's terminal will say so, and no signal of ours need."""
        watch = select.poll()
        if self.slave >= 0:
            watch.register(self.slave, 0)
        return bool(watch.poll(0))

    def resize(self) -> bool:
        """Has the size of our pty changed?  Then so does that of the guest's."""
        size = pty.size_of(self.slave)
        if size == self.size or not self.size:
            return False
        self.size = size
        self.send(RESIZE, size)
        return True
