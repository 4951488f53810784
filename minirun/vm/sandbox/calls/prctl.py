"""prctl(2), personality(2): what a process says of itself.  What would weaken us is kept here."""

from __future__ import annotations

from minirun.linux.kvm import lib
from minirun.vm.sandbox.calls import int64, served
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EINVAL, EPERM = 22, 1
SET_PDEATHSIG, GET_PDEATHSIG, GET_DUMPABLE, SET_DUMPABLE, GET_KEEPCAPS, SET_KEEPCAPS, SET_NAME, GET_NAME = (
    1, 2, 3, 4, 7, 8, 15, 16,
)  # fmt: skip
GET_SECCOMP, CAPBSET_READ, CAPBSET_DROP, SET_TIMERSLACK, GET_TIMERSLACK = 21, 23, 24, 29, 30
SET_CHILD_SUBREAPER, GET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS, GET_NO_NEW_PRIVS = 36, 37, 38, 39
PLAIN = {SET_PDEATHSIG, GET_KEEPCAPS, SET_KEEPCAPS, CAPBSET_READ, CAPBSET_DROP, SET_TIMERSLACK, GET_TIMERSLACK,
         SET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS, GET_NO_NEW_PRIVS}  # fmt: skip
INTO_MEMORY = {GET_PDEATHSIG: 4, GET_CHILD_SUBREAPER: 4, SET_NAME: 16, GET_NAME: 16}
CAP_AMBIENT = 47
call = lib.host_call


@served
def prctl(thread: Thread, option: int, a: int, b: int, c: int, d: int) -> int:
    option &= 0xFFFFFFFF
    if option in INTO_MEMORY:
        return int(call(NUMBER["prctl"], option, thread.memory.host(a, INTO_MEMORY[option]), 0, 0, 0, 0))
    if option in PLAIN or option == CAP_AMBIENT:
        return int(call(NUMBER["prctl"], option, int64(a), int64(b), int64(c), int64(d), 0))
    process = thread.process
    if option == GET_DUMPABLE:
        return int(process.dumpable)
    if option == SET_DUMPABLE and a in (0, 1):
        process.dumpable = bool(a)
        return 0
    if option == GET_SECCOMP:
        return 2 if process.filter else 0
    return -EINVAL


@served
def personality(thread: Thread, wanted: int) -> int:
    """PER_LINUX is what there is."""
    return 0 if wanted & 0xFFFFFFFF in (0, 0xFFFFFFFF) else -EINVAL
