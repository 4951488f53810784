"""The foreground's side of a monitor: our own descriptors, our terminal in raw mode, our signals.

One poll loop that never waits for one thing only: input is read while the monitor takes it, output is written while our
reader takes it, signals are passed on all the while.  Standard output may be a pipe that a shell shares with others, so
it is not made non-blocking; poll(2) promises room for PIPE_BUF bytes (pipe(7)).
"""

from __future__ import annotations

import posix
import select

from minirun.container import protocol
from minirun.errors import USAGE, MinirunError
from minirun.linux import unix
from minirun.linux.signalfd import read_signal, signalfd
from minirun.runtime.foreground import FORWARDED, SIGWINCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.container.life import Attach

PIECE = 4096  # PIPE_BUF
INTERRUPTS = (1, 2, 15)
STREAM = {b"O": 1, b"R": 2}
PATIENT = 2  # interrupts that are passed on; with the next one we leave, as docker does
ENOUGH = 64  # records waiting for our reader
REGULAR = 0o100000


def window() -> bytes:
    """The size of our terminal, as struct winsize begins; nothing if there is none."""
    import fcntl
    import termios

    try:
        return fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))[:4]
    except OSError:
        return b""


def watch(attach: Attach | None) -> int:
    """Begin to collect signals before there is anybody to pass them to, so that none is lost.  -1: none of interest."""
    if attach is None:
        return signalfd(INTERRUPTS)
    return signalfd(FORWARDED if attach.sig_proxy else (SIGWINCH,))


