"""Write docs/members.md: every member of config.json, its test, and what runc, crun and minirun make of it.

    .venv/bin/python -m tests.members.table [RUNC [CRUN]]

Runs tests/members once for each runtime, all in one boot of the lab VM: its cgroup v2 has every controller.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench import peers

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / "docs" / "members.md"
LEFT = ROOT / ".cache" / "lab" / "artefacts"  # what the lab had in /run/lab/artefacts
PYTEST = ".venv/bin/python -m pytest -q -p no:cacheprovider tests/members -m 'lab or not lab'"
NAMES = ("runc", "crun", "minirun")
LONGEST = 90  # of a reason

HEAD = """# Members of config.json

Each member of the specification's Linux part, the test in `tests/members` that shows what it does, seen from inside by
a probe, and what came of it under three runtimes: {versions}.
All ran on the same bundles, in one boot of the lab VM (kernel {kernel}, cgroup v2 with all controllers). `make members`
writes this page.

**yes**: the test passed. **no**: it failed; a note says how. Older runtimes ignore members that came later: the
specification lets them, and then nobody is told. "Refused" tests pass where the runtime says that it cannot.

| member | test | runc | crun | minirun |
|---|---|---|---|---|
"""


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def version(program: str) -> str:
    return " ".join(run(program, "--version").splitlines()[0].split()[:3])


def results(programs: dict[str, str]) -> tuple[dict[str, list[dict[str, Any]]], str]:
    """Everybody's lines, and the lab's kernel."""
    script = ["mkdir -p /run/lab/artefacts; uname -r > /run/lab/artefacts/kernel"]
    for name, program in programs.items():
        runtime = "" if name == "minirun" else program
        words = f"MINIRUN_MEMBERS_RUNTIME={shlex.quote(runtime)} MINIRUN_MEMBERS_RESULTS=/run/lab/artefacts/{name}"
        script.append(f"env {words} {PYTEST} > /run/lab/artefacts/{name}.log 2>&1")
    lab = [sys.executable, str(ROOT / "rootfs" / "lab" / "lab.py"), "--timeout", "1500"]
    subprocess.run([*lab, "--", "; ".join([*script, "true"])], check=True)
    found = {name: [json.loads(line) for line in (LEFT / name).read_text().splitlines()] for name in programs}
    return found, (LEFT / "kernel").read_text().strip()


def word(line: dict[str, Any] | None, notes: list[str]) -> str:
    """yes, -- (could not be tried here), or no with the number of a note."""
    if line is None or line["outcome"] == "skipped":
        return "--"
    if line["outcome"] == "passed":
        return "yes"
    why = short(line["why"])
    if why not in notes:
        notes.append(why)
    return f"no [{notes.index(why) + 1}]"


def short(why: str) -> str:
    """A reason in one line, without what differs from run to run."""
    first = next((line for line in why.splitlines() if line.strip()), "").removeprefix("AssertionError: ")
    first = re.sub(r"/tmp/\S+?(?=[/:'\"]|\s|$)", "...", re.sub(r"t-[0-9a-f]{12}", "ID", first))
    first = re.sub(r'time="[^"]*" ', "", re.sub(r"\d{4}-\d\d-\d\dT\S+: ?", "", first)).replace("|", "\\|")
    return first if len(first) <= LONGEST else first[: LONGEST - 1] + "…"


def page(found: dict[str, list[dict[str, Any]]], versions: str, kernel: str) -> str:
    by_test = {name: {line["test"]: line for line in lines} for name, lines in found.items()}
    notes: list[str] = []
    rows = []
    for line in found["minirun"]:
        members = " ".join(f"`{pointer}`" for pointer in line["members"])
        cells = " | ".join(word(by_test[name].get(line["test"]), notes) for name in NAMES)
        rows.append(f"| {members} | `{line['test']}`: {line['doc'].splitlines()[0]} | {cells} |")
    counts = [f"{name}: {sum(line['outcome'] == 'passed' for line in found[name])} of {len(rows)}" for name in NAMES]
    text = HEAD.format(versions=versions, kernel=kernel) + "\n".join(rows)
    text += f"\n\nPassed: {', '.join(counts)}.\n\n## Notes\n\n"
    return text + "".join(f"{number}. {note}\n" for number, note in enumerate(notes, 1))


def peer(name: str) -> Path:
    """The newest that the distribution has, for its members' sake; or else the installed one."""
    try:
        return peers.newest(name)
    except peers.Unavailable as problem:
        print(f"members: {name}: {problem}", file=sys.stderr)
        return Path(shutil.which(name) or name)


def main(arguments: list[str]) -> int:
    given = dict(zip(("runc", "crun"), arguments, strict=False))
    programs = {name: given.get(name) or str(peer(name)) for name in ("runc", "crun")}
    programs["minirun"] = str(ROOT / ".venv" / "bin" / "minirun")
    versions = ", ".join(version(program) for program in programs.values())
    found, kernel = results(programs)
    TARGET.write_text(page(found, versions, kernel))
    failed = [line["test"] for line in found["minirun"] if line["outcome"] == "failed"]
    print(f"{TARGET}: {len(found['minirun'])} tests" + (f"; minirun fails {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
