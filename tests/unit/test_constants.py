"""Numbers that Python writes down as plain integers are the compiler's (native/build.py, CONSTANTS)."""

from __future__ import annotations

import pytest

from minirun.cgroups import device_program
from minirun.linux import lib, mountfd, statfs
from minirun.plan import mountflags, namespaces, process
from minirun.spec.rules import RLIMITS
from native import build

CLONE_NAMES = {
    "user": "USER", "mount": "NS", "pid": "PID", "network": "NET", "ipc": "IPC", "uts": "UTS", "cgroup": "CGROUP",
    "time": "TIME",
}  # fmt: skip
ATTRIBUTES = ("RDONLY", "NOSUID", "NODEV", "NOEXEC", "NOATIME", "STRICTATIME", "NODIRATIME", "NOSYMFOLLOW")


def test_namespaces() -> None:
    assert {name: getattr(lib, f"CLONE_NEW{word}") for name, word in CLONE_NAMES.items()} == namespaces.CLONE


def test_mount_attributes() -> None:
    for name in ATTRIBUTES:
        assert getattr(mountflags, name) == getattr(lib, f"MOUNT_ATTR_{name}"), name
    assert lib.MOUNT_ATTR__ATIME == mountflags.ATIME_MASK


def test_flags_of_paths() -> None:
    assert lib.AT_RECURSIVE == mountfd.AT_RECURSIVE


def test_propagation() -> None:
    for name in ("REC", "PRIVATE", "SLAVE", "SHARED", "UNBINDABLE"):
        assert getattr(mountflags, f"MS_{name}") == getattr(lib, f"MS_{name}"), name


def test_resource_limits() -> None:
    """Their place in the list is their number."""
    assert {name: getattr(lib, f"RLIMIT_{name}") for name in RLIMITS} == {n: i for i, n in enumerate(RLIMITS)}


@pytest.mark.parametrize("name", ["CHOWN", "SYS_ADMIN", "CHECKPOINT_RESTORE"])
def test_capabilities(name: str) -> None:
    assert getattr(lib, f"CAP_{name}") == process.NUMBER[name]
    assert len(process.CAPABILITIES) == lib.CAP_CHECKPOINT_RESTORE + 1


def test_file_systems() -> None:
    assert lib.CGROUP2_SUPER_MAGIC == statfs.CGROUP2_SUPER_MAGIC
    assert lib.PROC_SUPER_MAGIC == statfs.PROC_SUPER_MAGIC


def test_devices() -> None:
    assert device_program.ACCESS == {
        "m": lib.BPF_DEVCG_ACC_MKNOD, "r": lib.BPF_DEVCG_ACC_READ, "w": lib.BPF_DEVCG_ACC_WRITE,
    }  # fmt: skip
    assert device_program.TYPES == {"b": lib.BPF_DEVCG_DEV_BLOCK, "c": lib.BPF_DEVCG_DEV_CHAR}


def test_every_constant_is_compared() -> None:
    """A constant that nobody compares is one that nobody needs."""
    used = {f"CLONE_NEW{word}" for word in CLONE_NAMES.values()} | {f"MOUNT_ATTR_{name}" for name in ATTRIBUTES}
    used |= {"MOUNT_ATTR__ATIME", *(f"RLIMIT_{name}" for name in RLIMITS)}
    used |= {f"MS_{name}" for name in ("REC", "PRIVATE", "SLAVE", "SHARED", "UNBINDABLE")}
    used |= {"AT_RECURSIVE"}
    used |= {"CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE", "CGROUP2_SUPER_MAGIC", "PROC_SUPER_MAGIC"}
    used |= {f"BPF_DEVCG_{word}" for word in ("ACC_MKNOD", "ACC_READ", "ACC_WRITE", "DEV_BLOCK", "DEV_CHAR")}
    assert set(build.CONSTANTS.split()) == used
