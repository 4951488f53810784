"""kill, delete, pause, resume."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import store_of
from minirun.errors import MinirunError
from minirun.runtime import lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cli.main import Call
    from minirun.runtime.store import Store

# signal(7), x86 and ARM
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
    raise usage(f"unknown signal {word!r}", "a name as TERM or SIGTERM, or a number from 0 to 64")


def each(call: Call, store: Store, act: Callable[[str], None]) -> int:
    """The container named, or with --regex all that match; one that fails does not keep the others."""
    if not call.values.on("regex"):
        act(call.words[0])
        return 0
    import re

    try:
        pattern = re.compile(call.words[0])
    except re.error as error:
        raise usage(f"{call.words[0]!r} is not a regular expression: {error}") from error
    failed: MinirunError | None = None
    for container_id in store.ids():
        try:
            if pattern.search(container_id):
                act(container_id)
        except MinirunError as error:
            failed = failed or error
    if failed:
        raise failed
    return 0


def kill(call: Call) -> int:
    number = signal_number(call.words[1] if len(call.words) > 1 else "TERM")
    store = store_of(call)
    return each(call, store, lambda found: lifecycle.kill(store, found, number, everyone=call.values.on("all")))


def delete(call: Call) -> int:
    store = store_of(call)
    force = call.values.on("force")
    return each(call, store, lambda found: lifecycle.delete(store, found, force, call.log.warn))


def pause(call: Call) -> int:
    lifecycle.freeze(store_of(call), call.words[0], True)
    return 0


def resume(call: Call) -> int:
    lifecycle.freeze(store_of(call), call.words[0], False)
    return 0
