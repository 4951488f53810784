"""Numbers that Python writes down as plain integers are the compiler's (native/build.py, CONSTANTS)."""

from __future__ import annotations

import pytest

from minirun.cgroups import device_program
from minirun.linux import lib, mountfd, namespaces as entered, ofdlock, openat2, rtnetlink, statfs
from minirun.plan import mountflags, namespaces, process
from minirun.spec import rare
from minirun.spec.rules import RLIMITS
from native import build

CLONE_NAMES = {
    "user": "USER", "mount": "NS", "pid": "PID", "network": "NET", "ipc": "IPC", "uts": "UTS", "cgroup": "CGROUP",
    "time": "TIME",
}  # fmt: skip
NETLINK = (
    *("RTM_SETLINK", "RTM_NEWLINK", "RTM_GETLINK", "RTM_NEWADDR", "RTM_GETADDR"),
    *("IFLA_IFNAME", "IFLA_NET_NS_FD", "IFLA_NEW_IFINDEX", "IFF_UP"),
    *("IFA_ADDRESS", "IFA_LOCAL", "IFA_BROADCAST", "IFA_FLAGS", "IFA_RT_PRIORITY", "IFA_PROTO", "IFA_F_PERMANENT"),
    *("NLM_F_REQUEST", "NLM_F_ACK", "NLM_F_DUMP", "NLM_F_CREATE", "NLM_F_EXCL", "NLM_F_DUMP_INTR", "NLM_F_ACK_TLVS"),
    *("NLMSG_ERROR", "NLMSG_DONE"),
)
ATTRIBUTES = ("RDONLY", "NOSUID", "NODEV", "NOEXEC", "NOATIME", "STRICTATIME", "NODIRATIME", "NOSYMFOLLOW")


def test_namespaces() -> None:
    assert {name: getattr(lib, f"CLONE_NEW{word}") for name, word in CLONE_NAMES.items()} == namespaces.CLONE


def test_namespaces_to_enter() -> None:
    assert (entered.NEWNS, entered.NEWUSER, entered.NEWNET) == (lib.CLONE_NEWNS, lib.CLONE_NEWUSER, lib.CLONE_NEWNET)
    for name in ("USERNS", "PARENT", "OWNER_UID"):
        assert getattr(entered, f"NS_GET_{name}") == getattr(lib, f"NS_GET_{name}")


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
    assert lib.RDTGROUP_SUPER_MAGIC == statfs.RDTGROUP_SUPER_MAGIC


def test_devices() -> None:
    assert device_program.ACCESS == {
        "m": lib.BPF_DEVCG_ACC_MKNOD, "r": lib.BPF_DEVCG_ACC_READ, "w": lib.BPF_DEVCG_ACC_WRITE,
    }  # fmt: skip
    assert device_program.TYPES == {"b": lib.BPF_DEVCG_DEV_BLOCK, "c": lib.BPF_DEVCG_DEV_CHAR}


def test_scheduling() -> None:
    for table in (rare.POLICY, rare.SCHEDULER_FLAG):
        assert table == {name: getattr(lib, name) for name in table}
    assert {"LINUX": lib.PER_LINUX, "LINUX32": lib.PER_LINUX32} == rare.DOMAIN


def test_memory_policies() -> None:
    """Headers of older distributions do not know the youngest mode: it comes after the others."""
    old = {name: number for name, number in rare.MODE.items() if name != "MPOL_WEIGHTED_INTERLEAVE"}
    assert old == {name: getattr(lib, name) for name in old}
    assert rare.MODE["MPOL_WEIGHTED_INTERLEAVE"] == len(old)
    assert {name: getattr(lib, name) for name in rare.MODE_FLAG} == rare.MODE_FLAG


@pytest.mark.parametrize("name", NETLINK)
def test_netlink(name: str) -> None:
    assert getattr(rtnetlink, name) == getattr(lib, name)


def test_every_constant_is_compared() -> None:
    """A constant that nobody compares is one that nobody needs."""
    used = {f"CLONE_NEW{word}" for word in CLONE_NAMES.values()} | {f"MOUNT_ATTR_{name}" for name in ATTRIBUTES}
    used |= {"MOUNT_ATTR__ATIME", *(f"RLIMIT_{name}" for name in RLIMITS)}
    used |= {f"MS_{name}" for name in ("REC", "PRIVATE", "SLAVE", "SHARED", "UNBINDABLE")}
    used |= {"AT_RECURSIVE"}
    used |= {"CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE", "CGROUP2_SUPER_MAGIC", "PROC_SUPER_MAGIC"}
    used |= {f"BPF_DEVCG_{word}" for word in ("ACC_MKNOD", "ACC_READ", "ACC_WRITE", "DEV_BLOCK", "DEV_CHAR")}
    used |= {*rare.POLICY, *rare.SCHEDULER_FLAG, *rare.MODE, *rare.MODE_FLAG} - {"MPOL_WEIGHTED_INTERLEAVE"}
    used |= {*NETLINK, "PER_LINUX", "PER_LINUX32", "RDTGROUP_SUPER_MAGIC"}
    used |= {"NS_GET_USERNS", "NS_GET_PARENT", "NS_GET_OWNER_UID"}
    assert set(build.CONSTANTS.split()) == used


def test_paths_and_locks() -> None:
    for name in ("NO_XDEV", "NO_MAGICLINKS", "NO_SYMLINKS", "BENEATH", "IN_ROOT"):
        assert getattr(lib, f"RESOLVE_{name}") == getattr(openat2, f"RESOLVE_{name}"), name
    assert lib.F_OFD_SETLKW == ofdlock.F_OFD_SETLKW
    assert lib.F_WRLCK == ofdlock.F_WRLCK
