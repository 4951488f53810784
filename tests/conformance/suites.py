"""The two suites: what each needs, which files it has, and how one file is run against one runtime."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench import peers
from tests.bench.peers import Unavailable
from tests.conformance import fetch, tap, world
from tests.conformance.tap import Outcome
from tests.needs import ROOT

HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"  # the distribution's: its suite, its interpreter
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Runtime:
    """A column of the table; ``missing`` says why it cannot take part."""

    name: str
    program: Path
    version: str = ""
    missing: str = ""


def environment(**more: str) -> dict[str, str]:
    """Nothing of the caller's: a suite's result must not depend on who runs it."""
    return {"PATH": SYSTEM_PATH, "HOME": "/root", "LANG": "C", "TERM": "dumb", "USER": "root", **more}


class CrunSuite:
    """crun's tests: Python programs that write TAP, on a static program of their own (init.c)."""

    name = "crun"
    seconds = 60.0
    quick = (
        "capabilities", "cwd", "delete", "detach", "devices", "exec", "hooks", "hostname", "limits", "mounts", "paths",
        "pid", "pid_file", "preserve_fds", "rlimits", "tty", "uid_gid",
    )  # fmt: skip

    def __init__(self, suite: str) -> None:
        self.source = fetch.source("crun", suite)
        self.version = fetch.version(self.source)
        self.init = fetch.CACHE / suite / "tools" / "crun-init"
        if not self.init.exists():
            self.compile()

    def compile(self) -> None:
        """With an empty config.h: what autoconf would find there makes init.c's tests of seccomp conditional only."""
        self.init.parent.mkdir(parents=True, exist_ok=True)
        headers = self.init.with_suffix(".h")
        headers.mkdir(exist_ok=True)
        (headers / "config.h").touch()
        source = self.source / "tests" / "init.c"
        peers.command(["cc", "-static", "-w", "-I", str(headers), "-o", str(self.init), str(source)])
        shutil.rmtree(headers)

    def files(self) -> list[str]:
        return sorted(path.name[5:-3] for path in (self.source / "tests").glob("test_*.py"))

    def run(self, file: str, runtime: Runtime, only: str = "") -> dict[str, Outcome]:
        """Tests by name.  The suite looks for its init below the working directory as well."""
        program = runtime.program
        more = {"RUN_TESTS": only} if only else {}
        if runtime.name == "runc":
            more["RUNC"] = str(program)
            program = HERE / "runc_as_crun.sh"
        with world.scratch() as folder:
            (folder / "tests").mkdir()
            shutil.copy2(self.init, folder / "tests" / "init")
            env = environment(
                OCI_RUNTIME=str(program), INIT=str(folder / "tests" / "init"), TMPDIR=str(folder),
                PYTHONPATH=str(HERE / "stand_in"), PYTHONDONTWRITEBYTECODE="1", **more,
            )  # fmt: skip
            script = self.source / "tests" / f"test_{file}.py"
            return tap.parse(world.run([PYTHON, str(script)], folder, env, self.seconds))


# What runc's helpers.bash lacks: the terminal's receiver is started in the background, and on a busy machine a runtime
# may be there before it.
PATIENCE = """
# minirun: wait until recvtty listens
eval "$(declare -f setup_recvtty | sed '1s/setup_recvtty/start_recvtty/')"
function setup_recvtty() {
	start_recvtty || return
	local i
	for ((i = 0; i < 200; i++)); do
		[ -S "$CONSOLE_SOCKET" ] && return 0
		sleep 0.05
	done
}
"""


