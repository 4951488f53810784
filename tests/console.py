"""Documents whose commands are run: every fenced ```console block of a page, in order, in one fresh directory.

A line "$ command" is run; what follows up to the next one must be what it prints (both streams).  "..." stands for
anything within a line; a line that is "..." alone, for any lines.  ``sudo`` runs a command as root; all others are an
ordinary user's.  The directory holds a link to the checkout's rootfs/, and ``minirun`` keeps its state there.

    python -m tests.console FILE      rewrite the outputs that do not match, then read the diff
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.reach import MINIRUN

ROOT = Path(__file__).resolve().parent.parent
USER = 1000
FENCE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)


class Step(NamedTuple):
    """A command, what the page says it prints, and where that stands in the page's text."""

    command: str
    expected: str
    start: int
    end: int


def steps(text: str) -> list[Step]:
    found = []
    for block in FENCE.finditer(text):
        starts = [match.start() + block.start(1) for match in re.finditer(r"^\$ ", block[1], re.M)]
        for start, end in zip(starts, [*starts[1:], block.end(1)], strict=True):
            command, _, expected = text[start + 2 : end].partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command += "\n" + more.removeprefix("> ")
            found.append(Step(command, expected, end - len(expected), end))
    return found


def matches(expected: str, got: str) -> bool:
    pattern = ""
    for line in expected.rstrip("\n").split("\n"):
        pattern += "(?:.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + " *\n"
    return re.fullmatch(pattern, got.rstrip("\n") + "\n") is not None


class Shell:
    """A directory, the last exit code, and two users."""

    def __init__(self, folder: Path) -> None:
        self.folder = self.cwd = folder
        self.code = 0
        (folder / "bin").mkdir()
        shutil.copytree(ROOT / "rootfs", folder / "rootfs")
        wrapper = folder / "bin" / "minirun"
        wrapper.write_text(f'#!/bin/sh\nexec {MINIRUN} --root {folder}/state-$(id -u) "$@"\n')
        wrapper.chmod(0o755)
        os.chown(folder, USER, USER)

    def run(self, command: str) -> str:
        if command.startswith("cd "):
            self.cwd = self.cwd / command[3:]
            return ""
        root = command.startswith("sudo ")
        who = {} if root else {"user": USER, "group": USER, "extra_groups": []}
        path = f"{self.folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {"PATH": path, "COLUMNS": "100", "LC_ALL": "C.UTF-8"}
        words = ["bash", "-c", f"(exit {self.code}); {command.removeprefix('sudo ')}"]
        with tempfile.TemporaryFile("w+") as out:  # not a pipe: what stays in the background would hold it open
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.cwd, timeout=60, env=env, **who
            )  # type: ignore[call-overload]
            self.code = done.returncode
            out.seek(0)
            return out.read().replace(str(self.folder), "/home/you")

    def tidy(self) -> None:
        """Delete what a page left behind; each command line of a page should do so itself."""
        for state in self.folder.glob("state-*"):
            for entry in state.glob("[!.]*"):
                subprocess.run([MINIRUN, "--root", state, "delete", "--force", entry.name], check=False)


@contextmanager
def shell() -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(prefix="minirun-docs-"))
    folder.chmod(0o755)
    opened = Shell(folder)
    try:
        yield opened
    finally:
        opened.tidy()
        shutil.rmtree(folder)


def play(path: Path) -> Iterator[tuple[Step, str]]:
    """Every step of a page with what it really printed."""
    with shell() as opened:
        for step in steps(path.read_text()):
            yield step, opened.run(step.command)


def update(path: Path) -> None:
    text = path.read_text()
    for step, got in reversed(list(play(path))):
        if not matches(step.expected, got):
            print(f"rewritten: {step.command}")
            text = text[: step.start] + got + "\n" * (got != "" and not got.endswith("\n")) + text[step.end :]
    path.write_text(text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        update(Path(name))
