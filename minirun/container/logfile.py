"""The log of a container, as docker's json-file driver writes it: a line of JSON for each line that was printed.

    {"log":"hello\\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}

A line longer than 16 KiB is cut into several records, of which only the last ends with a newline.  When ``log`` would
grow beyond ``max-size`` it becomes ``log.1``, that one ``log.2``, and so on: there are at most ``max-file`` of them.
Only whole records are written, each piece in one write(2); a monitor that is killed leaves a partial one at worst, and
the next begins behind it on a line of its own.
"""

from __future__ import annotations

import posix
import time
from _json import encode_basestring_ascii as quote

from minirun.container.record import stamp
from minirun.errors import USAGE, MinirunError

TYPE_CHECKING = False

LONGEST = 16384  # bytes of one record's text
SIZE, FILES = 10 << 20, 3
DRIVERS = ("json-file", "none", "passthrough")
FLAGS = posix.O_RDWR | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC | posix.O_NOFOLLOW
UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def check(driver: str, options: dict[str, str]) -> None:
    """--log-driver and --log-opt.  Raises MinirunError that names what is wrong."""
    if driver not in DRIVERS:
        raise MinirunError(f"unknown log driver {driver!r}", hint="one of " + ", ".join(DRIVERS), exit_code=USAGE)
    known = ("max-size", "max-file") if driver == "json-file" else ()
    for name in options:
        if name not in known:
            reason = f"the driver {driver} has " + (" and ".join(known) or "no options")
            raise MinirunError(f"unknown --log-opt {name}", reason=reason, exit_code=USAGE)
    if driver == "json-file":
        limits(options)


def limits(options: dict[str, str]) -> tuple[int, int]:
    """Bytes of a file (0: no limit) and the number of files."""
    text = options.get("max-size", "").lower()
    size = SIZE
    if text == "-1":
        size = 0
    elif text:
        digits = text.rstrip("bkmgi")
        unit = text[len(digits) :].replace("ib", "").removesuffix("b")
        if not (digits.isascii() and digits.isdigit()) or unit not in UNITS or not int(digits):
            raise MinirunError("--log-opt max-size wants a size as 10m", reason=f"not {text!r}", exit_code=USAGE)
        size = int(digits) * UNITS[unit]
    files = options.get("max-file", str(FILES))
    if not (files.isascii() and files.isdigit()) or not 1 <= int(files) <= 1000:
        raise MinirunError("--log-opt max-file wants a number from 1 to 1000", reason=f"not {files!r}", exit_code=USAGE)
    return size, int(files)


class LogFile:
    """Open for appending; ``write`` takes what a stream gave, in pieces of any size."""

    def __init__(self, directory: str, options: dict[str, str]) -> None:
        self.path = f"{directory}/log"
        self.most, self.files = limits(options)
        self.partial = {"stdout": b"", "stderr": b""}
        self.fd = self.size = -1
        self.open()

    def open(self) -> None:
        self.fd = posix.open(self.path, FLAGS, 0o600)
        self.size = posix.fstat(self.fd).st_size
        if self.size and posix.pread(self.fd, 1, self.size - 1) != b"\n":  # its writer was killed in the middle
            self.size += posix.write(self.fd, b"\n")

    def write(self, stream: str, data: bytes) -> None:
        data = self.partial[stream] + data
        lines = data.split(b"\n")
        rest = lines.pop()
        cut = [line + b"\n" for line in lines]
        if any(len(line) > LONGEST for line in cut) or len(rest) > LONGEST:
            cut, rest = short(cut, rest)
        self.partial[stream] = rest
        self.records(stream, cut)

    def flush(self) -> None:
        """The streams have ended: so have their last lines."""
        for stream, rest in self.partial.items():
            if rest:
                self.partial[stream] = b""
                self.records(stream, [rest])

    def records(self, stream: str, lines: list[bytes]) -> None:
        if not lines:
            return
        tail = f',"stream":"{stream}","time":"{stamp(time.time_ns())}"}}\n'
        made = [f'{{"log":{quote(line.decode("utf-8", "replace"))}{tail}'.encode() for line in lines]
        start, held = 0, self.size
        for at, record in enumerate(made):
            if self.most and held + len(record) > self.most and (held > 0):
                self.append(b"".join(made[start:at]))
                self.rotate()
                start, held = at, 0
            held += len(record)
        self.append(b"".join(made[start:]))

    def append(self, data: bytes) -> None:
        """A full disk must not stop the container: what has no room is lost, as a whole record if that is possible."""
        self.size += len(data)
        try:
            while data:
                data = data[posix.write(self.fd, data) :]
        except OSError:
            return

    def rotate(self) -> None:
        """The next file is opened first: where there is no room for one the old one goes on."""
        new = f"{self.path}.new"
        try:
            fd = posix.open(new, FLAGS, 0o600)
        except OSError:
            return
        try:
            for number in range(self.files - 1, 0, -1):
                older = f"{self.path}.{number - 1}" if number > 1 else self.path
                try:
                    posix.rename(older, f"{self.path}.{number}")
                except FileNotFoundError:
                    continue
            posix.rename(new, self.path)  # in its place, if there is to be one file only
        except OSError:
            posix.close(fd)
            return
        posix.close(self.fd)
        self.fd, self.size = fd, 0

    def close(self) -> None:
        self.flush()
        posix.close(self.fd)


def short(lines: list[bytes], rest: bytes) -> tuple[list[bytes], bytes]:
    """Each no longer than a record may be."""
    found = []
    for line in lines:
        found += [line[at : at + LONGEST] for at in range(0, len(line), LONGEST)]
    while len(rest) > LONGEST:
        found.append(rest[:LONGEST])
        rest = rest[LONGEST:]
    return found, rest
