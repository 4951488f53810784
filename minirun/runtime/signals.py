"""PURE: the names of signals (signal(7), x86 and ARM)."""

from __future__ import annotations

from minirun.errors import USAGE, MinirunError

SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19,
    "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28,
    "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31, "RTMIN": 34, "RTMAX": 64,
}  # fmt: skip


def signal_number(word: str) -> int:
    """TERM, SIGTERM, sigterm, 15, RTMIN+3."""
    if word.isascii() and word.isdigit() and len(word) < 3:
        if int(word) <= 64:  # 0 asks whether it could be sent (kill(2))
            return int(word)
    else:
        name, sign, offset = word.upper().removeprefix("SIG").replace("-", "+-").partition("+")
        number = SIGNALS.get(name, 0)
        digits = offset.removeprefix("-")
        if number and sign and digits.isascii() and digits.isdigit() and len(digits) < 3 and name in ("RTMIN", "RTMAX"):
            number += int(offset)
        elif sign:
            number = 0
        if 1 <= number <= 64:
            return number
    hint = "a name as TERM or SIGTERM, or a number from 0 to 64"
    raise MinirunError(f"unknown signal {word!r}", hint=hint, exit_code=USAGE)
