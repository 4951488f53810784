"""One run of each kind, by the real command, cold, as a caller would start it.

    timed   the bundle's program, with one byte of ours before its first instruction: when that came, when all ended
    look    minirun-measure in the program's place: it reports and waits, and the host looks at it meanwhile
    traced  the same, making system calls that do nothing, under strace(1): what reaches the host's kernel

All clocks are this process's, but for the costs that ``look`` reports from inside.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

from minirun.errors import MinirunError
from minirun.lab.bundles import Original
from minirun.lab.isolations import Isolation
from minirun.lab.watch import Process, descendants, system_calls
from minirun.record import Record
from minirun.runtime.machine import ask
from minirun.runtime.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 300  # a Linux guest in an emulated machine is slow
MARK = b"\xff"


class Timed(Record):
    """Milliseconds from the start of the command; what the program said, and how it ended."""

    first: float
    whole: float
    code: int
    output: bytes


class Look(Record):
    """``seen``: the files and folders that the program read; ``costs``: nanoseconds by name, one for each round."""

    seen: dict[str, str]
    costs: dict[str, list[int]]
    processes: list[Process]
    exits: dict[str, int]


class Runner:
    """Runs bundles under one isolation, with a state directory of its own below ``work``."""

    def __init__(self, program: str, isolation: Isolation, original: Original, work: Path) -> None:
        self.isolation = isolation
        self.original = original
        self.work = work / isolation.name
        self.work.mkdir(parents=True)
        self.state = work / "state"
        self.base = [program, "--root", str(self.state), *isolation.flags]
        self.number = 0

    def staged(self, *args: str) -> list[str]:
        """The command that runs minirun-measure with ``args`` in the bundle; every container has a name of its own."""
        self.number += 1
        folder = self.original.staged(self.work / f"bundle-{self.number}", *args)
        return [*self.base, "run", "-b", str(folder), self.name()]

    def name(self) -> str:
        return f"compare-{os.getpid()}-{self.isolation.name}-{self.number}"

    def timed(self) -> Timed:
        argv = self.staged("go", *self.original.command)
        with self.started(argv, subprocess.DEVNULL) as process:
            began = time.monotonic()
            first = self.read(process, 1)
            seen = time.monotonic()
            output = first.removeprefix(MARK) + self.read(process)
            code = process.wait(SECONDS)
            ended = time.monotonic()
        if not first.startswith(MARK) or "minirun-measure:" in self.said():
            raise self.failed(argv, code)
        return Timed(first=(seen - began) * 1e3, whole=(ended - began) * 1e3, code=code, output=output)

    def look(self, rounds: int) -> Look:
        argv = self.staged("look", str(rounds))
        with self.started(argv, subprocess.PIPE) as process:
            text = b""
            while not text.endswith(b"== ready\n"):
                more = self.read(process, 65536)
                if not more:
                    raise self.failed(argv, process.wait(SECONDS))
                text += more
            family = descendants(process.pid)
            exits = self.exits()
            assert process.stdin
            process.stdin.close()
            process.wait(SECONDS)
        seen, costs = parsed(text.decode(errors="replace"))
        return Look(seen=seen, costs=costs, processes=family, exits=exits)

    def traced(self, calls: int) -> dict[str, int]:
        """System calls by name of everything that the command starts; nothing where there is no strace."""
        if not shutil.which("strace"):
            return {}
        summary = self.work / "strace"
        argv = ["strace", "-f", "-qq", "-c", "-o", str(summary), *self.staged("calls", str(calls))]
        with self.started(argv, subprocess.DEVNULL) as process:
            code = process.wait(SECONDS)
        if code:
            raise self.failed(argv, code)
        return system_calls(summary.read_text())

    def exits(self) -> dict[str, int]:
        """How often the guest left for the VMM, by reason; nothing where there is no guest."""
        entry = Store(str(self.state)).open(self.name())
        try:
            answer = ask(entry, b"exits")
        except (MinirunError, OSError):  # nobody listens: a container
            return {}
        finally:
            entry.close()
        return {name: count for name, count in json.loads(answer).items() if count}

    @contextlib.contextmanager
    def started(self, argv: list[str], stdin: int) -> Iterator[subprocess.Popen[bytes]]:
        """The process; whatever happens, it and its container are gone afterwards."""
        with open(self.work / "stderr", "wb") as stderr:
            process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr)
        try:
            yield process
        except subprocess.TimeoutExpired as error:
            raise MinirunError(
                f"cannot compare under {self.isolation.name}", reason=f"no end after {SECONDS} s: {' '.join(argv)}"
            ) from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
            if process.returncode:
                clear = [*self.base, "delete", "--force", self.name()]
                subprocess.run(clear, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)

    def read(self, process: subprocess.Popen[bytes], most: int = 0) -> bytes:
        """What comes next of the output, at most ``most`` bytes; with 0, all of it."""
        assert process.stdout
        data = b""
        deadline = time.monotonic() + SECONDS
        while True:
            if not select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise MinirunError(f"cannot compare under {self.isolation.name}", reason=f"silent for {SECONDS} s")
            piece = os.read(process.stdout.fileno(), most or 65536)
            data += piece
            if most or not piece:
                return data

    def said(self) -> str:
        return (self.work / "stderr").read_text(errors="replace").strip()

    def failed(self, argv: list[str], code: int) -> MinirunError:
        said = [line.strip() for line in self.said().partition("minirun-measure: ")[2].splitlines()] or [
            " ".join(line.split()) for line in self.said().removeprefix("minirun: ").splitlines()
        ]
        return MinirunError(
            f"cannot run the bundle under {self.isolation.name}",
            reason="; ".join(said) or f"exit code {code}",
            hint=f"{' '.join(['minirun', *self.isolation.flags, 'run'])} shows the same",
        )


def parsed(text: str) -> tuple[dict[str, str], dict[str, list[int]]]:
    """What ``minirun-measure look`` printed, by section."""
    seen: dict[str, str] = {}
    for part in ("\n" + text).split("\n== ")[1:]:
        name, _, body = part.partition("\n")
        seen[name] = body
    costs: dict[str, list[int]] = {}
    for line in seen.pop("costs", "").splitlines():
        word, _, rest = line.partition(" ")
        if word == "cost":
            name, value = rest.split()
            costs.setdefault(name, []).append(int(value))
        elif word == "place":
            seen["place"] = rest
    seen.pop("ready", None)
    return seen, costs
