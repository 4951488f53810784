"""Write the command ``minirun``: a short script, because it is compiled at every start.

    python native/entry.py SCRIPT PATH...     PATH: what is put before sys.path; the package lies in the first

It executes ``minirun.hot`` from the start-up bundle, without a search; without a (fresh) bundle everything is imported
from its own file.

-I, -S and -E leave out the environment, the user's directory and ``site``: half of Python's start-up, and nothing of
the caller's can get between us and our modules (a runtime is called with a caller's environment).

Until ``main`` begins there is nothing to undo: ctrl-C ends us as it ends any program, not with a traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from minirun.hot import FIRST  # noqa: E402 (the path is set above)

SCRIPT = """#!{python} -ISE
import marshal, posix, sys
from _signal import SIG_DFL, default_int_handler, getsignal, signal
if getsignal(2) is default_int_handler: signal(2, SIG_DFL)
sys.path[:0] = {paths!r}
try:
    fd = posix.open({bundle!r}, posix.O_RDONLY | posix.O_CLOEXEC)
    head, (source, mtime, size), code = marshal.loads(posix.read(fd, {first}))
    found = posix.stat(source)
    if (source, found.st_mtime_ns, found.st_size) == ({source!r}, mtime, size):
        hot = sys.modules["minirun.hot"] = type(sys)("minirun.hot")
        hot.__file__ = source
        exec(code, hot.__dict__)
        hot.install(fd, head)
except (OSError, ValueError, EOFError, TypeError):
    pass
from minirun.cli.entry import entry
entry()
"""


def base_python() -> str:
    """The distribution's interpreter, not the virtual environment's link to it: one indirection less at start."""
    return str(Path(sys.executable).resolve())


def write(script: Path, paths: list[str]) -> None:
    bundle = f"{paths[0]}/minirun/__pycache__/hot.{sys.implementation.cache_tag}.bundle"
    source = f"{paths[0]}/minirun/hot.py"  # a copied tree must not run the one it was copied from
    script.write_text(SCRIPT.format(python=base_python(), paths=paths, bundle=bundle, source=source, first=FIRST))
    script.chmod(0o755)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:])
