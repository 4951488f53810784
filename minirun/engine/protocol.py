"""The words between the host and ``minirun-init``: fixed records over one SOCK_SEQPACKET pair.

    init -> host   SYNC       reached a change of actor, waits for GO
                   FORKED     value is the new init's pid (clone(2) with CLONE_PARENT); the child waits for GO
                   TERMINAL   the pty's master, as SCM_RIGHTS
                   READY      all done but exec: the container is *created*
                   TRACE      step took ``ns`` nanoseconds
                   WARNING    something was not granted; ``detail`` says what
                   FAILED     step, errno, system call, detail; init exits
    host -> init   GO         carry on (with the hooks' state as an fd, when there are hooks)
                   DETACH     the host is going: wait at the gate
                   START      the host itself opens the gate

End of file from init after READY means that exec succeeded (close-on-exec); before it, that init was killed.
"""

from __future__ import annotations

from _struct import Struct

MESSAGES = {"SYNC": 1, "FORKED": 2, "TERMINAL": 3, "READY": 4, "TRACE": 5, "WARNING": 6, "FAILED": 7}
ORDERS = {"GO": 1, "DETACH": 2, "START": 3}
SYNC, FORKED, TERMINAL, READY, TRACE, WARNING, FAILED = 1, 2, 3, 4, 5, 6, 7
GO, DETACH, START = b"\1\0\0\0", b"\2\0\0\0", b"\3\0\0\0"

# type, step, errno, value, nanoseconds, system call, detail (native/init/sync.c: struct report)
MESSAGE = Struct("<IIiiQ24s208s")
