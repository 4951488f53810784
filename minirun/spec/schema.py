"""What a member of config.json may be (runtime-spec 1.3: config.md, config-linux.md).

A schema is a word (``"str"``), a tuple of words (one of these), a list of one schema (an array of it), a dict (an
object; the entry ``""`` names the required members), or ``("map", schema)``.  Members that are not named here
are ignored, as config.md (Extensibility) demands; members that minirun does not carry out *yet* are named in
``UNSUPPORTED`` and refused, never run without.
"""

from __future__ import annotations

from minirun.spec.seccomp_rules import ACTIONS, ARCHITECTURES, FLAGS, OPERATORS

ID_MAPPINGS = [{"": ("containerID", "hostID", "size"), "containerID": "uint32", "hostID": "uint32", "size": "uint32"}]
CAPABILITY_SETS = dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), ["str"])
HOOK = {"": ("path",), "path": "str", "args": ["str"], "env": ["str"], "timeout": "int64"}
HOOK_NAMES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

# sched_setattr(2) and set_mempolicy(2); spec/rare.py has their numbers.
SCHEDULER_POLICIES = (
    "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE",
)  # fmt: skip
SCHEDULER_FLAGS = (
    "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
)  # fmt: skip
MEMORY_MODES = (
    "MPOL_DEFAULT", "MPOL_PREFERRED", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
)  # fmt: skip
MEMORY_FLAGS = ("MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES")

PROCESS = {
    "": ("cwd",),
    "terminal": "bool",
    "consoleSize": {"": ("height", "width"), "height": "uint16", "width": "uint16"},
    "user": {"uid": "id", "gid": "id", "umask": "uint32", "additionalGids": ["id"], "username": "str"},
    "args": ["str"],
    "commandLine": "str",
    "env": ["str"],
    "cwd": "str",
    "capabilities": CAPABILITY_SETS,
    "rlimits": [{"": ("type", "soft", "hard"), "type": "str", "soft": "uint64", "hard": "uint64"}],
    "noNewPrivileges": "bool",
    "apparmorProfile": "str",
    "selinuxLabel": "str",
    "oomScoreAdj": "int32",
    "scheduler": {
        "": ("policy",),
        "policy": SCHEDULER_POLICIES,
        "nice": "int32",
        "priority": "int32",
        "flags": [SCHEDULER_FLAGS],
        "runtime": "uint64",
        "deadline": "uint64",
        "period": "uint64",
    },
    "ioPriority": {
        "": ("class",),
        "class": ("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"),
        "priority": "int32",
    },
    "execCPUAffinity": {"initial": "str", "final": "str"},
}

MOUNT = {
    "": ("destination",),
    "destination": "str",
    "source": "str",
    "type": "str",
    "options": ["str"],
    "uidMappings": ID_MAPPINGS,
    "gidMappings": ID_MAPPINGS,
}

MEMORY = {
    "limit": "int64",
    "reservation": "int64",
    "swap": "int64",
    "kernel": "int64",
    "kernelTCP": "int64",
    "swappiness": "uint64",
    "disableOOMKiller": "bool",
    "useHierarchy": "bool",
    "checkBeforeUpdate": "bool",
}
CPU = {
    "shares": "uint64",
    "quota": "int64",
    "burst": "uint64",
    "period": "uint64",
    "realtimeRuntime": "int64",
    "realtimePeriod": "uint64",
    "cpus": "str",
    "mems": "str",
    "idle": "int64",
}
THROTTLE = [{"": ("major", "minor", "rate"), "major": "int64", "minor": "int64", "rate": "uint64"}]
BLOCK_IO = {
    "weight": "uint16",
    "leafWeight": "uint16",
    "weightDevice": [
        {"": ("major", "minor"), "major": "int64", "minor": "int64", "weight": "uint16", "leafWeight": "uint16"}
    ],
    "throttleReadBpsDevice": THROTTLE,
    "throttleWriteBpsDevice": THROTTLE,
    "throttleReadIOPSDevice": THROTTLE,
    "throttleWriteIOPSDevice": THROTTLE,
}
RESOURCES = {
    "devices": [{"": ("allow",), "allow": "bool", "type": "str", "major": "int64", "minor": "int64", "access": "str"}],
    "memory": MEMORY,
    "cpu": CPU,
    "pids": {"": ("limit",), "limit": "int64"},
    "blockIO": BLOCK_IO,
    "hugepageLimits": [{"": ("pageSize", "limit"), "pageSize": "str", "limit": "uint64"}],
    "network": {"classID": "uint32", "priorities": [{"name": "str", "priority": "uint32"}]},
    "rdma": ("map", {"hcaHandles": "uint32", "hcaObjects": "uint32"}),
    "unified": ("map", "str"),
}

