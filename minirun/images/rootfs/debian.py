"""``[debian]``: mmdebstrap makes a tar of a suite, or debootstrap a directory; what that leaves is taken out.

Packages are fetched from where this machine's apt has that suite (sources.list(5)), from --mirror, or from the
tool's own default; the image names what the recipe's files say, never the mirror.  apt verifies the signatures.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

from minirun.errors import MinirunError
from minirun.images.rootfs import debian_tree, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from minirun.images.rootfs.recipe import Recipe
    from minirun.images.rootfs.tree import Tree

SOURCES = "/etc/apt/sources.list"
LOCKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recipes")
HINT = "install the package mmdebstrap (or debootstrap, which needs root)"
ENVIRONMENT = ("http_proxy", "https_proxy", "no_proxy", "TMPDIR")
PATIENCE = 30  # seconds for the tool to clean up
SHOWN = 15  # lines of the tool's own words, when it fails


def fill(
    tree: Tree, recipe: Recipe, more: dict[str, list[str]], locked: bool, scratch: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """The members of ``make.Filled``.  ``scratch``: a directory that stays until the layer is written."""
    own = recipe.own
    suite = "".join(more.get("suite", [])) or own.get("suite", "") or here(own.get("otherwise", "stable"))
    mirrors = more.get("mirror") or [one for one in [own.get("mirror", "")] if one] or sources(suite, own)
    packages = [*own.get("include", []), *more.get("include", [])]
    tool = shutil.which("mmdebstrap") or shutil.which("debootstrap", path="/usr/sbin:/sbin:/usr/bin")
    if not tool:
        raise MinirunError("neither mmdebstrap nor debootstrap is here", hint=HINT)
    say(f"{os.path.basename(tool)} makes {suite} ({own.get('variant', 'minbase')}); this takes a minute")
    if os.path.basename(tool) == "mmdebstrap":
        call(mmdebstrap(tool, suite, own, packages, mirrors, f"{scratch}/root.tar"), recipe.date, scratch)
        status, lists = debian_tree.from_tar(tree, f"{scratch}/root.tar")
    else:
        call(debootstrap(tool, suite, own, packages, mirrors, f"{scratch}/root"), recipe.date, scratch)
        status, lists = debian_tree.from_directory(tree, f"{scratch}/root")
    debian_tree.empty(tree, own.get("empty", []))
    tree.drop(own.get("drop", []))
    rows = lock.rows(status, lists)
    pinned = check(rows, suite, more, locked)
    text = f"{len(rows)} packages of {suite}"
    digest = lock.digest(rows)
    known = f"{text}, as locked in {os.path.basename(pinned)}"
    return {
        "labels": {"dev.minirun.input.packages": text, "dev.minirun.input.sha256": digest}, "pinned": bool(pinned),
        "inputs": [known if pinned else f"{text}, sha256 {digest} over their lock"],
        "words": {"suite": suite},
    }  # fmt: skip


def check(rows: list[lock.Row], suite: str, more: dict[str, list[str]], locked: bool) -> str:
    """The lock that fits, "" if none does; an error where it has to.  Writes one that was asked for."""
    if written := "".join(more.get("write_lock", [])):
        with open(written, "w", encoding="utf-8") as file:
            file.write(lock.text(rows, f"{suite}: package, architecture, version, SHA-256 of the .deb"))
        return written
    path = "".join(more.get("lock", []))
    if not path:
        architecture = next((row[1] for row in rows if row[1] != "all"), "all")
        path = f"{LOCKS}/debian-{suite}-{architecture}.lock"
        if not os.path.exists(path):
            return ""
        others = lock.differences(rows, lock.read(path))
    else:
        others = lock.differences(rows, lock.read(path))
    if others and (locked or more.get("lock")):
        raise lock.refuse(others, os.path.basename(path))
    return "" if others else path


def mmdebstrap(
    tool: str, suite: str, own: dict[str, Any], packages: list[str], mirrors: list[str], target: str
) -> list[str]:
    """The package lists stay in the tar until their digests are read."""
    return [
        tool, "--quiet", f"--variant={own.get('variant', 'minbase')}", "--format=tar", "--skip=cleanup/apt/lists",
        f"--components={','.join(own.get('components', ['main']))}",
        *([f"--include={','.join(packages)}"] if packages else []), *proxies(), suite, target, *mirrors,
    ]  # fmt: skip


def debootstrap(
    tool: str, suite: str, own: dict[str, Any], packages: list[str], mirrors: list[str], target: str
) -> list[str]:
    """It knows one mirror, and no suite of security updates."""
    if os.geteuid() != 0:
        raise MinirunError("debootstrap needs root", hint="install the package mmdebstrap, which does not")
    urls = [word for line in mirrors[:1] for word in line.split() if "://" in word]
    return [
        tool, f"--variant={own.get('variant', 'minbase')}", f"--components={','.join(own.get('components', ['main']))}",
        *([f"--include={','.join(packages)}"] if packages else []), suite, target, *urls[:1],
    ]  # fmt: skip


def call(command: list[str], date: int, scratch: str) -> None:
    """The tool, with an environment of its own; what it says is shown when it fails."""
    env = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    env |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(date)}
    # mmdebstrap unpacks in TMPDIR: beside the result, which is as large; an ordinary user's other ids may not go there
    if os.geteuid() == 0:
        env.setdefault("TMPDIR", scratch)
    code, said = watched(command, env)
    if code:
        lines = [line.strip() for line in said.splitlines() if line.strip()][-SHOWN:]
        name = os.path.basename(command[0])
        raise MinirunError(
            f"{name} failed", reason=f"exit code {code}", problems=[(name, line) for line in lines],
            hint="is the suite's name right, and does its mirror answer? --mirror names another",
        )  # fmt: skip


def watched(command: list[str], env: dict[str, str]) -> tuple[int, str]:
    """Exit code and words.  The tool takes down its mounts and files when it is asked to end, also by our end."""
    asked = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    with subprocess.Popen(
        [*asked, *command], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as tool:  # fmt: skip
        try:
            said, _ = tool.communicate()
        except BaseException:
            tool.terminate()
            try:
                tool.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                tool.kill()
            raise
    return tool.returncode, said


def here(otherwise: str) -> str:
    """This host's own suite, if it is a Debian (os-release(5))."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return otherwise
    return found.get("VERSION_CODENAME") or otherwise if found.get("ID") == "debian" else otherwise


