"""Example documents and their plans: the goldens of tests/unit/golden, and the seeds of the fuzzer (native/fuzz).

A new kind of thing in config.json gets a line in one of these, or an example of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from minirun.plan.container import Plan
from minirun.plan.exec import ExecAsked, plan as plan_exec
from minirun.spec import check
from minirun.spec.template import template
from tests.unit.documents import ROOT, USER, Json, checked, default, host, planned, put
from tests.unit.examples_machine import machine, machine_executed


def plain() -> Plan:
    """What ``minirun spec`` writes, by root on a host with everything."""
    return planned(default())


def rootless() -> Plan:
    """What ``minirun spec --rootless`` writes, by an ordinary user without a cgroup of its own."""
    document = template(rootless=True, uid=1000, gid=1000)
    document["process"]["terminal"] = False
    return planned(document, USER)


def ranges() -> Plan:
    """An ordinary user with ranges of ids: the helpers write the maps, the clocks too are written while init is his."""
    document = template(rootless=True, uid=1000, gid=1000)
    rows = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]
    document["linux"].update(uidMappings=rows, gidMappings=rows, timeOffsets={"boottime": {"secs": 60}})
    document["linux"]["namespaces"].append({"type": "time"})
    document["process"].update(user={"uid": 7, "gid": 7, "additionalGids": [8]}, oomScoreAdj=100)
    return planned(document, host(USER, newuidmap="/usr/bin/newuidmap", newgidmap="/usr/bin/newgidmap"))


def joined() -> Plan:
    """Into the user and pid namespaces of another container, the rest new (a pod's second container)."""
    document = default()
    document["linux"]["namespaces"] = [
        {"type": "user", "path": "/proc/4242/ns/user"},
        {"type": "pid", "path": "/proc/4242/ns/pid"},
        {"type": "network", "path": "/run/netns/web"},
        {"type": "mount"},
        {"type": "uts"},
        {"type": "ipc"},
        {"type": "cgroup"},
    ]
    return planned(document)


def mapped() -> Plan:
    """A new user namespace, by root: limits are raised from outside, devices are bound, the cgroup is its user's."""
    document = default()
    next(mount for mount in document["mounts"] if mount["type"] == "cgroup")["options"].remove("ro")
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"]["uidMappings"] = [
        {"containerID": 0, "hostID": 100000, "size": 1000},
        {"containerID": 1000, "hostID": 200000, "size": 64536},
    ]
    document["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    document["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [10, 20], "umask": 0o27}
    document["process"]["oomScoreAdj"] = -500
    rows = [{"containerID": 0, "hostID": 7, "size": 9}]
    document["mounts"] += [
        {"destination": "/own", "source": "/srv/own", "options": ["rbind", "ridmap", "ro"]},
        {"destination": "/set", "source": "o", "options": ["bind", "idmap"], "uidMappings": rows, "gidMappings": rows},
        {"destination": "/crun", "source": "c", "options": ["bind", "idmap=uids=@0-998-4;gids=0-5-1"]},
        {"destination": "/tmp", "source": "tmpfs", "type": "tmpfs", "options": ["idmap", "size=1m", "ro"]},
    ]
    return planned(document)


def clocks() -> Plan:
    """A time namespace with offsets: written by the host after init unshared it, before the first child."""
    document = default()
    document["linux"]["namespaces"].append({"type": "time"})
    document["linux"]["timeOffsets"] = {
        "monotonic": {"secs": 172800, "nanosecs": 1},
        "boottime": {"secs": -3600},
    }
    return planned(document)


