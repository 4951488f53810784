"""clone3(2), CLONE_INTO_CGROUP and CLONE_PIDFD, then the sealed init (native/border/spawn.c)."""

from __future__ import annotations

import posix

from minirun.linux import ffi, lib, oserror


def spawn(
    *,
    flags: int,
    init_fd: int,
    sync_fd: int,
    plan_fd: int,
    cgroup_fd: int = -1,
    gate_fd: int = -1,
    target_fd: int = -1,
    preserve: int = 0,
    stdio: tuple[int, int, int] = (-1, -1, -1),
) -> tuple[int, int]:
    """Start ``minirun-init`` in new namespaces (``flags``: CLONE_NEW*); returns its (pid, pidfd).

    Raises OSError: EPERM (no right to a namespace), ENOSPC (user.max_*_namespaces), EBUSY or EOPNOTSUPP (the
    cgroup takes no processes), and whatever execveat(2) says.
    """
    request = ffi.new("struct spawn_request *")
    request.flags = flags
    request.cgroup_fd = cgroup_fd
    request.init_fd = init_fd
    request.sync_fd = sync_fd
    request.plan_fd = plan_fd
    request.gate_fd = gate_fd
    request.target_fd = target_fd
    request.stdio = stdio
    request.preserve = preserve
    if lib.minirun_spawn(request) < 0:
        raise oserror("clone3")
    if request.error:
        posix.waitpid(request.pid, 0)
        posix.close(request.pidfd)
        raise OSError(request.error, posix.strerror(request.error), "execveat")
    return request.pid, request.pidfd
