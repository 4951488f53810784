"""A copy of minirun as ``make setup`` leaves it: bundle, entry script; and what a verb leaves in ``sys.modules``.

The copy lets a test make the bundle fresh, stale or absent without touching the tree.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, run

# Runs the real entry script in the same interpreter, and writes what it imported before the process goes.
WITNESS = """
import posix, sys
script, out = sys.argv[1:3]
sys.argv[:] = [script, *sys.argv[3:]]
leave = posix._exit
def recorded(code):
    fd = posix.open(out, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600)
    posix.write(fd, "\\n".join(sorted(sys.modules)).encode())
    posix.write(fd, b"\\n#active" if getattr(sys.modules.get("minirun.hot"), "active", None) else b"")
    leave(code)
posix._exit = recorded
exec(compile(open(script).read(), script, "exec"))
"""


class Installed:
    """``root/minirun`` and the command that runs it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.script = root / "minirun-command"
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "minirun", root / "minirun", ignore=skip)
        shutil.copytree(ROOT / "native", root / "native", ignore=skip)
        self.bundle()
        site = sysconfig.get_paths()["platlib"]
        self.python("native/entry.py", str(self.script), str(root), site)

    def python(self, program: str, *argv: str) -> None:
        subprocess.run([sys.executable, self.root / program, *argv], check=True, capture_output=True)

    def bundle(self) -> None:
        self.python("native/bundle.py")

    def files(self) -> list[Path]:
        """The bundle's."""
        return list((self.root / "minirun" / "__pycache__").glob("hot.*bundle*"))

    def interpreter(self) -> str:
        return self.script.read_text().split()[0].removeprefix("#!")

    def __call__(self, *argv: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        return run(self.script, *argv, **more)

    def modules(self, *argv: str | Path, **more: Any) -> tuple[set[str], bool]:
        """What is imported at the end of a verb that went well, and whether the bundle was in use."""
        out = self.root / "modules"
        done = run(self.interpreter(), "-ISE", "-c", WITNESS, self.script, out, *argv, **more)
        assert done.returncode == 0, done.stderr
        words = out.read_text().split()
        return {word for word in words if word != "#active"}, "#active" in words

    def bare(self) -> set[str]:
        """What the interpreter itself brings."""
        done = run(self.interpreter(), "-ISE", "-c", "import sys, json; print(*sys.modules)")
        return set(done.stdout.split())


def write_config(folder: Path, *args: str) -> Path:
    """A bundle with a busybox root file system."""
    from tests.conftest import BUSYBOX, base_config

    for name in ("bin", "proc", "sys", "dev"):
        (folder / "rootfs" / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, folder / "rootfs" / "bin" / "busybox")
    (folder / "config.json").write_text(json.dumps(base_config("/bin/busybox", *args)))
    return folder
