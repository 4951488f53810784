"""The command under test: the checkout's, or, where an ordinary user cannot reach that, a copy anybody can."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def answers(command: Path) -> bool:
    """Can an ordinary user run it?"""
    drop = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    return subprocess.run([*drop, command, "--version"], capture_output=True, timeout=60).returncode == 0


def reachable_minirun() -> Path:
    """A checkout below /root is closed to others; minirun installs itself elsewhere, for the time of the tests."""
    built = ROOT / ".venv" / "bin" / "minirun"
    if os.geteuid() != 0 or not built.exists() or answers(built):
        return built
    prefix = Path(tempfile.mkdtemp(prefix="minirun-for-tests-"))
    atexit.register(shutil.rmtree, prefix, ignore_errors=True)
    prefix.chmod(0o755)
    subprocess.run([sys.executable, ROOT / "native" / "install.py", prefix], check=True, capture_output=True)
    return prefix / "bin" / "minirun"


MINIRUN = reachable_minirun()
