"""Write the command ``minirun``: a script of five lines, because it is compiled at every start.

    python native/entry.py SCRIPT PATH...     PATH: what is added to sys.path

-I, -S and -E leave out the environment, the user's directory and ``site``: half of Python's start-up, and nothing of
the caller's can get between us and our modules (a runtime is called with a caller's environment).
"""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = """#!{python} -ISE
import sys
sys.path[:0] = {paths!r}
from minirun import hot
hot.install() and hot.board("minirun.cli.main")
from minirun.cli.main import entry
entry()
"""


def base_python() -> str:
    """The distribution's interpreter, not the virtual environment's link to it: one indirection less at start."""
    return str(Path(sys.executable).resolve())


def write(script: Path, paths: list[str]) -> None:
    script.write_text(SCRIPT.format(python=base_python(), paths=paths))
    script.chmod(0o755)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:])
