"""sched_setattr(2), sched_setaffinity(2) and ioprio_set(2), of another process (or, for 0, of this one)."""

from __future__ import annotations

from posix import sched_setaffinity

from minirun.linux import ffi, lib, oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def setattr_(pid: int, numbers: list[int]) -> None:
    """policy, flags, nice, priority, runtime, deadline, period, as struct sched_attr has them."""
    if lib.minirun_sched_setattr(pid, ffi.new("int64_t[7]", numbers)) < 0:
        raise oserror()


def ioprio_set(pid: int, numbers: list[int]) -> None:
    """IOPRIO_PRIO_VALUE(class, data)."""
    if lib.minirun_ioprio_set(pid, numbers[0]) < 0:
        raise oserror()


# By the name of the system call, as plan.ops.Tune has it.
CALLS: dict[str, Callable[[int, list[int]], None]] = {
    "sched_setattr": setattr_,
    "ioprio_set": ioprio_set,
    "sched_setaffinity": sched_setaffinity,
}
