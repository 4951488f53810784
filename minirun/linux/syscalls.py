"""syscall(2) by number: does this kernel answer to a system call at all?

Only ``minirun doctor`` asks; whatever minirun really calls is compiled (native/).  Every call is made with arguments
that it must refuse, so nothing happens: any errno but ENOSYS means that it is there.  All these calls are younger
than the day the architectures agreed on their numbers (Linux 5.1, asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
from errno import ENOSYS

NUMBERS = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}
# clone3 and openat2 refuse a structure of size 0, the others a flag or a descriptor that cannot be.
BAD = -1


def absent() -> list[str]:
    """The calls of ``NUMBERS`` that this kernel does not have, or that a filter hides (ENOSYS)."""
    libc = ctypes.CDLL(None, use_errno=True)
    missing = []
    for name, number in NUMBERS.items():
        arguments = (0, 0) if name == "clone3" else (5, 4, BAD) if name == "close_range" else (BAD, 0, BAD, 0, 0)
        if libc.syscall(number, *[ctypes.c_long(word) for word in arguments]) < 0 and ctypes.get_errno() == ENOSYS:
            missing.append(name)
    return missing