def sources(suite: str, own: dict[str, Any]) -> list[str]:
    """Lines for mmdebstrap: where this machine's apt has the suite, its updates and its security updates."""
    wanted = (suite, f"{suite}-updates", f"{suite}-security")
    components = own.get("components", ["main"])
    lines: dict[str, str] = {}
    for found, address, suites, parts in entries():
        for one in suites:
            shared = [part for part in components if part in parts]
            if found == "deb" and one in wanted and shared:
                lines.setdefault(one, f"deb {address} {one} {' '.join(shared)}")
    return [lines[one] for one in wanted if one in lines] if suite in lines else []


def entries() -> Iterator[tuple[str, str, list[str], list[str]]]:
    """(type, address, suites, components) of sources.list(5), in both of its forms."""
    folder = f"{SOURCES}.d"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for path in [SOURCES, *(f"{folder}/{name}" for name in names)]:
        try:
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        if path.endswith(".sources"):
            for one in lock.stanzas(line for line in lines if not line.startswith("#")):
                for address in one.get("URIs", "").split():
                    if one.get("Enabled", "yes") != "no":
                        yield "deb", address, one.get("Suites", "").split(), one.get("Components", "").split()
        elif path.endswith(".list"):
            yield from (entry for line in lines for entry in one_line(line))


def one_line(line: str) -> list[tuple[str, str, list[str], list[str]]]:
    words = line.partition("#")[0].split()
    if len(words) > 1 and words[1].startswith("["):
        while len(words) > 1 and not words[1].endswith("]"):
            del words[1]
        del words[1]
    return [(words[0], words[1], [words[2]], words[3:])] if len(words) > 3 else []


def proxies() -> list[str]:
    """apt's own settings for a proxy: mmdebstrap starts without this machine's configuration."""
    try:
        done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    except OSError:
        return []
    wanted = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until")
    lines = [line for line in done.stdout.splitlines() if line.startswith(wanted)]
    return [f"--aptopt={line.rstrip(';')}" for line in lines]
