"""Runs minirun and ends something at the Nth system call that changes the world: ``killed.py N WHO ARGV...``.

WHO is ``self`` (SIGKILL to minirun), ``child`` (to its children: init, a hook) or a pid.  The calls are counted by the
profiler, from outside, so that no step can be forgotten and the code knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

CALLS = {
    "mkdir",
    "open",
    "write",
    "rename",
    "unlink",
    "rmdir",
    "bind",
    "listen",
    "connect",
    "sendmsg",
    "send",
    "flock",
    "pidfd_send_signal",
    "posix_spawn",
    "kill",
    "prlimit",
}


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(word) for word in file.read().split()]


def watch(number: int, who: str) -> None:
    """Count what the C functions of posix and of our border did; strike when the number is reached."""
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
            sys.setprofile(None)
            for pid in [os.getpid()] if who == "self" else children() if who == "child" else [int(who)]:
                os.kill(pid, signal.SIGKILL)

    sys.setprofile(profile)


def main() -> None:
    from minirun.cli import main as cli

    watch(int(sys.argv[1]), sys.argv[2])
    code = cli.main(sys.argv[3:], {}, "/")
    sys.setprofile(None)
    os._exit(code)


if __name__ == "__main__":
    main()
