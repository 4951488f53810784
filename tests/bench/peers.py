"""A crun that runs on this machine, without touching this machine's packages.

The distribution's own crun comes first.  Where it is missing or cannot run (bookworm's 1.8.1 raises RLIMIT_MEMLOCK
and so needs CAP_SYS_RESOURCE), a newer release of the same distribution has a newer one.  We get it with apt, as apt
would do it, but in a corner of its own below ``.cache/peers/SUITE``:

    etc/sources.*   the machine's own sources with another suite: same mirror, same signing key, so apt verifies
    state, cache    apt's lists and archives; an empty dpkg status, so that apt resolves the whole set of libraries
    root/           the packages unpacked with ``dpkg -x`` (no maintainer script runs, nothing is installed)

A newer binary wants a newer libc.  Starting it through its loader (``ld.so --library-path``) would add a process
image to what we time, so patchelf(1) writes the loader and the library path into the binary instead.  patchelf comes
the same way, from the machine's own suite, unless it is installed.

Once ``root`` is complete it is used again; remove ``.cache/peers`` to start afresh.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "peers"
SOURCES = Path("/etc/apt")

# Later releases, nearest first: the fewer differences from the machine's own, the better it compares.
NEWER_SUITES = ("trixie", "sid")


class Unavailable(Exception):
    """A package could not be had; the message says which step failed and what it said."""


def cruns(offline: bool, note: Callable[[str], None]) -> Iterator[Path]:
    """Candidates, best first; a later one is fetched only if the caller asks for it."""
    installed = shutil.which("crun")
    if installed is not None:
        yield Path(installed)
    for suite in NEWER_SUITES:
        ready = CACHE / suite / "root" / "usr" / "bin" / "crun"
        if ready.exists():
            yield ready
        elif not offline:
            print(f"bench: fetching crun from {suite} into {CACHE / suite}", file=sys.stderr, flush=True)
            try:
                yield fetch_crun(suite)
            except Unavailable as problem:
                note(str(problem))


def fetch_crun(suite: str) -> Path:
    return fetch_runtime("crun", suite, CACHE / suite)


def newest(name: str) -> Path:
    """That runtime as the last of ``NEWER_SUITES`` has it, fetched if it is not here yet."""
    corner = CACHE / (NEWER_SUITES[-1] if name == "crun" else f"{NEWER_SUITES[-1]}-{name}")
    ready = [path for path in binaries(corner / "root", name) if path.exists()]
    return ready[0] if ready else fetch_runtime(name, NEWER_SUITES[-1], corner)


def binaries(root: Path, name: str) -> list[Path]:
    return [root / "usr" / folder / name for folder in ("bin", "sbin")]


def fetch_runtime(name: str, suite: str, corner: Path) -> Path:
    """Download, unpack, patch; ``root`` appears only when all of it is done."""
    unpacked = corner / "root.part"
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        fetch(corner, suite, ["install", "--yes", "--download-only", name])
        for package in sorted((corner / "cache" / "archives").glob("*.deb")):
            command(["dpkg", "-x", str(package), str(unpacked)])
        found = [path for path in binaries(unpacked, name) if path.exists()]
        if not found:
            raise Unavailable(f"the package {name} of {suite} has no program of that name")
        settle(patchelf(), unpacked, corner / "root", found[0])
        unpacked.rename(corner / "root")
    finally:
        drop_downloads(corner)
    return corner / "root" / found[0].relative_to(unpacked)


def settle(patchelf_binary: str, unpacked: Path, final: Path, binary: Path) -> None:
    """Write into it where its loader and libraries will be: DT_RPATH, as libraries of libraries need it too."""
    asked = command([patchelf_binary, "--print-interpreter", str(binary)]).strip()
    # Merged-/usr packages hold /lib64/ld-linux… as /usr/lib64/ld-linux….
    loaders = [place for place in (asked, f"/usr{asked}") if (unpacked / place.lstrip("/")).exists()]
    libraries = {file.parent for file in unpacked.rglob("*.so.*")}
    if not loaders or not libraries:
        raise Unavailable(f"the packages of {binary.name} bring no loader {asked}")
    path = ":".join(str(final / folder.relative_to(unpacked)) for folder in sorted(libraries))
    loader = str(final / loaders[0].lstrip("/"))
    command([patchelf_binary, "--set-interpreter", loader, "--force-rpath", "--set-rpath", path, str(binary)])


def patchelf() -> str:
    """The installed one, or the distribution's, unpacked; its only library beyond libc is apt's own libstdc++."""
    installed = shutil.which("patchelf")
    if installed is not None:
        return installed
    corner = CACHE / "tools"
    binary = corner / "root" / "usr" / "bin" / "patchelf"
    if not binary.exists():
        try:
            fetch(corner, own_suite(), ["download", "patchelf"])
            for package in corner.glob("patchelf_*.deb"):
                command(["dpkg", "-x", str(package), str(corner / "root")])
        finally:
            drop_downloads(corner)
    return str(binary)


def fetch(corner: Path, suite: str, words: list[str], kind: str = "deb") -> None:
    """``apt-get update``, then ``apt-get WORDS``, with all of apt's directories inside ``corner``.

    ``kind`` is deb or deb-src (sources.list(5)).
    """
    for folder in ("etc", "state/lists/partial", "cache/archives/partial", "log"):
        (corner / folder).mkdir(parents=True, exist_ok=True)
    (corner / "status").touch()
    write_sources(corner / "etc", suite, kind)
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": str(corner / "etc"),
        "Dir::State": str(corner / "state"),
        "Dir::State::status": str(corner / "status"),
        "Dir::Cache": str(corner / "cache"),
        "Dir::Log": str(corner / "log"),
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "APT::Install-Recommends": "false",
        # The unprivileged _apt user may not reach into a checkout below a 0700 home.
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq"]
    for name, value in options.items():
        apt += ["-o", f"{name}={value}"]
    command([*apt, "update"], corner)
    command([*apt, *words], corner)


def write_sources(folder: Path, suite: str, kind: str) -> None:
    """The machine's sources of its own suite, asking for ``suite`` and ``kind`` instead."""
    own = own_suite()
    written = 0
    for file in sorted([SOURCES / "sources.list", *(SOURCES / "sources.list.d").glob("*")]):
        if file.suffix not in (".list", ".sources") or not file.exists():
            continue
        convert = deb822_for if file.suffix == ".sources" else one_line_for
        text = convert(file.read_text(), own, suite, kind)
        if text:
            (folder / file.name).write_text(text)
            written += 1
    if not written:
        raise Unavailable(f"none of this machine's apt sources offers its own suite, {own}: no pattern for {suite}")