def limited() -> Plan:
    """Every controller at work."""
    document = default()
    document["linux"]["cgroupsPath"] = "/pods/web"
    document["linux"]["resources"] = {
        "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 200}],
        "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432},
        "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "burst": 1000, "cpus": "0-1", "mems": "0", "idle": 0},
        "pids": {"limit": 100},
        "blockIO": {"weight": 100, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
        "rdma": {"mlx5_0": {"hcaHandles": 3}},
        "unified": {"memory.high": "60000000"},
    }
    return planned(document)


def terminal() -> Plan:
    """A terminal, a user, a working directory of its own; no new keyring."""
    document = default("bash", "-l")
    document["process"].update(
        terminal=True,
        consoleSize={"height": 24, "width": 80},
        user={"uid": 1000, "gid": 1000},
        cwd="/home/guest",
        env=["PATH=/bin::/usr/bin", "TERM=xterm", "TERM=vt100"],
        noNewPrivileges=False,
    )
    document["process"]["rlimits"].append({"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1})
    document["domainname"] = "example"
    return planned(document, no_new_keyring=True, listen_fds=2)


def hooked() -> Plan:
    """Hooks of all six kinds; poststart and poststop are no part of a plan."""
    document = default()
    for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"):
        first = {"path": f"/hooks/{kind}", "args": [kind, "one"], "env": ["A=1"], "timeout": 5}
        put(document, f"/hooks/{kind}", [first, {"path": "/hooks/second"}])
    return planned(document)


def mounted() -> Plan:
    """Binds, propagation, remounts, whole trees, tmpcopyup, and a rootfs that is shared."""
    document = default()
    document["root"] = {"path": "/var/lib/rootfs"}
    document["mounts"] += [
        {"destination": "/data", "source": "/srv/data", "options": ["rbind", "rprivate", "nosuid", "rro"]},
        {"destination": "etc/resolv.conf", "source": "resolv.conf", "type": "bind", "options": ["bind", "ro"]},
        {
            "destination": "/a/../b//c",
            "source": "tmpfs",
            "type": "tmpfs",
            "options": ["size=1m", "tmpcopyup", "noatime"],
        },
        {"destination": "/data", "type": "none", "options": ["remount", "bind", "ro", "rnodev", "unbindable"]},
        {"destination": "/overlay", "source": "overlay", "type": "overlay", "options": ["lowerdir=/l", "ro", "sync"]},
        {"destination": "/links", "source": "/l", "options": ["bind", "src-nofollow", "dest-nofollow", "copy-symlink"]},
        {"destination": "/versions", "source": "/dev/sdb", "type": "ext4", "options": ["iversion"]},
        {"destination": "/", "options": ["rshared"]},
    ]
    document["linux"]["rootfsPropagation"] = "rshared"
    document["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/forwarding": "0"}
    document["linux"]["maskedPaths"] = ["/proc/kcore"]
    document["linux"]["readonlyPaths"] = ["/proc/sys", "/etc"]
    return planned(document, no_pivot=True)


def devices() -> Plan:
    """Nodes of all kinds, with owner and mode; one replaces a default."""
    document = default()
    document["linux"]["devices"] = [
        {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o660, "uid": 5, "gid": 6},
        {"type": "b", "path": "/dev/disk/sda", "major": 8, "minor": 0},
        {"type": "u", "path": "/dev/raw", "major": 7, "minor": 1},
        {"type": "p", "path": "/run/fifo", "fileMode": 0o600},
        {"type": "c", "path": "/dev/null", "major": 1, "minor": 3, "fileMode": 0o600},
    ]
    put(document, "/linux/resources/devices/1", {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"})
    return planned(document)


def tuned() -> Plan:
    """Scheduling, memory nodes, another word size, interfaces, labels, a share of the cache: on a host with all."""
    document = default()
    document["process"].update(
        scheduler={"policy": "SCHED_FIFO", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 2},
        execCPUAffinity={"initial": "0", "final": "0-1"},
        apparmorProfile="container-default",
        selinuxLabel="system_u:system_r:container_t:s0:c1,c2",
    )
    document["linux"].update(
        personality={"domain": "LINUX32"},
        memoryPolicy={"mode": "MPOL_BIND", "nodes": "0,2-3", "flags": ["MPOL_F_STATIC_NODES"]},
        netDevices={"eth1": {}, "eth2": {"name": "net%d"}},
        mountLabel="system_u:object_r:container_file_t:s0:c1,c2",
        intelRdt={"l3CacheSchema": "L3:0=ff;1=f", "memBwSchema": "MB:0=50", "enableMonitoring": True},
    )
    everything = host(pinned=True, apparmor=True, selinux=True, resctrl="/sys/fs/resctrl")
    return planned(document, everything)


def bare() -> Plan:
    """The least there can be: one namespace, no mounts, no cgroup namespace, /sys/fs/cgroup bound."""
    document: Json = {
        "ociVersion": "1.0.0",
        "root": {"path": "rootfs"},
        "process": {"args": ["/init"], "cwd": "/"},
        "mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}],
        "linux": {"namespaces": [{"type": "mount"}]},
    }
    return planned(document)


def scoped() -> Plan:
    """--systemd-cgroup: init first, then the scope around it, then the files; systemd's manager is not at the top."""
    document = default()
    document["linux"]["cgroupsPath"] = "pods-web.slice:minirun:1"
    document["annotations"] = {"org.systemd.property.TimeoutStopSec": "7"}
    document["linux"]["resources"] = {
        "memory": {"limit": 67108864, "swap": 67108864},
        "cpu": {"shares": 512, "quota": 25000, "cpus": "0-1,9"},
        "pids": {"limit": -1},
    }
    return planned(document, host(systemd_root="/lab"), cgroup_driver="systemd")


def filtered() -> Plan:
    """A system call filter: compiled first, loaded last; CAP_SYS_ADMIN stays with init for it."""
    document = default()
    document["process"]["noNewPrivileges"] = False
    document["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/run/agent.sock",
        "syscalls": [
            {"names": ["read", "write", "execve"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"},
        ],
    }
    return planned(document)


def executed() -> Plan:
    """``exec`` with a terminal in the container of ``mapped``."""
    document = default()
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"]["uidMappings"] = document["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 7, "size": 9}]
    process = check.process(
        {"args": ["ps", "-ef"], "cwd": "/tmp", "terminal": True, "oomScoreAdj": 3, "user": {"uid": 7, "gid": 8}}, "x"
    )
    asked = ExecAsked(
        spec=checked(document),
        process=process,
        facts=ROOT,
        container_id="web",
        config="config.json",
        cgroup="/minirun/web",
    )
    return plan_exec(asked)


def affine() -> Plan:
    """``exec`` on CPUs of its own, with labels, in a user namespace: there the host sets priorities."""
    document = default()
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"]["uidMappings"] = document["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 7, "size": 9}]
    document["linux"]["personality"] = {"domain": "LINUX32"}
    process = check.process(
        {
            "args": ["true"],
            "cwd": "/",
            "apparmorProfile": "unconfined",
            "selinuxLabel": "system_u:system_r:container_t:s0",
            "execCPUAffinity": {"initial": "0", "final": "0-1,3"},
            "scheduler": {"policy": "SCHED_OTHER", "nice": -5},
            "ioPriority": {"class": "IOPRIO_CLASS_RT"},
        },
        "x",
    )
    asked = ExecAsked(
        spec=checked(document),
        process=process,
        facts=host(pinned=True, apparmor=True, selinux=True),
        container_id="web",
        config="config.json",
        cgroup="/minirun/web",
    )
    return plan_exec(asked)


EXAMPLES: dict[str, Callable[[], Plan]] = {
    function.__name__: function
    for function in (
        plain, rootless, ranges, joined, mapped, clocks, limited, scoped, terminal, hooked, mounted, devices, filtered,
        tuned, bare, executed, affine, machine, machine_executed,
    )
}  # fmt: skip
