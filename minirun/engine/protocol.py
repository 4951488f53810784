"""The words between the host and ``minirun-init``: fixed records over one SOCK_SEQPACKET pair.

    init -> host   SYNC       reached a change of actor, waits for GO
                   FORKED     value is the new init's pid (clone(2) with CLONE_PARENT); the child waits for GO
                   TERMINAL   the pty's master, as SCM_RIGHTS
                   READY      all done but exec: the container is *created*
                   TRACE      step took ``ns`` nanoseconds
                   WARNING    something was not granted; ``detail`` says what
                   LISTENER   a page in a memfd, as SCM_RIGHTS; init is about to load a filter that asks somebody
                   FAILED     step, errno, system call, detail; init exits
    host -> init   GO         carry on (with the hooks' state as an fd, when there are hooks)
                   DETACH     the host is going: wait at the gate
                   START      the host itself opens the gate

After LISTENER init may not make a system call any more, because the filter could ask about it, and nobody would be
there to answer.  So the two go on through the page, PAGE: init writes the listener's descriptor and LOADED, and looks
at the page until the host, which takes the descriptor out of it (pidfd_getfd(2)) and gives it away, writes GO_ON.

End of file from init after READY means that exec succeeded (close-on-exec); before it, that init was killed.
"""

from __future__ import annotations

from _struct import Struct

MESSAGES = {"SYNC": 1, "FORKED": 2, "TERMINAL": 3, "READY": 4, "TRACE": 5, "WARNING": 6, "FAILED": 7, "LISTENER": 8}
ORDERS = {"GO": 1, "DETACH": 2, "START": 3}
SYNC, FORKED, TERMINAL, READY, TRACE, WARNING, FAILED, LISTENER = 1, 2, 3, 4, 5, 6, 7, 8
GO, DETACH, START = b"\1\0\0\0", b"\2\0\0\0", b"\3\0\0\0"

# type, step, errno, value, nanoseconds, system call, detail (native/init/sync.c: struct report)
PAGE = Struct("<Ii")  # state, descriptor (native/init/seccomp.c: struct page)
LOADED, GO_ON = 1, 2
MESSAGE = Struct("<IIiiQ24s208s")