SECCOMP = {
    "defaultAction": ACTIONS,
    "defaultErrnoRet": "uint16",
    "architectures": [ARCHITECTURES],
    "flags": [FLAGS],
    "listenerPath": "str",
    "listenerMetadata": "str",
    "syscalls": [
        {
            "": ("names", "action"),
            "names": ["str"],
            "action": ACTIONS,
            "errnoRet": "uint16",
            "args": [
                {
                    "": ("index", "value", "op"),
                    "index": "uint32",
                    "value": "uint64",
                    "valueTwo": "uint64",
                    "op": OPERATORS,
                }
            ],
        }
    ],
}

LINUX = {
    "namespaces": [{"": ("type",), "type": "str", "path": "str"}],
    "uidMappings": ID_MAPPINGS,
    "gidMappings": ID_MAPPINGS,
    "timeOffsets": ("map", {"secs": "int64", "nanosecs": "uint32"}),
    "devices": [
        {
            "": ("type", "path"),
            "type": ("c", "b", "u", "p"),
            "path": "str",
            "major": "int64",
            "minor": "int64",
            "fileMode": "uint32",
            "uid": "id",
            "gid": "id",
        }
    ],
    "cgroupsPath": "str",
    "resources": RESOURCES,
    "rootfsPropagation": (
        "", "shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable",
    ),
    "maskedPaths": ["str"],
    "readonlyPaths": ["str"],
    "mountLabel": "str",
    "sysctl": ("map", "str"),
    "seccomp": SECCOMP,
    "personality": {"": ("domain",), "domain": ("LINUX", "LINUX32"), "flags": ["str"]},
    "memoryPolicy": {"": ("mode",), "mode": MEMORY_MODES, "nodes": "str", "flags": [MEMORY_FLAGS]},
    "netDevices": ("map", {"name": "str"}),
    "intelRdt": {
        "closID": "str",
        "l3CacheSchema": "str",
        "memBwSchema": "str",
        "schemata": ["str"],
        "enableMonitoring": "bool",
        "enableCMT": "bool",
        "enableMBM": "bool",
    },
}  # fmt: skip

# config-vm.md
VM = {
    "hypervisor": {"": ("path",), "path": "str", "parameters": ["str"]},
    "kernel": {"": ("path",), "path": "str", "parameters": ["str"], "initrd": "str"},
    "image": {"": ("path", "format"), "path": "str", "format": ("raw", "qcow2", "vdi", "vmdk", "vhd")},
    "hwConfig": {
        "deviceTree": "str",
        "vcpus": "int32",
        "memory": "int64",
        "dtdump": "str",
        "iomems": [{"firstGFN": "uint64", "firstMFN": "uint64", "nrMFNs": "uint64"}],
        "irqs": ["uint32"],
    },
}

CONFIG = {
    "": ("ociVersion",),
    "ociVersion": "str",
    "process": PROCESS,
    "root": {"": ("path",), "path": "str", "readonly": "bool"},
    "hostname": "str",
    "domainname": "str",
    "mounts": [MOUNT],
    "hooks": dict.fromkeys(HOOK_NAMES, [HOOK]),
    "annotations": ("map", "str"),
    "linux": LINUX,
    "vm": VM,
}

# Members that few configurations have: their rules and their steps are in modules of their own (spec/rare.py).
RARE_OF_PROCESS = ("scheduler", "ioPriority", "execCPUAffinity")
RARE_OF_LINUX = ("personality", "memoryPolicy", "netDevices", "intelRdt")

# Known members that are refused by name while they hold anything; a pointer may have * for any index.  Sections of
# other platforms (/solaris, /windows, /zos, /freebsd, /process/commandLine) are not among them: config.md lets a
# document have them for those platforms, and they say nothing about a container of Linux.  Of /vm those are: the VMM is
# minirun itself, the rootfs is shared and not on a disk, and the rest is about the hardware of other hypervisors.
UNSUPPORTED = (
    "/vm/hypervisor", "/vm/image", "/vm/hwConfig/deviceTree", "/vm/hwConfig/dtdump", "/vm/hwConfig/iomems",
    "/vm/hwConfig/irqs",
)  # fmt: skip

# crun's annotations: files that take what the host's hooks print, and a socket that takes init's pidfd.
HOOK_STDOUT, HOOK_STDERR = "run.oci.hooks.stdout", "run.oci.hooks.stderr"
PIDFD_RECEIVER = "run.oci.pidfd_receiver"

# Limits of cgroup v1 that v2 does not have at all: refused while they ask for something.
V1_ONLY = (
    "/linux/resources/memory/kernel",
    "/linux/resources/memory/kernelTCP",
    "/linux/resources/memory/swappiness",
    "/linux/resources/memory/disableOOMKiller",
    "/linux/resources/blockIO/leafWeight",
    "/linux/resources/blockIO/weightDevice/*/leafWeight",
    "/linux/resources/cpu/realtimeRuntime",
    "/linux/resources/cpu/realtimePeriod",
    "/linux/resources/network",
)
