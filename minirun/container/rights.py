"""What a container may do: capabilities, paths of /proc and /sys, the options of --security-opt.  PURE.

The defaults are docker's: fourteen capabilities, /proc and /sys with their dangerous parts masked or read-only, a
system call filter (``default_filter``), no_new_privs off.
"""

from __future__ import annotations

from minirun.container.units import switch, wrong
from minirun.plan.process import CAPABILITIES
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT = (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)  # fmt: skip
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class Security(Record):
    """--security-opt, sorted out."""

    seccomp: str = ""  # "" the default, unconfined, or a file
    apparmor: str = ""
    label: str = ""  # an SELinux label; disable for none
    no_new_privileges: bool = False
    mask: list[str]
    unmask: list[str]


def capability(option: str, text: str) -> str:
    """net_admin, NET_ADMIN, CAP_NET_ADMIN -> NET_ADMIN."""
    name = text.upper().removeprefix("CAP_")
    if name != "ALL" and name not in CAPABILITIES:
        from difflib import get_close_matches

        near = get_close_matches(name, CAPABILITIES, 1)
        raise wrong(option, text, "a capability", f"did you mean {near[0]}?" if near else "capabilities(7) lists them")
    return name


def capabilities(add: list[str], drop: list[str], privileged: bool) -> list[str]:
    """The set, in the kernel's order.

    docker's rules: ALL among the added is all but the dropped; ALL among the dropped is the added alone.
    """
    added = {capability("--cap-add", name) for name in add}
    dropped = {capability("--cap-drop", name) for name in drop}
    if privileged or "ALL" in added:
        held = set(CAPABILITIES) - dropped
        if "ALL" in dropped:
            held = added - {"ALL"} if not privileged else set()
    elif "ALL" in dropped:
        held = added
    else:
        held = (set(DEFAULT) | added) - dropped
    return [name for name in CAPABILITIES if name in held]


def capability_sets(names: list[str], root: bool, asked: list[str]) -> dict[str, list[str]]:
    """For config.json.  Whoever is not root gets what was added by name as ambient: else it would be lost at execve.

    docker leaves an ordinary user without any; podman does as we do.
    """
    listed = [f"CAP_{name}" for name in names]
    if root:
        return {"bounding": listed, "effective": listed, "permitted": listed}
    own = [f"CAP_{name}" for name in names if name in asked]
    return {"bounding": listed, "effective": own, "permitted": own, "inheritable": own, "ambient": own}


def security(options: list[str]) -> Security:
    made = Security(mask=[], unmask=[])
    for text in options:
        key, equals, value = text.partition("=")
        if not equals and ":" in text:  # docker's older spelling, label:disable
            key, equals, value = text.partition(":")
        if key in ("no-new-privileges", "no-new-privs"):
            made.no_new_privileges = switch("--security-opt no-new-privileges", value)
        elif key in ("seccomp", "apparmor", "label") and value:
            setattr(made, key, label(made.label, value) if key == "label" else value)
        elif key == "systempaths" and value == "unconfined":
            made.unmask.append("ALL")
        elif key in ("mask", "unmask") and value:
            getattr(made, key).extend(paths(key, value))
        elif key == "proc-opts" or not equals or not value:
            raise wrong("--security-opt", text, "a known option", "seccomp=, apparmor=, label=, no-new-privileges, ...")
        else:
            raise wrong("--security-opt", text, "a known option", f"{key!r} is none of minirun's")
    return made


def paths(key: str, value: str) -> list[str]:
    found = value.split(":")
    for path in found:
        if not path.startswith("/") and not (key == "unmask" and path == "ALL"):
            raise wrong(f"--security-opt {key}", value, "absolute paths, with : between them")
    return found


def label(before: str, value: str) -> str:
    """label=disable, or label=user:U, role:R, type:T, level:L, which make one whole label in this order."""
    if value == "disable":
        return value
    kind, _, word = value.partition(":")
    if kind not in ("user", "role", "type", "level") or not word:
        raise wrong("--security-opt label", value, "disable, user:, role:, type: or level:")
    parts = dict(part.split("=", 1) for part in before.split(";") if "=" in part)
    parts[kind] = word
    return ";".join(f"{name}={word}" for name, word in parts.items())


def selinux(parts: str) -> str:
    """The label of a container's process; what was not asked for is the policy's usual."""
    given = dict(part.split("=", 1) for part in parts.split(";") if "=" in part)
    usual = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
    return ":".join(given.get(name, word) for name, word in usual.items())


def hidden(asked: dict[str, Any]) -> tuple[list[str], list[str]]:
    """maskedPaths and readonlyPaths."""
    unmask = asked.get("unmask", [])
    if asked.get("privileged") or "ALL" in unmask:
        return list(asked.get("mask", [])), []
    open_ = {path.rstrip("/") for path in unmask}
    masked = [path for path in (*MASKED, *asked.get("mask", [])) if path not in open_]
    return masked, [path for path in READONLY if path not in open_]
