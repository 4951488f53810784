"""Who takes part: minirun, its peers, the floor and the bare interpreter, each as a table of command lines.

A ``Subject`` is a name and, per verb, an argv; the floor and the interpreter have the verb ``run`` alone.  Nothing
else distinguishes them, so the measuring code never asks who it is measuring.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import peers
import usual
from scratch import Scratch
from stopwatch import CommandFailed, Stopwatch

ROOT = Path(__file__).resolve().parents[2]
MINIRUN = ROOT / ".venv" / "bin" / "minirun"
PYTHON = "/usr/bin/python3"

RUNTIMES = ("minirun", "runc", "crun")


@dataclass
class Subject:
    """One participant: ``commands`` maps a verb to its argv."""

    name: str
    commands: dict[str, list[str]]
    version: str = ""
    pid_file: Path = field(default_factory=Path)


def runtime(name: str, binary: Path, scratch: Scratch) -> Subject:
    """An OCI runtime, in runc's spelling, with a state directory and two bundles of its own."""
    own = scratch.path / name
    own.mkdir()
    short = str(scratch.bundle(f"{name}/true", ["/bin/true"]))
    long = str(scratch.bundle(f"{name}/sleep", ["/bin/sleep", "1000"]))
    pid_file = own / "pid"
    one, two = f"{name}-true", f"{name}-sleep"
    verbs = {
        "run": ["run", "--bundle", short, one],
        "create": ["create", "--bundle", long, "--pid-file", str(pid_file), two],
        "start": ["start", two],
        "state": ["state", two],
        "exec": ["exec", two, "/bin/true"],
        "kill": ["kill", two, "KILL"],
        "delete": ["delete", two],
        "force": ["delete", "--force", two],
    }
    profile = usual.profile()
    if profile:
        verbs["filtered"] = ["run", "--bundle", str(scratch.bundle(f"{name}/filtered", ["/bin/true"], profile)), one]
    before = [str(binary), "--root", str(own / "state")]
    commands = {verb: before + words for verb, words in verbs.items()}
    return Subject(name, commands, version_of(binary), pid_file)


def version_of(binary: Path) -> str:
    """``crun version 1.21``, first of several lines: the last word of it, as all runtimes answer so."""
    said = subprocess.run([str(binary), "--version"], check=False, capture_output=True, text=True).stdout
    words = said.partition("\n")[0].split()
    return words[-1] if words else "unknown"


def floor(scratch: Scratch) -> Subject:
    """The kernel's own share of ``run``, without a runtime: ``floor.c``."""
    cgroup = scratch.cgroup_dir / "floor"
    program = scratch.compile("floor.c")
    return Subject("floor", {"run": [str(program), str(scratch.rootfs), str(cgroup)]})


def interpreter() -> Subject:
    """What any Python program pays before its first line; ``os._exit`` skips the interpreter's own burial."""
    version = subprocess.run([PYTHON, "--version"], check=False, capture_output=True, text=True).stdout.split()
    command = [PYTHON, "-ISE", "-c", "import os; os._exit(0)"]
    return Subject("python", {"run": command}, version[-1] if version else "unknown")


def refusal(subject: Subject, stopwatch: Stopwatch) -> str | None:
    """Why this runtime cannot run a container here, found out by running one; None if it can."""
    try:
        stopwatch.time(subject.commands["run"])
    except CommandFailed as problem:
        return problem.reason
    except TimeoutError as problem:
        return str(problem)
    return None


def gather(scratch: Scratch, stopwatch: Stopwatch, offline: bool, note: Callable[[str, str], None]) -> list[Subject]:
    """All that can take part on this machine; ``note(name, why)`` tells of each that cannot."""
    candidates: list[tuple[str, Path]] = []
    if os.access(MINIRUN, os.X_OK):
        candidates.append(("minirun", MINIRUN))
    else:
        note("minirun", f"skipped: {MINIRUN.relative_to(ROOT)} does not exist yet")
    runc = shutil.which("runc")
    if runc is None:
        raise SystemExit("bench: runc is missing: install the distribution's package")
    candidates.append(("runc", Path(runc)))

    subjects = []
    for name, binary in candidates:
        subject = runtime(name, binary, scratch)
        problem = refusal(subject, stopwatch)
        if problem is None:
            subjects.append(subject)
        else:
            note(name, f"skipped: {problem}")
    crun = gather_crun(scratch, stopwatch, offline, note)
    if crun is not None:
        subjects.append(crun)
    return [*subjects, floor(scratch), interpreter()]


def gather_crun(
    scratch: Scratch, stopwatch: Stopwatch, offline: bool, note: Callable[[str, str], None]
) -> Subject | None:
    """The first crun that runs a container here: the machine's own, or one of ``peers``'."""
    for binary in peers.cruns(offline, lambda why: note("crun", why)):
        subject = runtime("crun", binary, scratch)
        problem = refusal(subject, stopwatch)
        if problem is None:
            return subject
        note("crun", f"{subject.version} ({binary}) does not run here: {problem}")
        shutil.rmtree(scratch.path / "crun")
    note("crun", "skipped: no version that runs here could be had")
    return None
