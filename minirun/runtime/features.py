"""The features document (runtime-spec, features.md and features-linux.md): only what minirun really carries out."""

from __future__ import annotations

from minirun.errors import MinirunError
from minirun.plan.mountflags import KNOWN
from minirun.plan.process import CAPABILITIES
from minirun.plan.seccomp import KERNEL_FLAGS, word_of
from minirun.runtime.store import OCI_VERSION
from minirun.spec.rules import KEEP_GROUPS, NAMESPACES, RAW_FILTER
from minirun.spec.schema import HOOK_NAMES, HOOK_STDERR, HOOK_STDOUT, MEMORY_FLAGS, MEMORY_MODES, PIDFD_RECEIVER
from minirun.spec.seccomp_rules import ACTIONS, ARCHITECTURES, FLAGS, OPERATORS, RECEIVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# Whoever may write these sets systemd's properties, writes the filter, connects to a socket of the host's, appends to
# its files, or keeps the caller's groups.
UNSAFE = [
    "org.systemd.property.", RAW_FILTER, RECEIVER, HOOK_STDOUT, HOOK_STDERR, PIDFD_RECEIVER, KEEP_GROUPS,
    "dev.minirun.vm.",
]  # fmt: skip


def seccomp() -> dict[str, Any]:
    """What this kernel and this libseccomp can do; "known" is what minirun would ask them for."""
    try:
        from minirun.linux import libseccomp
    except MinirunError:
        return {"enabled": False}
    available = libseccomp.kernel_actions()
    return {
        "enabled": bool(available),
        "actions": [name for name in ACTIONS if word_of(name) in available],
        "operators": list(OPERATORS),
        "archs": [name for name in ARCHITECTURES if libseccomp.architecture(name.removeprefix("SCMP_ARCH_").lower())],
        "knownFlags": list(FLAGS),
        "supportedFlags": [name for name, flag in KERNEL_FLAGS.items() if libseccomp.kernel_has_flag(flag)],
    }


def libseccomp_version() -> dict[str, str]:
    """Under the name that features.md has it in its example."""
    try:
        from minirun.linux import libseccomp
    except MinirunError:
        return {}
    return {"io.github.seccomp.libseccomp.version": libseccomp.version()}


def features() -> dict[str, Any]:
    from minirun import __version__

    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(HOOK_NAMES),
        "mountOptions": list(KNOWN),
        "linux": {
            "namespaces": sorted(NAMESPACES),
            "capabilities": [f"CAP_{name}" for name in CAPABILITIES],
            "cgroup": {"v1": False, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": seccomp(),
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "memoryPolicy": {"modes": sorted(MEMORY_MODES), "flags": sorted(MEMORY_FLAGS)},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {
            "io.github.minirun.version": __version__,
            "io.github.minirun.isolations": "container,sandbox,vm",
            **libseccomp_version(),
        },
        "potentiallyUnsafeConfigAnnotations": UNSAFE,
    }
