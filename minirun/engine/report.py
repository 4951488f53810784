"""A failed operation becomes a MinirunError: what, where in config.json, which step, why, and what to do."""

from __future__ import annotations

from posix import strerror

from minirun import hints
from minirun.errors import CANNOT_EXECUTE, FAILED, NOT_FOUND, MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.ops import Op


SECTIONS = {"seccomp_rule_add": 3, "rtnetlink": 7}  # of the manual, where it is not 2


def errno_name(number: int) -> str:
    from errno import errorcode

    return errorcode.get(number, str(number))


def operation_failed(
    op: Op, step: int, total: int, *, number: int, call: str, detail: str, config: str, reason: str = ""
) -> MinirunError:
    """``call`` is the system call or the check that failed, ``detail`` a path or word of its own."""
    name = errno_name(number)
    what = f"{call}({SECTIONS.get(call, 2)})" if call.replace("_", "").isalnum() else call
    why = reason or strerror(number)
    hint = hints.find(op, name, detail)
    path = detail if detail.startswith("/") and detail not in op.describe() and detail not in hint else ""
    return MinirunError(
        f"cannot {op.describe()}",
        reason=f"{path}: {why}" if path else why,
        pointer=op.pointer or None,
        config=config,
        step=f"{step} of {total}, {op.actor}, {what} -> {name}",
        hint=hint,
        errno_name=name,
        exit_code=exit_code(op, name),
    )


def exit_code(op: Op, name: str) -> int:
    """126 and 127 when it is the program that cannot be run, as the shell has it; else 125."""
    if op.KIND not in ("exec", "find_program"):
        return FAILED
    return NOT_FOUND if name == "ENOENT" else CANNOT_EXECUTE