def deb822_for(text: str, own: str, suite: str, kind: str) -> str:
    """sources.list(5), the paragraphs: keep those that name ``own``, word for word but for type and suite."""
    kept = []
    for paragraph in text.split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line.strip() and not line.startswith("#")]
        fields = {line.partition(":")[0].lower(): line.partition(":")[2].split() for line in lines if line[0] != " "}
        if own not in fields.get("suites", []) or "deb" not in fields.get("types", []):
            continue
        if fields.get("enabled", ["yes"]) == ["no"]:
            continue
        lines = [line for line in lines if not line.lower().startswith(("suites:", "types:"))]
        kept.append("\n".join([f"Types: {kind}", f"Suites: {suite}", *lines, ""]))
    return "\n".join(kept)


def one_line_for(text: str, own: str, suite: str, kind: str) -> str:
    """sources.list(5), one source per line: ``deb [options] uri suite components``."""
    kept = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["deb"] and own in words:
            words[words.index(own)] = suite
            words[0] = kind
            kept.append(" ".join(words) + "\n")
    return "".join(kept)


def own_suite() -> str:
    """The machine's code name, os-release(5)."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise Unavailable("/etc/os-release names no VERSION_CODENAME")


def drop_downloads(corner: Path) -> None:
    """The unpacked tree is all that is used again; lists and archives are five times its size."""
    for folder in ("state", "cache"):
        shutil.rmtree(corner / folder, ignore_errors=True)


def command(argv: list[str], cwd: Path | None = None) -> str:
    """Run one program and return its stdout; its failure is an Unavailable with its last words."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv, check=False, cwd=cwd, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as problem:
        raise Unavailable(f"{argv[0]} is not installed") from problem
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{argv[0]} {argv[-1]}: exit status {done.returncode}: {lines[-1] if lines else ''}")
    return done.stdout
