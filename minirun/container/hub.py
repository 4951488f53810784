"""The monitor's poll loop: the program's ends on one side, the log and the clients on the other.

Output is read in pieces, written to the log, and queued for every client that wants it.  While one of them has too
much waiting, output is not read at all, so that the program waits as it would for a pipe; a client that takes nothing
for five seconds is sent away, unless it said that it is a pipe's end itself (``run`` in the foreground).
Input goes the other way: clients are not read while the program has not taken what they sent.
"""

from __future__ import annotations

import posix
import select
import time

from minirun.container.client import Client
from minirun.container.protocol import CHUNK, LARGEST
from minirun.linux import unix
from minirun.linux.signalfd import read_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.container.logfile import LogFile
    from minirun.engine.init import Init

STREAMS = {"O": "stdout", "R": "stderr"}
WANTED = {"O": "o", "R": "e"}
LAST = 4 << 20  # bytes read after the end, should somebody who lives on write without end


class Ends:
    """The program's: descriptors of ours, -1 for none."""

    def __init__(self) -> None:
        self.stdin = -1  # a pipe's, or the terminal's master
        self.outputs: dict[int, str] = {}  # descriptor -> O or R
        self.terminal = -1

    def close_stdin(self) -> None:
        if self.stdin >= 0 and self.stdin != self.terminal:
            posix.close(self.stdin)
        self.stdin = -1

    def close(self) -> None:
        self.close_stdin()
        for fd in {*self.outputs, self.terminal} - {-1}:
            posix.close(fd)
        self.outputs, self.terminal = {}, -1