class RuncSuite:
    """runc's bats: shell functions, jq, containers made of a busybox image."""

    name = "runc"
    seconds = 100.0
    quick = (
        "create", "cwd", "debug", "dev", "host-mntns", "list", "mask", "pause", "personality", "ps", "root", "start",
        "start_detached", "start_hello", "state", "umask",
    )  # fmt: skip
    # mounts_sshfs mounts over the network with a key in somebody's home.
    never = ("mounts_sshfs",)

    def __init__(self, suite: str, debian: bool = True) -> None:
        for program in ("bats", "jq"):
            if not shutil.which(program):
                raise Unavailable(f"no {program} in PATH")
        self.source = fetch.source("runc", suite)
        self.version = fetch.version(self.source)
        self.notes: list[str] = []
        built = fetch.tools(self.source, suite)
        for name in fetch.TOOLS:
            place = self.source / "contrib" / "cmd" / name / name
            if not place.exists():
                shutil.copy2(built / name, place)
        helpers = self.folder() / "helpers.bash"
        if not helpers.read_text().endswith(PATIENCE):
            helpers.write_text(helpers.read_text() + PATIENCE)
        self.images(suite, debian)

    def images(self, suite: str, debian: bool) -> None:
        """The suite's own script downloads two images; ours names those that were made here.  hooks.bats has Debian."""
        lines = ["#!/bin/sh", f"echo BUSYBOX_IMAGE={fetch.busybox_image(suite)}"]
        try:
            if debian or (fetch.CACHE / suite / "images" / "debian.tar").exists():
                lines.append(f"echo DEBIAN_IMAGE={fetch.debian_image(suite)}")
        except Unavailable as problem:
            self.notes.append(f"hooks.bats ({problem})")
        script = self.folder() / "get-images.sh"
        script.write_text("\n".join(lines) + "\n")
        script.chmod(0o755)

    def folder(self) -> Path:
        return self.source / "tests" / "integration"

    def files(self) -> list[str]:
        skipped = {*self.never, *(note.partition(".")[0] for note in self.notes)}
        return sorted(path.stem for path in self.folder().glob("*.bats") if path.stem not in skipped)

    def tests(self, file: str) -> list[str]:
        return re.findall(r'^@test "(.*)" \{$', (self.folder() / f"{file}.bats").read_text(), re.MULTILINE)

    def run(self, file: str, runtime: Runtime, only: str = "") -> dict[str, Outcome]:
        """Tests by name.  One that does not end is killed with its world; the run goes on behind it."""
        found: dict[str, Outcome] = {}
        left = [only] if only else self.tests(file)
        while left:
            said = self.run_once(file, runtime, [] if len(left) == len(self.tests(file)) else left)
            early = said.pop(tap.EARLY, None)
            found.update(said)
            rest = [name for name in left if name not in found]
            if early is None or not rest:
                break
            found[rest[0]] = early
            left = rest[1:]
        return found

    def run_once(self, file: str, runtime: Runtime, only: list[str]) -> dict[str, Outcome]:
        pattern = "^(" + "|".join(re.sub(r"([][(){}.*+?^$|\\/])", r"\\\1", name) for name in only) + ")$"
        argv = ["bats", "--tap", *(["--filter", pattern] if only else []), f"{file}.bats"]
        # Not with BATS_TEST_TIMEOUT: its countdown is a job of the test's shell, which some tests wait for.
        with world.scratch() as folder:
            env = environment(RUNC=str(runtime.program), TMPDIR=str(folder))
            return tap.parse(world.run(argv, self.folder(), env, self.seconds))


Suite = CrunSuite | RuncSuite


def minirun() -> Runtime:
    program = ROOT / ".venv" / "bin" / "minirun"
    return Runtime("minirun", program, said_version(program))


def runc() -> Runtime:
    found = shutil.which("runc", path=SYSTEM_PATH)
    if not found:
        return Runtime("runc", Path("runc"), missing="not installed (package runc)")
    return Runtime("runc", Path(found), said_version(Path(found)))


def crun(suite: CrunSuite) -> Runtime:
    """The first that runs a container and loads a device filter here.

    For the latter bookworm's raises RLIMIT_MEMLOCK and so needs CAP_SYS_RESOURCE, a newer release's does not.
    """
    notes: list[str] = []
    for program in peers.cruns(False, notes.append):
        candidate = Runtime("crun", program, said_version(program))
        outcome = suite.run("devices", candidate, "allow-device").get("allow-device")
        if outcome and outcome.status == tap.PASSED:
            return candidate
        notes.append(f"{program.name} {candidate.version} runs no container with a device filter here")
    return Runtime("crun", Path("crun"), missing="; ".join(notes) or "not installed")


def said_version(program: Path) -> str:
    """The last word of the first line: ``crun version 1.21``, and so do all of them."""
    if not os.access(program, os.X_OK):
        return ""
    words = peers.command([str(program), "--version"]).partition("\n")[0].split()
    return words[-1] if words else ""
