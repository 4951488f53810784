"""unshare(2), pivot_root(2), capset(2), prctl(2) and seccomp(2) for a process that gives its own rights up.

Native, in native/vm/confine.c: only the VMM does this to itself; containers have ``minirun-init`` for it.
"""

from __future__ import annotations

from posix import strerror

from minirun.linux.kvm import ffi, lib

NEWNS, NEWNET, NEWIPC, NEWUTS = 0x00020000, 0x40000000, 0x08000000, 0x04000000


def checked(result: int, call: str) -> None:
    if result < 0:
        raise OSError(ffi.errno, strerror(ffi.errno), call)


def unshare(flags: int) -> None:
    checked(lib.confine_unshare(flags), "unshare")


def private_proc() -> None:
    """In a mount namespace of one's own: /proc shows processes, and nothing else (proc(5), subset=pid)."""
    checked(lib.confine_proc(), "mount")


def empty_root() -> None:
    """In a mount namespace of one's own: an empty, read-only root; open descriptors stay what they are."""
    checked(lib.confine_empty_root(), "pivot_root")


def keep_capabilities(mask: int) -> None:
    """A bit for each that stays; no_new_privs; not dumpable."""
    checked(lib.confine_rights(mask), "capset")


def load_filter(program: bytes) -> None:
    """struct sock_filter, 8 bytes each (seccomp(2))."""
    checked(lib.confine_filter(ffi.from_buffer(program), len(program) // 8), "seccomp")


def set_name(name: str) -> None:
    """The thread's name, 15 bytes (prctl(2), PR_SET_NAME)."""
    checked(lib.confine_name(name.encode()), "prctl")
