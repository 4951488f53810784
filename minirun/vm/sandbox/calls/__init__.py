"""The system calls: one function each, in modules by theme, under the name of its manual page.

A function gets the thread that calls and the call's arguments (unsigned, 64 bits), and returns what the program finds
in RAX: a result, or -errno.  ``Fault`` is EFAULT and ``OSError`` its errno.  What is not in ``TABLE`` answers ENOSYS.

Most of them are the host's call of the same name, with the program's pointers and descriptors exchanged for ours:
``plain`` has those, each a row of kinds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

THEMES = (
    "addresses", "events", "execute", "files", "limits", "looks", "memory", "messages", "names", "plain", "prctl",
    "proc", "process", "refused", "signals", "sockets", "timers",
)  # fmt: skip
TABLE: dict[str, Callable[..., int]] = {}
ARGUMENTS: dict[str, int] = {}  # how many of the six a function takes


def served(function: Any) -> Any:
    """The decorator of a call's function; a trailing underscore is Python's."""
    name = function.__name__.removesuffix("_")
    TABLE[name] = function
    ARGUMENTS[name] = function.__code__.co_argcount - 1
    return function


def int32(value: int) -> int:
    """An argument that is an int in C."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def int64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def everything() -> None:
    """Import every theme: from the container there is nothing to import."""
    for theme in THEMES:
        __import__(f"minirun.vm.sandbox.calls.{theme}")