class Hub:
    """``signal`` passes a signal on to the program; ``stopping`` is called when no policy may restart it."""

    def __init__(
        self, listener: int, signals: int, signal: Callable[[int], None], stopping: Callable[[], None]
    ) -> None:
        self.listener = listener
        self.signals = signals
        self.signal = signal
        self.stopping = stopping
        self.settle: Callable[[], None] | None = None  # once, when nothing has happened for a while
        self.log: LogFile | None = None
        self.clients: list[Client] = []
        self.ends = Ends()
        self.pending = b""  # for the program's input
        self.ending = False  # input ends once that is written
        self.last = b"\n"

    # the loop

    def run(self, init: Init, patience: float) -> int:
        """Until the program has ended and all that it wrote is passed on; its exit code."""
        left: float | None = patience
        while True:
            events = self.poll({init.pidfd: select.POLLIN}, left)
            if events is None:
                left = None
                if self.settle is not None:
                    self.settle()
            elif init.pidfd in events:
                code = init.wait()
                self.drain()
                return code

    def idle(self, seconds: float, enough: Callable[[], bool]) -> None:
        """Between two runs: only clients are served."""
        end = time.monotonic() + seconds
        while not enough() and (left := end - time.monotonic()) > 0:
            self.poll({}, left)

    def poll(self, others: dict[int, int], seconds: float | None) -> dict[int, int] | None:
        """One turn; ``others`` are the caller's to look after.  None: nothing happened in that time."""
        poller = select.poll()
        for fd, mask in {**self.interests(), **others}.items():
            poller.register(fd, mask)
        if any(client.queue for client in self.clients):
            seconds = min(1.0, seconds) if seconds is not None else 1.0
        events = dict(poller.poll(None if seconds is None else seconds * 1000))
        for fd, mask in events.items():
            self.handle(fd, mask)
        for client in [client for client in self.clients if client.stuck()]:
            self.drop(client)
        return events or None

    def interests(self) -> dict[int, int]:
        found = {fd: select.POLLIN for fd in (self.listener, self.signals) if fd >= 0}
        room = not any(client.full() for client in self.clients)
        for fd in self.ends.outputs:
            if room:
                found[fd] = select.POLLIN
        if self.pending and self.ends.stdin >= 0:
            found[self.ends.stdin] = found.get(self.ends.stdin, 0) | select.POLLOUT
        takes = len(self.pending) < CHUNK
        for client in self.clients:
            found[client.fd] = (select.POLLIN if takes else 0) | (select.POLLOUT if client.queue else 0)
        return found

    def handle(self, fd: int, mask: int) -> None:
        if fd == self.listener:
            self.accept()
        elif fd == self.signals:
            number = read_signal(fd)
            if number:
                self.signal(number)
        elif fd in self.ends.outputs or fd == self.ends.stdin:
            if mask & (select.POLLOUT | select.POLLERR) and fd == self.ends.stdin:
                self.feed()
            if mask & ~select.POLLOUT and fd in self.ends.outputs:
                self.read(fd)
        else:
            for client in self.clients:
                if client.fd == fd:
                    self.serve(client, mask)
                    break

    # output

    def read(self, fd: int) -> int:
        """One piece; the end closes the descriptor."""
        letter = self.ends.outputs[fd]
        try:
            data = posix.read(fd, CHUNK)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last slave of the terminal is closed
            data = b""
        if not data:
            del self.ends.outputs[fd]
            if fd != self.ends.terminal:
                posix.close(fd)
            return 0
        if self.log is not None:
            self.log.write(STREAMS[letter], data)
        record = letter.encode() + data
        for client in [*self.clients]:
            if WANTED[letter] in client.wants:
                client.give(record)
            elif "l" in client.wants:
                client.nudge(b"L")
            if client.queue and not client.flush():
                self.drop(client)
        return len(data)

    def drain(self) -> None:
        """What is left after the program's end."""
        total = 0
        for fd in [*self.ends.outputs]:
            while fd in self.ends.outputs and total < LAST and (count := self.read(fd)):
                total += count
        if self.log is not None:
            self.log.flush()
        self.ends.close()
        self.pending, self.ending, self.last = b"", False, b"\n"

    # input

    def feed(self) -> None:
        if self.ends.stdin < 0:
            self.pending = b""
            return
        try:
            self.pending = self.pending[posix.write(self.ends.stdin, self.pending) :] if self.pending else b""
        except BlockingIOError:
            pass
        except OSError:  # the program has closed it
            self.pending = b""
            self.ends.close_stdin()
        if self.ending and not self.pending:
            self.ending = False
            self.ends.close_stdin()

    def end_input(self) -> None:
        """A pipe ends; a terminal gets Ctrl-D: twice in the middle of a line, where one only sends it."""
        if self.ends.stdin < 0:
            return
        if self.ends.terminal >= 0:
            self.pending += b"\x04" if self.last == b"\n" else b"\x04\x04"
        else:
            self.ending = True
        self.feed()

    # clients

    def accept(self) -> None:
        try:
            self.clients.append(Client(unix.accept(self.listener)))
        except OSError:
            return

    def serve(self, client: Client, mask: int) -> None:
        if mask & select.POLLOUT and not client.flush():
            self.drop(client)
            return
        if not mask & ~select.POLLOUT:
            return
        try:
            data, passed = unix.receive(client.fd, LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data, passed = b"", -1
        if passed >= 0:
            posix.close(passed)
        if not data:
            if "i" in client.wants and "p" in client.wants and self.ends.terminal < 0:
                self.end_input()  # the foreground of `run -i` was killed: its input has ended
            self.drop(client)
            return
        self.obey(client, data[:1], data[1:])

    def obey(self, client: Client, letter: bytes, data: bytes) -> None:
        if letter == b"A":
            client.wants = data.decode("ascii", "replace")
        elif letter == b"I" and "i" in client.wants and self.ends.stdin >= 0:
            self.pending += data
            self.last = data[-1:] or self.last
            self.feed()
        elif letter == b"E" and "i" in client.wants:
            self.end_input()
        elif letter == b"W" and len(data) == 4 and self.ends.terminal >= 0:
            resize(self.ends.terminal, data)
        elif letter == b"S" and len(data) == 1:
            self.signal(data[0])
        elif letter == b"T":
            self.stopping()
            client.give(b"K")
            client.flush()
        elif letter == b"D":
            self.drop(client)

    def drop(self, client: Client) -> None:
        client.close()
        self.clients = [other for other in self.clients if other is not client]

    def say(self, record: bytes) -> None:
        for client in self.clients:
            client.give(record)
            client.flush()

    def farewell(self, record: bytes) -> None:
        """The last word to everybody who is there."""
        for client in [*self.clients]:
            client.give(record)
            client.leaving = True
            if not client.flush():
                self.drop(client)

    def finish(self) -> None:
        """Nobody new is served; who is there gets what waits for him."""
        posix.close(self.listener)
        self.listener = -1
        while self.clients:
            self.poll({}, 1.0)


def resize(terminal: int, data: bytes) -> None:
    import fcntl
    import termios

    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, data + bytes(4))
    except OSError:
        return
