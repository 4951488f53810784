"""PURE: restart policies, as docker has them.

on-failure[:N]    after an exit code that is not 0, at most N times
always            whatever the code
unless-stopped    the same; the difference to always is in ``container start --restartable`` after a reboot

After `container stop` no policy restarts.  The pause doubles from 100 ms to a minute, and begins anew once the program
has run for ten seconds.
"""

from __future__ import annotations

from minirun.errors import USAGE, MinirunError
from minirun.record import Record

POLICIES = ("no", "on-failure", "always", "unless-stopped")
FIRST, LONGEST, LONG_ENOUGH = 0.1, 60.0, 10.0


class Policy(Record):
    word: str
    most: int = 0


def parse(text: str) -> Policy:
    """``--restart``."""
    word, colon, number = (text or "no").partition(":")
    if word not in POLICIES:
        raise MinirunError(f"unknown restart policy {text!r}", hint="one of " + ", ".join(POLICIES), exit_code=USAGE)
    if not colon:
        return Policy(word=word)
    if word != "on-failure" or not (number.isascii() and number.isdigit()) or len(number) > 6:
        raise MinirunError(f"--restart {text}: only on-failure takes a number of tries", exit_code=USAGE)
    return Policy(word=word, most=int(number))


def again(word: str, most: int, code: int, restarts: int, stopped: bool) -> bool:
    """Is it started once more?"""
    if stopped or word == "no":
        return False
    if word == "on-failure":
        return code != 0 and (not most or restarts < most)
    return True


def pause(last: float, ran: float) -> float:
    """Seconds until the next start; ``last``: the pause before this run (0: none), which took ``ran`` seconds."""
    if not last or ran >= LONG_ENOUGH:
        return FIRST
    return min(last * 2, LONGEST)