def until_it_runs(link: int, monitor: int, signals: int, warn: Callable[[str], None]) -> None:
    """Raises what the start failed with.  An interruption undoes the start: it becomes the monitor's."""
    poller = select.poll()
    poller.register(link, select.POLLIN)
    poller.register(signals, select.POLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd == signals:
                number = read_signal(signals)
                if number in INTERRUPTS:
                    posix.kill(monitor, number)
                continue
            data = unix.receive(link, protocol.LARGEST)[0]
            letter = data[:1]
            if letter == b"Y":
                return
            if letter == b"w":
                warn(data[1:].decode("utf-8", "replace"))
            elif letter == b"F":
                reap(monitor)
                raise protocol.unpack(data[1:])
            elif not data:
                reap(monitor)
                raise MinirunError("cannot start the container", reason="its monitor was killed")


def reap(monitor: int) -> None:
    try:
        posix.waitpid(monitor, 0)
    except ChildProcessError:  # our caller ignores SIGCHLD, and so do we
        return


def follow(link: int, attach: Attach, signals: int) -> int:
    """Until the program has ended; its exit code.  0 after the detach keys."""
    face = Face(link, attach, signals)
    try:
        return face.run()
    finally:
        face.restore()
        posix.close(link)


class Face:
    """One who looks at a container through our descriptors."""

    def __init__(self, link: int, attach: Attach, signals: int) -> None:
        self.link = link
        self.attach = attach
        self.signals = signals
        self.saved: list[Any] | None = None
        self.input = attach.stdin
        self.output: list[tuple[int, bytes]] = []
        self.dead: set[int] = set()  # our descriptors that nobody reads any more
        self.orders: list[bytes] = []
        self.code: int | None = None
        self.keys = detach_keys(attach.detach_keys) if attach.tty and attach.stdin else b""
        self.matched = 0
        self.interrupts = 0
        posix.set_blocking(link, False)
        self.regular = {fd for fd in (1, 2) if posix.fstat(fd).st_mode & 0o170000 == REGULAR}
        if attach.tty and attach.stdin and posix.isatty(0):
            from minirun.runtime.terminal import make_raw

            self.saved = make_raw()

    def restore(self) -> None:
        if self.saved is not None:
            from minirun.runtime.terminal import give_back

            give_back(self.saved)
            self.saved = None

    def run(self) -> int:
        while self.code is None or self.output:
            poller = select.poll()
            for fd, mask in self.interests().items():
                poller.register(fd, mask)
            for fd, mask in poller.poll():
                self.handle(fd, mask)
        return self.code

    def interests(self) -> dict[int, int]:
        found = {self.signals: select.POLLIN}
        if self.code is None:
            mask = select.POLLIN if len(self.output) < ENOUGH else 0
            found[self.link] = mask | (select.POLLOUT if self.orders else 0)
            if self.input and not self.orders:
                found[0] = select.POLLIN
        if self.output:
            fd = self.output[0][0]
            found[fd] = found.get(fd, 0) | select.POLLOUT
        return found

    def handle(self, fd: int, mask: int) -> None:
        if fd == self.signals:
            self.pass_on(read_signal(fd))
        elif fd == self.link:
            if mask & select.POLLOUT:
                self.send()
            if mask & ~select.POLLOUT and len(self.output) < ENOUGH:
                self.take()
        elif fd == 0 and self.input and mask & ~select.POLLOUT:
            self.read_input()
        elif self.output and fd == self.output[0][0]:
            self.write()

    # to the monitor

    def order(self, record: bytes) -> None:
        self.orders.append(record)
        self.send()

    def send(self) -> None:
        while self.orders:
            try:
                unix.send(self.link, self.orders[0])
            except BlockingIOError:
                return
            except OSError:  # gone: its last words are still to be read
                self.orders = []
                self.input = False
                return
            self.orders.pop(0)

    def pass_on(self, number: int) -> None:
        if number == SIGWINCH:
            if self.attach.tty and (size := window()):
                self.order(b"W" + size)
        elif number:
            self.interrupts += number in INTERRUPTS
            if self.interrupts > PATIENT:
                self.detach()
                raise MinirunError(
                    "left the container", reason=f"signal {number} came once more, and the program goes on",
                    hint="minirun container kill ends it: process 1 ignores signals that it does not handle",
                    exit_code=128 + number,
                )  # fmt: skip
            self.order(b"S" + bytes([number]))

    def read_input(self) -> None:
        try:
            data = posix.read(0, protocol.CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.input = False
            self.order(b"E")
            return
        if self.keys:
            data, left = self.without_keys(data)
            if data:
                self.order(b"I" + data)
            if left:
                self.detach()
            return
        self.order(b"I" + data)

    def without_keys(self, data: bytes) -> tuple[bytes, bool]:
        """What of it is meant for the program; True once the whole sequence has come.  As docker: the first keys are
        held back until it is clear that they are not the sequence."""
        found = b""
        for at in range(len(data)):
            byte = data[at : at + 1]
            if byte == self.keys[self.matched : self.matched + 1]:
                self.matched += 1
                if self.matched == len(self.keys):
                    return found, True
                continue
            found += self.keys[: self.matched]
            self.matched = 0
            if byte == self.keys[:1]:
                self.matched = 1
            else:
                found += byte
        return found, False

    def detach(self) -> None:
        self.order(b"D")
        self.input = False
        self.code = 0

    # from the monitor

    def take(self) -> None:
        try:
            data = unix.receive(self.link, protocol.LARGEST)[0]
        except BlockingIOError:
            return
        except OSError:
            data = b""
        letter = data[:1]
        if letter in STREAM:
            if STREAM[letter] not in self.dead:
                self.output.append((STREAM[letter], data[1:]))
        elif letter == b"X":
            self.code = int(data[1:])
        elif not data and self.code is None:
            raise MinirunError(
                "the container is out of reach", reason="its monitor was killed, or we did not read for too long",
                hint="minirun container ps -a shows what became of it",
            )  # fmt: skip

    def write(self) -> None:
        fd, data = self.output[0]
        try:
            count = posix.write(fd, data if fd in self.regular else data[:PIECE])
        except BlockingIOError:
            return
        except OSError:  # nobody reads our output any more: the program may go on
            self.dead.add(fd)
            self.output = [piece for piece in self.output if piece[0] != fd]
            return
        if count < len(data):
            self.output[0] = (fd, data[count:])
        else:
            self.output.pop(0)


CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def detach_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` or single letters, as docker has it; "" for none."""
    found = b""
    for word in text.split(",") if text else []:
        key = word.lower().removeprefix("ctrl-") if len(word) > 1 else ""
        if len(word) == 1 and word.isascii():
            found += word.encode()
        elif len(key) == 1 and key.isascii() and key.isalpha() and word.lower().startswith("ctrl-"):
            found += bytes([ord(key) - 96])
        elif key in CONTROL and word.lower().startswith("ctrl-"):
            found += bytes([CONTROL[key]])
        else:
            raise MinirunError(
                f"--detach-keys: {word!r} is no key", hint="a letter, or ctrl- and a letter or one of @[\\]^_",
                exit_code=USAGE,
            )  # fmt: skip
    return found
