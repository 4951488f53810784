"""Time one program, cold, from outside: posix_spawn(3) of ``stopwatch.c``, which spawns, waits and reports.

While it waits, this process reaps whatever else ends, as a container shim would: a runtime that polls for the death
of a container's init must not find an unreaped zombie because the benchmark was not looking.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from scratch import Scratch

REPORT_FD = 3
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

# The kernel takes a network namespace down after its last process has gone, on a worker thread.  A pause keeps one
# container's burial out of the next one's time.
SETTLE_SECONDS = 0.01
LIMIT_SECONDS = 60


class Sample(NamedTuple):
    """One execution: wall time, and the peak RSS of its largest process."""

    ms: float
    peak_kib: int


class CommandFailed(Exception):
    """The timed program did not exit with 0; ``reason`` is what it said about why, in one line."""

    def __init__(self, argv: list[str], how: str, said: str) -> None:
        super().__init__(f"{' '.join(argv)}: {how}: {said or 'nothing on stderr'}")
        self.reason = "; ".join(line.strip() for line in said.splitlines()) or how


class Stopwatch:
    def __init__(self, scratch: Scratch) -> None:
        self.program = str(scratch.compile("stopwatch.c"))
        self.stderr = scratch.path / "stderr"

    def time(self, argv: list[str]) -> Sample:
        """Run ``argv`` (an absolute path first) to its end."""
        time.sleep(SETTLE_SECONDS)
        read_end, write_end = os.pipe()
        try:
            pid = os.posix_spawn(
                self.program,
                [self.program, *argv],
                ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, str(self.stderr), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                    (os.POSIX_SPAWN_DUP2, write_end, REPORT_FD),
                ],
                # Python ignores SIGPIPE, and what is ignored stays ignored across exec.
                setsigdef=[signal.SIGPIPE],
            )
            os.close(write_end)
            write_end = -1
            with time_limit(argv):
                while os.waitpid(-1, 0)[0] != pid:
                    pass
            report = os.read(read_end, 100).split()
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)
        return self.sample(argv, report)

    def sample(self, argv: list[str], report: list[bytes]) -> Sample:
        nanoseconds, peak, status = [int(word) for word in report] or [0, 0, -1]
        if status != 0:
            said = self.stderr.read_text(errors="replace").strip()
            how = f"exit status {os.waitstatus_to_exitcode(status)}" if status >= 0 else "the stopwatch itself failed"
            raise CommandFailed(argv, how, said)
        return Sample(nanoseconds / 1e6, peak)


@contextmanager
def time_limit(argv: list[str]) -> Iterator[None]:
    """A runtime under development may hang; the alarm's exception ends the wait (PEP 475)."""

    def expired(*_: object) -> None:
        raise TimeoutError(f"{' '.join(argv)}: still running after {LIMIT_SECONDS} s")

    signal.signal(signal.SIGALRM, expired)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def waiting_init_kib(pid: int) -> tuple[int, int]:
    """(RSS, PSS) of a created container's init: proc_pid_smaps(5).

    PSS divides each shared page by the number of its users: what the machine would get back.
    """
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, _ = line.split()
        fields[name.rstrip(":")] = int(value)
    return fields["Rss"], fields["Pss"]
