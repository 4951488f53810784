"""seccomp_init(3) and its sisters: libseccomp, which turns rules into a BPF program.  And seccomp(2)'s own questions.

The extension ``minirun._seccomp`` is imported with this module: only where a filter must be compiled.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from minirun import _seccomp
except ImportError as failure:
    raise MinirunError(
        "cannot compile a system call filter", reason=f"minirun's extension for it cannot be loaded ({failure})",
        hint="install libseccomp-dev and libseccomp2, and run make setup",
    ) from failure  # fmt: skip

ffi: Any = _seccomp.ffi
lib: Any = _seccomp.lib

ACTIONS = {
    "kill_process": lib.SECCOMP_RET_KILL_PROCESS, "kill_thread": lib.SECCOMP_RET_KILL_THREAD,
    "trap": lib.SECCOMP_RET_TRAP, "errno": lib.SECCOMP_RET_ERRNO, "notify": lib.SECCOMP_RET_USER_NOTIF,
    "trace": lib.SECCOMP_RET_TRACE, "log": lib.SECCOMP_RET_LOG, "allow": lib.SECCOMP_RET_ALLOW,
}  # fmt: skip
OPERATORS = {
    "!=": lib.SCMP_CMP_NE, "<": lib.SCMP_CMP_LT, "<=": lib.SCMP_CMP_LE, "==": lib.SCMP_CMP_EQ,
    ">=": lib.SCMP_CMP_GE, ">": lib.SCMP_CMP_GT, "&": lib.SCMP_CMP_MASKED_EQ,
}  # fmt: skip
UNKNOWN = lib.__NR_SCMP_ERROR
BINARY_TREE = 2  # SCMP_FLTATR_CTL_OPTIMIZE: a search in place of one comparison after the other
EDOM, EEXIST, ENOSYS = 33, 17, 38


def failed(number: int, name: str) -> OSError:
    """libseccomp returns a negative errno."""
    return OSError(-number, posix.strerror(-number), name)


def architecture(name: str) -> int:
    """Its token, 0 if this libseccomp does not know it (seccomp_arch_resolve_name(3)); "" is the machine's own."""
    token: int = lib.seccomp_arch_resolve_name(name.encode()) if name else lib.seccomp_arch_native()
    return token


def number_on(token: int, name: str) -> int:
    """A system call's number on an architecture; negative if it has none there."""
    number: int = lib.seccomp_syscall_resolve_name_arch(token, name.encode())
    return number


def version() -> str:
    found = lib.seccomp_version()
    return f"{found.major}.{found.minor}.{found.micro}"


def kernel_actions() -> list[str]:
    """The words of ``ACTIONS`` that this kernel knows; none where it has no filters at all (seccomp(2))."""
    return [word for word, action in ACTIONS.items() if lib.minirun_seccomp_has_action(action)]


def kernel_has_flag(flag: int) -> bool:
    """WAIT_KILLABLE_RECV goes with a listener only."""
    more = lib.SECCOMP_FILTER_FLAG_NEW_LISTENER if flag == lib.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV else 0
    return bool(lib.minirun_seccomp_has_flag(flag | more))


def file() -> str:
    """The library's file, as the dynamic linker found it; "" if it does not say."""
    name = lib.minirun_library_of_seccomp()
    return "" if name == ffi.NULL else ffi.string(name).decode()


class Filter:
    """A filter in the making: scmp_filter_ctx.  Methods raise OSError with libseccomp's errno."""

    def __init__(self, default: int) -> None:
        self.context = lib.seccomp_init(default)
        if self.context == ffi.NULL:
            raise OSError(22, "libseccomp refuses the default action", "seccomp_init")
        self.context = ffi.gc(self.context, lib.seccomp_release)
        lib.seccomp_attr_set(self.context, lib.SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE)  # an older one does without

    def add_architecture(self, token: int) -> bool:
        """False if it cannot be one of this machine's: of another byte order."""
        result = lib.seccomp_arch_add(self.context, token)
        if result < 0 and -result not in (EDOM, EEXIST):
            raise failed(result, "seccomp_arch_add")
        return bool(-result != EDOM)

    def add_rule(
        self, action: int, name: str, conditions: list[tuple[int, int, int, int]], *, strict: bool = False
    ) -> None:
        """For every architecture that has the call; nothing (``strict``: ENOSYS) if nobody has heard of it.

        ``conditions``: argument, operator, value, and for a mask the value that must be left.
        """
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number == UNKNOWN:
            if strict:
                raise OSError(ENOSYS, f"libseccomp knows no system call {name}", name)
            return
        array = ffi.new("struct scmp_arg_cmp[]", conditions) if conditions else ffi.NULL
        result = lib.seccomp_rule_add_array(self.context, action, number, len(conditions), array)
        if result < 0:
            raise failed(result, name)

    def export(self) -> bytes:
        """The program: struct sock_filter, 8 bytes each."""
        fd = posix.memfd_create("minirun-filter", posix.MFD_CLOEXEC)
        try:
            result = lib.seccomp_export_bpf(self.context, fd)
            if result < 0:
                raise failed(result, "seccomp_export_bpf")
            return posix.pread(fd, posix.fstat(fd).st_size, 0)
        finally:
            posix.close(fd)
