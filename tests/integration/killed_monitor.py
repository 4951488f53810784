"""Runs a ``container`` verb and kills the monitor that it forks at the Nth system call that changes the world:
``killed_monitor.py N ARGV...``.  The calls are counted as in ``killed.py``, from the fork on."""

from __future__ import annotations

import os
import posix
import signal
import sys
from types import FrameType

from tests.integration.killed import CALLS


def watch(number: int) -> None:
    left = number

    def profile(frame: FrameType, event: str, function: object) -> None:
        nonlocal left
        name = getattr(function, "__name__", "")
        if event != "c_return" or not (name in CALLS or name.startswith("minirun_")):
            return
        if "minirun/" not in frame.f_code.co_filename:
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    fork = posix.fork

    def forked() -> int:
        pid = fork()
        if pid == 0:
            sys.setprofile(profile)
        return pid

    posix.fork = forked


def main() -> None:
    from minirun.cli import main as cli

    watch(int(sys.argv[1]))
    os._exit(cli.main(sys.argv[2:], {"PATH": os.environ["PATH"]}, "/"))


if __name__ == "__main__":
    main()
