"""Reading a container's log: from its rotated files to the one that grows, and on across a rotation.

A record that was cut short (its writer was killed) is left out.  Following waits for the monitor's word that the log
has grown; when the monitor is gone, what is there is all there will be.
"""

from __future__ import annotations

import posix
import select

from minirun.container import protocol
from minirun.container.record import seconds_of
from minirun.errors import USAGE, MinirunError
from minirun.linux import unix
from minirun.record import Record
from minirun.spec.decode import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 65536
SLOW = 1000  # milliseconds after which a follower looks without having been told


class Wanted(Record):
    since: float = 0.0
    until: float = 0.0  # 0: no end
    tail: int = -1  # -1: all
    timestamps: bool = False


class Line(Record):
    text: str
    stream: str
    time: str


def parse(raw: bytes) -> Line | None:
    try:
        found = decode(raw, "the log")
        return Line(text=found["log"], stream=found["stream"], time=found["time"])
    except (MinirunError, LookupError, TypeError):
        return None


def files(directory: str) -> list[str]:
    """Oldest first."""
    numbers = [int(name[4:]) for name in posix.listdir(directory) if name.startswith("log.") and name[4:].isdigit()]
    return [f"{directory}/log.{number}" for number in sorted(numbers, reverse=True)] + [f"{directory}/log"]


class Reader:
    """Everything that is there, in order; ``more`` goes on where the last call ended."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.fd = -1
        self.rest = b""
        self.opened: list[int] = []
        for path in files(directory):
            try:
                self.opened.append(posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW))
            except FileNotFoundError:
                continue

    def more(self) -> Iterator[bytes]:
        """Whole records."""
        while True:
            if self.fd < 0:
                if not self.opened:
                    return
                self.fd = self.opened.pop(0)
            while data := posix.read(self.fd, PIECE):
                *records, self.rest = (self.rest + data).split(b"\n")
                yield from records
            if not self.next_file():
                return

    def next_file(self) -> bool:
        """At the end of a file: is it one that does not grow any more?"""
        if not self.opened and not self.rotated():
            return False
        posix.close(self.fd)
        self.fd, self.rest = -1, b""
        return True

    def rotated(self) -> bool:
        """Ours is not ``log`` any more: what follows it is opened.  With it gone altogether, the oldest that is there
        follows."""
        own = posix.fstat(self.fd).st_ino
        found: list[int] = []
        for path in reversed(files(self.directory)):
            try:
                fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            if posix.fstat(fd).st_ino == own:
                posix.close(fd)
                break
            found.insert(0, fd)
        if not found or posix.read(self.fd, 0):
            return False
        self.opened = found
        return True

    def close(self) -> None:
        for fd in [self.fd, *self.opened]:
            if fd >= 0:
                posix.close(fd)


def fits(line: Line, wanted: Wanted) -> bool:
    if not wanted.since and not wanted.until:
        return True
    at = seconds_of(line.time)
    return at >= wanted.since and (not wanted.until or at <= wanted.until)


def show(directory: str, wanted: Wanted, put: Callable[[Line], None], follow: bool, alive: Callable[[], bool]) -> None:
    """``put`` gets each line; with ``follow`` until the container has ended."""
    link = -1
    if follow:
        try:
            link = protocol.connect(directory, "l")  # before the first look: what comes behind it is told
        except OSError:
            link = -1
    reader = Reader(directory)
    try:
        last = lines(reader, wanted)
        for line in last[len(last) - wanted.tail :] if 0 <= wanted.tail < len(last) else last:
            put(line)
        while link >= 0:
            link = wait_for_more(link, alive)
            for line in lines(reader, wanted):
                put(line)
    finally:
        reader.close()
        if link >= 0:
            posix.close(link)


def lines(reader: Reader, wanted: Wanted) -> list[Line]:
    found = (parse(raw) for raw in reader.more())
    return [line for line in found if line is not None and fits(line, wanted)]


def wait_for_more(link: int, alive: Callable[[], bool]) -> int:
    """The link, or -1 when the container has ended."""
    poller = select.poll()
    poller.register(link, select.POLLIN)
    if not poller.poll(SLOW):
        return link
    try:
        data = unix.receive(link, protocol.LARGEST)[0]
    except OSError:
        data = b""
    if data[:1] == b"L":
        return link
    posix.close(link)
    return -1


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment(text: str, option: str, now: float) -> float:
    """--since and --until: a stamp, seconds since 1970, or how long ago (1h30m)."""
    if not text:
        return 0.0
    if text.replace(".", "", 1).isdigit() and text.isascii():
        return float(text)
    found = seconds_of(text) if len(text) >= 19 else seconds_of(f"{text}T00:00:00Z") if len(text) == 10 else 0.0
    if found:
        return found
    ago, number = 0.0, ""
    for letter in text:
        if letter.isdigit() or letter == ".":
            number += letter
        elif number and letter in UNITS:
            ago, number = ago + float(number) * UNITS[letter], ""
        else:
            number = "bad"
            break
    if number or not ago:
        hint = "as 2026-01-02T03:04:05Z, 1767323045, or 1h30m for so long ago"
        raise MinirunError(f"{option}: {text!r} is no time", hint=hint, exit_code=USAGE)
    return now - ago
