"""The VMM's half of the channel: tasks, requests, signals.

    relay = Relay(loop, port)           # a port of the console device
    relay.broken = ...                  # takes words: the agent speaks nonsense, the machine is to be stopped
    relay.spawn(Spawn(...))             # waits for the agent's HELLO by itself; returns the Task
    relay.signals(signalfd)             # all but SIGWINCH and SIGCHLD go to the first task's program
    relay.read(path, answer)            # a file of the guest's: answer(errno, bytes)
    relay.lost()                        # the machine has ended: everybody who waits is told

Whatever the guest says is checked here or in ``Task``; what does not fit is BadFrame, after which nothing of it is
listened to any more.
"""

from __future__ import annotations

from minirun.vm import channel
from minirun.vm.channel import (
    ANSWER,
    CLOSED,
    CREDIT,
    DATA,
    END,
    EXITED,
    HELLO,
    LOG,
    POWEROFF,
    READ,
    REPORT,
    SPAWNED,
    TASKS,
    WHOLE,
    WRITE,
    BadFrame,
    Frames,
    Hello,
)
from minirun.vm.task import BACKLOG, Spawn, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from minirun.vm.loop import Loop

    class Port(Protocol):
        """A byte stream to the guest: ``send`` never blocks and never refuses; ``held`` is what waits there."""

        held: bytearray
        on_data: Callable[[bytes], None]

        def send(self, data: bytes) -> None: ...


__all__ = ["Relay", "Spawn"]
SIGCHLD = 17
ESHUTDOWN = 108


class Relay:
    """One per machine."""

    def __init__(self, loop: Loop, port: Port) -> None:
        self.loop = loop
        self.port = port
        self.frames = Frames()
        self.tasks: dict[int, Task] = {}
        self.last = 0
        self.hello: Hello | None = None
        self.deaf = False
        self.waiting: list[bytes] = []  # said before the agent was there
        self.requests: dict[int, Callable[[int, bytes], None]] = {}
        self.asked = 0
        self.on_hello: Callable[[Hello], None] = lambda hello: None
        self.broken: Callable[[str], None] = lambda why: None
        self.log: Callable[[str], None] = lambda line: None
        port.on_data = self.received

    # -- out ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Whole frames."""
        if self.hello is None:
            self.waiting.append(data)
        elif not self.deaf:
            self.port.send(data)

    def send(self, kind: int, stream: int, payload: bytes) -> None:
        self.write(channel.frame(kind, stream, payload))

    def spawn(self, asked: Spawn) -> Task:
        """Raises ValueError if there are too many programs already."""
        if len(self.tasks) >= TASKS:
            asked.close()
            raise ValueError(f"{TASKS} programs at most")
        while True:
            self.last = self.last % 0x3FFF + 1
            if self.last not in self.tasks:
                break
        task = self.tasks[self.last] = Task(self, self.last, asked)
        task.begin()
        return task

    def forget(self, number: int) -> None:
        self.tasks.pop(number, None)

    def read(self, path: str, answer: Callable[[int, bytes], None]) -> None:
        """A file, up to 60 KiB of it; of a directory the names, each with a NUL.  ``answer`` takes errno and bytes."""
        self.request(READ, channel.encode(path), answer)

    def write_file(self, path: str, value: bytes, answer: Callable[[int, bytes], None]) -> None:
        self.request(WRITE, channel.encode(path) + value, answer)

    def request(self, kind: int, payload: bytes, answer: Callable[[int, bytes], None]) -> None:
        if self.deaf:
            answer(ESHUTDOWN, b"")
            return
        self.asked = (self.asked + 1) & 0xFFFFFFFF
        self.requests[self.asked] = answer
        self.send(kind, 0, channel.NUMBER.pack(self.asked) + payload)

    def power_off(self) -> None:
        """The agent syncs, and goes."""
        self.send(POWEROFF, 0, b"")

    def signals(self, fd: int) -> None:
        """A signalfd of the VMM's."""
        self.loop.add(fd, lambda events: self.signalled(fd))

    def signalled(self, fd: int) -> None:
        from minirun.linux.signalfd import read_signal

        while number := read_signal(fd):
            self.signal(number)

    def signal(self, number: int) -> None:
        """To the first program."""
        main = self.tasks.get(1)
        if main is not None and number != SIGCHLD:
            main.kill(number)

    # -- in -----------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self.deaf:
            return
        try:
            for kind, stream, payload in self.frames.feed(data):
                self.take(kind, stream, payload)
                if len(self.port.held) > BACKLOG:  # each byte of output is answered by credit, which must be taken
                    raise BadFrame("it does not take what it asks for")
        except BadFrame as error:
            self.deaf = True
            self.broken(str(error))

    def take(self, kind: int, stream: int, payload: bytes) -> None:
        """One frame.  Raises BadFrame."""
        if kind == HELLO:
            self.greet(channel.decode_hello(payload))
            return
        if self.hello is None:
            raise BadFrame(f"frame {kind} before HELLO")
        if kind == ANSWER:
            request, errno, data = channel.decode_answer(payload)
            waiting = self.requests.pop(request, None)
            if waiting is None:
                raise BadFrame("an answer to nothing")
            waiting(errno, data)
        elif kind == LOG:
            self.log(payload[:1000].decode("utf-8", "replace"))
        else:
            self.of_task(kind, stream, payload)

    def greet(self, hello: Hello) -> None:
        if self.hello is not None or hello.version != channel.VERSION:
            raise BadFrame(f"HELLO of version {hello.version}, {channel.VERSION} is wanted once")
        self.hello = hello
        held, self.waiting = self.waiting, []
        for data in held:
            self.port.send(data)
        self.on_hello(hello)

    def of_task(self, kind: int, stream: int, payload: bytes) -> None:
        task = self.tasks.get(stream >> 2)
        if task is None:  # its end and the guest's last words have crossed
            return
        fd = stream & 3
        if kind == DATA and fd in (1, 2):
            task.data(fd, payload)
        elif kind == END and fd != WHOLE:
            task.end(fd)
        elif kind == CREDIT and fd == 0:
            task.credit(channel.unpack(channel.NUMBER, payload)[0])
        elif kind == SPAWNED:
            task.pid = channel.unpack(channel.NUMBER, payload)[0]
        elif kind == REPORT:
            task.report(payload)
        elif kind == CLOSED:
            task.closed()
        elif kind == EXITED:
            task.exited(channel.decode_exited(payload))
        else:
            raise BadFrame(f"frame {kind} on stream {stream}")

    def lost(self) -> None:
        """The machine has ended.  What is still to be written is written; then ``exited(None)``."""
        self.deaf = True
        for answer in [*self.requests.values()]:
            answer(ESHUTDOWN, b"")
        self.requests.clear()
        for task in [*self.tasks.values()]:
            if not task.over:
                task.exited(None)
