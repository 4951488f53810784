"""A container's rights as far as they depend on this host: its capabilities, its filter, its AppArmor profile."""

from __future__ import annotations

from minirun.container.rights import capabilities
from minirun.plan.process import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def held_by(asked: dict[str, Any]) -> list[str]:
    """All, where that is what is asked for, are all that we have ourselves."""
    held = capabilities(asked["capAdd"], asked["capDrop"], asked["privileged"])
    if asked["privileged"] or "ALL" in [name.upper() for name in asked["capAdd"]]:
        mask = own_capabilities()
        return [name for name in held if mask >> NUMBER[name] & 1]
    return held


def own_capabilities() -> int:
    """Our bounding set: what a child of ours can have at most (capabilities(7))."""
    from minirun.facts import read

    lines = read("/proc/self/status").splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:")), (1 << 64) - 1)


def added(asked: dict[str, Any]) -> list[str]:
    names = [name.upper().removeprefix("CAP_") for name in asked["capAdd"]]
    return held_by(asked) if "ALL" in names else names


def system_calls(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["seccomp"] == "unconfined" or (asked["privileged"] and asked["seccomp"] == ""):
        return {}
    import posix

    about = posix.uname()
    if asked["seccomp"] == "":
        from minirun.container.default_filter import default

        return default(held_by(asked), about.machine)
    from minirun.container.profile import section

    major, minor = about.release.split(".")[:2]
    kernel = (int(major), int("".join(c for c in minor if c.isdigit()) or "0"))
    return section(asked["seccompProfile"], held_by(asked), about.machine, kernel, "of --security-opt")


def default_profile() -> str:
    """docker's own AppArmor profile, where AppArmor is in force and the profile is loaded."""
    from minirun.facts import read

    if read("/sys/module/apparmor/parameters/enabled").strip() != "Y":
        return ""
    loaded = read("/sys/kernel/security/apparmor/profiles")
    return next((name for name in ("minirun-default", "docker-default") if f"{name} (" in loaded), "")
