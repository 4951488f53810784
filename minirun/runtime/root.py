"""Where the state directory is, if --root does not say."""

from __future__ import annotations

import posix


def default_root(env: dict[str, str], euid: int) -> str:
    """/run/minirun for the host's root, else below $XDG_RUNTIME_DIR (as in runc), /run/user/UID, or /tmp.

    Root of a user namespace is an ordinary user outside, and finds what he finds outside.  Only where USER says root,
    or nothing says where to go, and /run can be written (a container's own), is it like the host's root.
    """
    outside = outer_uid(euid)
    if euid == 0 and outside == 0:
        return "/run/minirun"
    base = env.get("XDG_RUNTIME_DIR", "")
    own_run = euid == 0 and posix.access("/run", posix.W_OK)
    if base.startswith("/") and not (own_run and env.get("USER") == "root"):
        return f"{base}/minirun"
    if own_run:
        return "/run/minirun"
    usual = f"/run/user/{outside}"
    return f"{usual}/minirun" if posix.access(usual, posix.W_OK) else f"/tmp/minirun-{outside}"


def outer_uid(euid: int) -> int:
    """Who we are one user namespace further out (user_namespaces(7), /proc/PID/uid_map); ``euid`` in the first one."""
    from minirun.facts import id_map, read

    for inside, outside, size in id_map(read("/proc/self/uid_map")):
        if inside <= euid < inside + size:
            return outside + euid - inside
    return euid


def another_root() -> str:
    hint = "minirun --root names another one"
    return (
        hint
        if posix.geteuid() == 0
        else f"{hint}; XDG_RUNTIME_DIR must be a directory of your own (su keeps another's)"
    )


def filter_cache(env: dict[str, str], euid: int) -> str:
    """Compiled system call filters: one place, whatever --root says.  The dot keeps it apart from containers."""
    return f"{default_root(env, euid)}/.filters"
