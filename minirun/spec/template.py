"""What ``minirun spec`` writes: a shell in every namespace, few capabilities, nothing of the host in sight.

The members and values are runc's (and crun's) default, so that a bundle made here runs there and the other way.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
)  # fmt: skip
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    made: dict[str, Any] = {"destination": destination, "type": kind, "source": source}
    if options:
        made["options"] = list(options)
    return made


def mounts(rootless: bool) -> list[dict[str, Any]]:
    quiet = ("nosuid", "noexec", "nodev")
    pts = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
    sys = mount("/sys", "sysfs", "sysfs", *quiet, "ro")
    if rootless:
        sys = mount("/sys", "none", "/sys", "rbind", *quiet, "ro")
    return [
        mount("/proc", "proc", "proc"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "devpts", *pts, *(() if rootless else ("gid=5",))),
        mount("/dev/shm", "tmpfs", "shm", *quiet, "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", *quiet),
        sys,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", *quiet, "relatime", "ro"),
    ]


def template(*, rootless: bool = False, uid: int = 0, gid: int = 0) -> dict[str, Any]:
    """The document; ``uid`` and ``gid`` are mapped to root when ``rootless``."""
    namespaces = ["pid", "ipc", "uts", "mount", "cgroup"]
    linux: dict[str, Any] = {}
    if rootless:
        linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
        namespaces.append("user")
    else:
        namespaces.insert(1, "network")
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    linux["namespaces"] = [{"type": name} for name in namespaces]
    linux["maskedPaths"] = list(MASKED)
    linux["readonlyPaths"] = list(READONLY)
    sets = {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")}
    return {
        "ociVersion": "1.0.2",  # needs nothing newer, and crun of a stable distribution refuses what it does not know
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": sets,
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "minirun",
        "mounts": mounts(rootless),
        "linux": linux,
    }
