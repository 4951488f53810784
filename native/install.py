"""Install minirun below a prefix, and take it away again (`make install`, `make uninstall`).

    python native/install.py PREFIX
    python native/install.py --remove PREFIX

    PREFIX/bin/minirun                  the entry script (native/entry.py)
    PREFIX/lib/minirun/                 the package, what it needs from site-packages, the start-up bundle
    PREFIX/share/man/man8/              manual pages
    PREFIX/share/.../                   completions for bash, zsh, fish

PREFIX/lib/minirun/INSTALLED lists every file and every directory that was made: removing takes away just these.
Installing again begins with removing, so that nothing of an older version stays.  Run it with the interpreter of
.venv: that is where the dependencies are.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(sysconfig.get_paths()["purelib"])
sys.path.insert(0, str(ROOT))

from native import entry  # noqa: E402 (the path is set above)

# What the package imports at run time; python-prctl only where it could be built.
# Of rich only what draws progress bars is used, which needs none of its own dependencies.
NEEDED = ("_cffi_backend*.so", "click", "pyroute2", "jeepney", "urllib3", "zstandard", "rich")
OPTIONAL = ("prctl.py", "_prctl*.so")
COMPLETIONS = {
    "bash": "share/bash-completion/completions/minirun",
    "zsh": "share/zsh/site-functions/_minirun",
    "fish": "share/fish/vendor_completions.d/minirun.fish",
}
# The bundle is bytecode of the package where it lies now, so it is made there, by the interpreter that will read it.
BUNDLE = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
from minirun import hot
runpy.run_path(sys.argv[2])["build"]()
"""


class Tree:
    """What is put below a prefix, remembered."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.library = prefix / "lib" / "minirun"
        self.manifest = self.library / "INSTALLED"
        self.made: list[Path] = []

    def folder(self, path: Path) -> None:
        """mkdir -p; directories that were there are not ours."""
        if path.is_dir():
            return
        self.folder(path.parent)
        path.mkdir(mode=0o755)
        path.chmod(0o755)
        self.made.append(path)

    def file(self, path: Path, text: str) -> None:
        self.folder(path.parent)
        path.write_text(text)
        path.chmod(0o644)
        self.made.append(path)

    def copy(self, source: Path, target: Path) -> None:
        """A file or a directory, readable by all, without bytecode of another place."""
        if source.name == "__pycache__":
            return
        if source.is_dir():
            self.folder(target)
            for inner in sorted(source.iterdir()):
                self.copy(inner, target / inner.name)
            return
        self.folder(target.parent)
        shutil.copy2(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        self.made.append(target)

    def remember(self) -> None:
        """Write the list, with the bytecode that was made meanwhile."""
        caches = [path for path in self.library.rglob("*") if "__pycache__" in path.parts]
        for path in caches:
            path.chmod(0o755 if path.is_dir() else 0o644)
        paths = sorted({*self.made, *caches, self.manifest})
        self.manifest.write_text("".join(f"{path.relative_to(self.prefix)}\n" for path in paths))
        self.manifest.chmod(0o644)


def install(prefix: Path) -> None:
    remove(prefix)
    tree = Tree(prefix)
    tree.copy(ROOT / "minirun", tree.library / "minirun")
    for pattern in (*NEEDED, *OPTIONAL):
        found = sorted(SITE.glob(pattern))
        if not found and pattern in NEEDED:
            raise SystemExit(f"install.py: {SITE} has no {pattern}: run it with .venv/bin/python, after make setup")
        for path in found:
            tree.copy(path, tree.library / path.name)
    compileall.compile_dir(str(tree.library), quiet=2)
    python = entry.base_python()
    subprocess.run(
        [python, "-X", "no_debug_ranges", "-ISE", "-c", BUNDLE, tree.library, ROOT / "native" / "bundle.py"], check=True
    )
    script = prefix / "bin" / "minirun"
    tree.folder(script.parent)
    entry.write(script, [str(tree.library)])
    tree.made.append(script)
    for page in sorted((ROOT / "docs" / "man").glob("*.8")):
        tree.file(prefix / "share" / "man" / "man8" / page.name, page.read_text())
    for shell, place in COMPLETIONS.items():
        shown = subprocess.run([script, "completion", shell], check=True, capture_output=True, text=True)
        tree.file(prefix / place, shown.stdout)
    tree.remember()
    print(f"minirun is in {script}")


def remove(prefix: Path) -> bool:
    """What the manifest lists, the deepest first; a directory goes only when it is empty."""
    tree = Tree(prefix)
    try:
        listed = tree.manifest.read_text().splitlines()
    except FileNotFoundError:
        return False
    for name in sorted(listed, reverse=True):
        path = prefix / name
        try:
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            print(f"install.py: {path} stays: {error.strerror}", file=sys.stderr)
    return True


def main(arguments: list[str]) -> int:
    removing = "--remove" in arguments
    words = [word for word in arguments if word != "--remove"]
    if len(words) != 1 or words[0].startswith("-"):
        print("usage: install.py [--remove] PREFIX", file=sys.stderr)
        return 2
    prefix = Path(words[0]).absolute()
    if not removing:
        install(prefix)
    elif not remove(prefix):
        print(f"install.py: nothing of minirun is in {prefix}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
