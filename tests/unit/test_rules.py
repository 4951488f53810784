"""Every rule of spec/rules.py, resource_rules.py and rare.py, provoked once: the pointer and the words are what a person gets to see."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.spec import mount_rules, rare, resource_rules, rules
from tests.unit.documents import Json, checked, default, put

RULES = (*rules.ALL, mount_rules.mounts, *resource_rules.CREATE, *rare.ALL)
LONG = "/" + "x" * 5000
USERNS = {"type": "user"}
DEADLINE = {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000, "period": 4000}
ROW = {"containerID": 0, "hostID": 1000, "size": 1}
# (rule, what to put where, the pointer, the message)
CASES: list[tuple[str, Json, str, str]] = [
    ("version", {"/ociVersion": "1.2"}, "/ociVersion", "must be a version such as 1.2.0, not '1.2'"),
    ("version", {"/ociVersion": "1.2.x"}, "/ociVersion", "must be a version such as 1.2.0, not '1.2.x'"),
    ("version", {"/ociVersion": "2.0.0"}, "/ociVersion", "2.0.0 is not supported: minirun speaks runtime-spec 1.x"),
    ("version", {"/ociVersion": "0.9.0-rc1"}, "/ociVersion", "0.9.0-rc1 is not supported: minirun speaks runtime-spec 1.x"),
    ("root", {"/root": None}, "/root", "is missing"),
    ("root", {"/root/path": ""}, "/root/path", "must not be empty"),
    ("process", {"/process": None}, "/process", "is missing"),
    ("process", {"/process/args": []}, "/process/args", "must name a program"),
    ("process", {"/process/args": None}, "/process/args", "must name a program"),
    ("process", {"/process/args": [""]}, "/process/args/0", "must not be empty"),
    ("process", {"/process/cwd": "tmp"}, "/process/cwd", "must be an absolute path without .., not 'tmp'"),
    ("process", {"/process/cwd": "/a/../b"}, "/process/cwd", "must be an absolute path without .., not '/a/../b'"),
    ("process", {"/process/cwd": ""}, "/process/cwd", "must be an absolute path without .., not ''"),
    ("process", {"/process/env": ["A=1", "B"]}, "/process/env/1", "must be NAME=value, not 'B'"),
    ("process", {"/process/env": ["=1"]}, "/process/env/0", "must be NAME=value, not '=1'"),
    ("process", {"/process/oomScoreAdj": 1001}, "/process/oomScoreAdj", "must be from -1000 to 1000, not 1001"),
    ("process", {"/process/oomScoreAdj": -1001}, "/process/oomScoreAdj", "must be from -1000 to 1000, not -1001"),
    ("process", {"/process/user/umask": 0o1000}, "/process/user/umask", "must be at most 0777 (511)"),
    ("process", {"/process/user/additionalGids": [7] * 257}, "/process/user/additionalGids", "must have at most 256 entries"),
    ("rlimits", {"/process/rlimits/0/type": "NOFILE"}, "/process/rlimits/0/type", "'NOFILE' is not a resource limit of Linux"),
    ("rlimits", {"/process/rlimits/0/type": "RLIMIT_X"}, "/process/rlimits/0/type", "'RLIMIT_X' is not a resource limit of Linux"),
    ("rlimits", {"/process/rlimits/1": {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}}, "/process/rlimits/1/type", "RLIMIT_NOFILE is given twice"),
    ("rlimits", {"/process/rlimits/0/soft": 1025}, "/process/rlimits/0/soft", "must be at most the hard limit, 1024"),
    ("handler", {"/annotations": {"run.oci.handler": "wasm"}}, "/annotations/run.oci.handler", "there is no handler 'wasm', only containers on this host's kernel, and krun: in a machine"),
    ("handler", {"/annotations": {"dev.minirun.isolation": "jail"}}, "/annotations/dev.minirun.isolation", "must be container or vm or sandbox, not 'jail'"),
    ("names", {"/hostname": "x" * 65}, "/hostname", "must be at most 64 bytes"),
    ("names", {"/domainname": "ä" * 33}, "/domainname", "must be at most 64 bytes"),
    ("names", {"/hostname": "x", "/linux/namespaces": [{"type": "mount"}]}, "/hostname", "needs a uts namespace in /linux/namespaces"),
    ("mounts", {"/mounts/0/destination": ""}, "/mounts/0/destination", "must not be empty"),
    ("mounts", {"/mounts/0/destination": LONG}, "/mounts/0/destination", "is longer than a path can be"),
    ("mounts", {"/mounts/0": {"destination": "/d", "options": ["bind"]}}, "/mounts/0/source", "is missing: a bind mount needs one"),
    ("mounts", {"/mounts/0": {"destination": "/d", "type": "bind"}}, "/mounts/0/source", "is missing: a bind mount needs one"),
    ("mounts", {"/mounts/0": {"destination": "/d", "source": "/s"}}, "/mounts/0/type", "is missing, and no option says bind"),
    ("mounts", {"/mounts/0": {"destination": "/d", "source": "/s", "type": "none", "options": ["ro"]}}, "/mounts/0/type", "is missing, and no option says bind"),
    ("mounts", {"/mounts/0/options": ["ro", "tmpcopyup"]}, "/mounts/0/options/1", "tmpcopyup is for a tmpfs: there is nothing to copy to"),
    ("mounts", {"/mounts/1/options": ["ro", "idmap"]}, "/mounts/1/options/1", "idmap needs uidMappings and gidMappings, or a user namespace to take them from"),
    ("mounts", {"/mounts/1/uidMappings": [ROW]}, "/mounts/1/gidMappings", "is missing: it must be given along with uidMappings"),
    ("mounts", {"/mounts/1/options": ["ridmap"], "/mounts/1/gidMappings": [ROW]}, "/mounts/1/uidMappings", "is missing: it must be given along with gidMappings"),
    ("mounts", {"/mounts/1/uidMappings": [ROW] * 341, "/mounts/1/gidMappings": [ROW]}, "/mounts/1/uidMappings", "must have at most 340 rows"),
    ("mounts", {"/mounts/1/uidMappings": [ROW], "/mounts/1/gidMappings": [{**ROW, "size": 0}]}, "/mounts/1/gidMappings/0/size", "must not be 0"),
    ("mounts", {"/mounts/0/options": ["idmap"], "/mounts/0/uidMappings": [ROW], "/mounts/0/gidMappings": [ROW]}, "/mounts/0/options/0", "proc shows a namespace of the container's, whose ids are mapped already"),
    ("mounts", {"/mounts/1/options": ["remount", "idmap=uids=0-0-1;gids=0-0-1"]}, "/mounts/1/options/1", "a mount that is there keeps its mapping: the kernel does not change it"),
    ("mounts", {"/mounts/1/options": ["idmap=uids=0-0-1;gids=0-0-1"], "/mounts/1/uidMappings": [ROW], "/mounts/1/gidMappings": [ROW]}, "/mounts/1/options/0", "gives a mapping, and so does /mounts/1/uidMappings"),
    ("mounts", {"/mounts/1/options": ["ridmap=x"]}, "/mounts/1/options/0", "ridmap: 'x' is neither uids=... nor gids=..., each once"),
    ("mounts", {"/mounts/1/options": ["idmap=uids=0-0-1"]}, "/mounts/1/options/0", "idmap: needs both uids=... and gids=..."),
    ("mounts", {"/mounts/1/options": ["idmap=uids=0-0-1;uids=0-0-1"]}, "/mounts/1/options/0", "idmap: 'uids=0-0-1' is neither uids=... nor gids=..., each once"),
    ("mounts", {"/mounts/1/options": ["idmap=uids=0-0;gids=0-0-1"]}, "/mounts/1/options/0", "idmap: '0-0' is not a range: [@]INSIDE-OUTSIDE-COUNT"),
    ("mounts", {"/mounts/1/options": ["idmap=uids=0-0-0;gids=0-0-1"]}, "/mounts/1/options/0", "idmap: '0-0-0' is not a range of ids: from 0 to 4294967295, at least one"),
    ("mounts", {"/mounts/1/options": ["idmap=uids=0-0-٣;gids=0-0-1"]}, "/mounts/1/options/0", "idmap: '0-0-٣' is not a range: [@]INSIDE-OUTSIDE-COUNT"),
    ("mounts", {"/mounts/1/options": ["idmap=uids=0-4294967296-1;gids=0-0-1"]}, "/mounts/1/options/0", "idmap: '0-4294967296-1' is not a range of ids: from 0 to 4294967295, at least one"),
    ("namespaces", {"/linux/namespaces/0/type": "disk"}, "/linux/namespaces/0/type", "must be one of pid, network, mount, ipc, uts, user, cgroup, time, not 'disk'"),
    ("namespaces", {"/linux/namespaces/6": {"type": "pid"}}, "/linux/namespaces/6/type", "pid is given twice"),
    ("namespaces", {"/linux/namespaces/0/path": "proc/1/ns/pid"}, "/linux/namespaces/0/path", "must be an absolute path, not 'proc/1/ns/pid'"),
    ("mappings", {"/linux/namespaces/6": USERNS, "/linux/gidMappings": [ROW], "/linux/uidMappings": [ROW, {**ROW, "hostID": 5}]}, "/linux/uidMappings/1/containerID", "overlaps with row 0: 0 is in both"),
    ("mappings", {"/linux/uidMappings": [ROW]}, "/linux/uidMappings", 'needs {"type": "user"} in /linux/namespaces'),
    ("mappings", {"/linux/namespaces/6": USERNS, "/linux/uidMappings": [ROW]}, "/linux/gidMappings", "is missing: a new user namespace needs both or none"),
    ("mappings", {"/linux/namespaces/6": USERNS, "/linux/gidMappings": [ROW], "/linux/uidMappings": [ROW] * 341}, "/linux/uidMappings", "must have at most 340 rows"),
    ("mappings", {"/linux/namespaces/6": USERNS, "/linux/gidMappings": [ROW], "/linux/uidMappings": [{**ROW, "size": 0}]}, "/linux/uidMappings/0/size", "must not be 0"),
    ("time_offsets", {"/linux/timeOffsets": {"monotonic": {"secs": 1}}}, "/linux/timeOffsets", 'needs a new {"type": "time"} in /linux/namespaces'),
    ("time_offsets", {"/linux/namespaces/6": {"type": "time"}, "/linux/timeOffsets": {"realtime": {"secs": 1}}}, "/linux/timeOffsets/realtime", "must be monotonic or boottime"),
    ("time_offsets", {"/linux/namespaces/6": {"type": "time"}, "/linux/timeOffsets": {"monotonic": {"nanosecs": 10**9}}}, "/linux/timeOffsets/monotonic/nanosecs", "must be below 1000000000"),
    ("devices", {"/linux/devices": [{"type": "p", "path": "dev/x"}]}, "/linux/devices/0/path", "must be an absolute path without .., not 'dev/x'"),
    ("devices", {"/linux/devices": [{"type": "p", "path": "/dev/"}]}, "/linux/devices/0/path", "must be an absolute path without .., not '/dev/'"),
    ("devices", {"/linux/devices": [{"type": "p", "path": "/dev/../x"}]}, "/linux/devices/0/path", "must be an absolute path without .., not '/dev/../x'"),
    ("devices", {"/linux/devices": [{"type": "c", "path": "/dev/x", "major": 1}]}, "/linux/devices/0/minor", "is missing: a device of type c needs it"),
    ("devices", {"/linux/devices": [{"type": "b", "path": "/dev/x", "major": 4096, "minor": 1}]}, "/linux/devices/0/major", "must be from 0 to 4095, not 4096"),
    ("device_rules", {"/linux/resources/devices/0/type": "x"}, "/linux/resources/devices/0/type", "must be one of a, b, c, u, not 'x'"),
    ("device_rules", {"/linux/resources/devices/0/access": "rwx"}, "/linux/resources/devices/0/access", "must be made of r, w and m, not 'rwx'"),
    ("device_rules", {"/linux/resources/devices/0/major": -2}, "/linux/resources/devices/0/major", "must be a device number, or -1 for any"),
    ("memory", {"/linux/resources/memory": {"limit": 100, "swap": 99}}, "/linux/resources/memory/swap", "is memory plus swap, and must be at least the limit, 100"),
    ("cgroup", {"/linux/cgroupsPath": "/a/../../b"}, "/linux/cgroupsPath", "must not contain .. or a newline"),
    ("cgroup", {"/linux/cgroupsPath": "/a\nb"}, "/linux/cgroupsPath", "must not contain .. or a newline"),
    ("cgroup", {"/linux/cgroupsPath": "/" + "x" * 256}, "/linux/cgroupsPath", "is longer than a path can be"),
    ("swap_alone", {"/linux/resources/memory": {"swap": 99}}, "/linux/resources/memory/swap", "is memory plus swap, and needs /linux/resources/memory/limit (-1 for none)"),
    ("cpu", {"/linux/resources/cpu": {"quota": 100, "burst": 101}}, "/linux/resources/cpu/burst", "must be at most the quota, 100"),
    ("cpu", {"/linux/resources/cpu": {"idle": 2}}, "/linux/resources/cpu/idle", "must be 0 or 1"),
    ("block_io", {"/linux/resources/blockIO": {"weight": 9}}, "/linux/resources/blockIO/weight", "must be from 10 to 1000, not 9"),
    ("block_io", {"/linux/resources/blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 1001}]}}, "/linux/resources/blockIO/weightDevice/0/weight", "must be from 10 to 1000, not 1001"),
    ("block_io", {"/linux/resources/blockIO": {"throttleReadBpsDevice": [{"major": -1, "minor": 0, "rate": 1}]}}, "/linux/resources/blockIO/throttleReadBpsDevice/0", "must be a device: numbers from 0"),
    ("huge_pages", {"/linux/resources/hugepageLimits": [{"pageSize": "/../2MB", "limit": 1}]}, "/linux/resources/hugepageLimits/0/pageSize", "must be a size such as 2MB or 1GB, not '/../2MB'"),
    ("rdma", {"/linux/resources/rdma": {"a b": {"hcaHandles": 1}}}, "/linux/resources/rdma/a b", "is not a device's name"),
    ("unified", {"/linux/resources/unified": {"../x.y": "1"}}, "/linux/resources/unified/..~1x.y", "is not a controller's file"),
    ("unified", {"/linux/resources/unified": {"..": "1"}}, "/linux/resources/unified/..", "is not a controller's file"),
    ("unified", {"/linux/resources/unified": {"memory.": "1"}}, "/linux/resources/unified/memory.", "is not a controller's file"),
    ("unified", {"/linux/resources/unified": {"cgroup.procs": "1"}}, "/linux/resources/unified/cgroup.procs", "is not a controller's file"),
    ("paths", {"/linux/maskedPaths": ["/proc", "sys"]}, "/linux/maskedPaths/1", "must be an absolute path, not 'sys'"),
    ("paths", {"/linux/readonlyPaths": ["sys"]}, "/linux/readonlyPaths/0", "must be an absolute path, not 'sys'"),
    ("sysctls", {"/linux/sysctl": {"kernel.panic": "1"}}, "/linux/sysctl/kernel.panic", "kernel.panic is not in a namespace: it would be the host's"),
    ("sysctls", {"/linux/sysctl": {"kernel..x": "1"}}, "/linux/sysctl/kernel..x", "'kernel..x' is not a sysctl's name"),
    ("sysctls", {"/linux/sysctl": {"../x": "1"}}, "/linux/sysctl/..~1x", "'../x' is not a sysctl's name"),
    ("sysctls", {"/linux/sysctl": {"kernel.hostname": "x"}}, "/linux/sysctl/kernel.hostname", "set /hostname instead"),
    ("sysctls", {"/linux/sysctl": {"kernel.domainname": "x"}, "/domainname": "y"}, "/linux/sysctl/kernel.domainname", "'x' is not what /domainname says"),
    ("sysctls", {"/linux/sysctl": {"kernel.domainname": "x"}, "/linux/namespaces": [{"type": "mount"}], "/hostname": None}, "/linux/sysctl/kernel.domainname", "needs a uts namespace in /linux/namespaces"),
    ("sysctls", {"/linux/sysctl": {"net.ipv4.ip_forward": "1"}, "/linux/namespaces": [{"type": "mount"}], "/hostname": None}, "/linux/sysctl/net.ipv4.ip_forward", "needs a network namespace in /linux/namespaces"),
    ("sysctls", {"/linux/sysctl": {"fs.mqueue.msg_max": "1"}, "/linux/namespaces": [{"type": "mount"}], "/hostname": None}, "/linux/sysctl/fs.mqueue.msg_max", "needs an ipc namespace in /linux/namespaces"),
    ("sysctls", {"/linux/sysctl": {"user.max_pid_namespaces": "1"}}, "/linux/sysctl/user.max_pid_namespaces", "user.max_pid_namespaces is not in a namespace: it would be the host's"),
    ("hooks", {"/hooks": {"poststop": [{"path": "x"}]}}, "/hooks/poststop/0/path", "must be an absolute path, not 'x'"),
    ("hooks", {"/hooks": {"poststart": [{"path": "/x", "args": [""]}]}}, "/hooks/poststart/0/args/0", "must not be empty"),
    ("hooks", {"/hooks": {"poststart": [{"path": "/x", "env": ["A=", "B"]}]}}, "/hooks/poststart/0/env/1", "must be NAME=value, not 'B'"),
    ("hooks", {"/hooks": {"prestart": [{"path": "/x"}, {"path": "/x", "timeout": 0}]}}, "/hooks/prestart/1/timeout", "must be greater than 0"),
    ("scheduler", {"/process/scheduler": {"policy": "SCHED_OTHER", "nice": 20}}, "/process/scheduler/nice", "must be from -20 to 19, not 20"),
    ("scheduler", {"/process/scheduler": {"policy": "SCHED_BATCH", "nice": -21}}, "/process/scheduler/nice", "must be from -20 to 19, not -21"),
    ("scheduler", {"/process/scheduler": {"policy": "SCHED_FIFO"}}, "/process/scheduler/priority", "must be from 1 to 99 with SCHED_FIFO, not 0"),
    ("scheduler", {"/process/scheduler": {"policy": "SCHED_RR", "priority": 100}}, "/process/scheduler/priority", "must be from 1 to 99 with SCHED_RR, not 100"),
    ("scheduler", {"/process/scheduler": {"policy": "SCHED_IDLE", "priority": 1}}, "/process/scheduler/priority", "must be 0 with SCHED_IDLE: only SCHED_FIFO and SCHED_RR have priorities"),
    ("scheduler", {"/process/scheduler": {"policy": "SCHED_OTHER", "period": 5}}, "/process/scheduler/period", "must be 0 with SCHED_OTHER: it belongs to SCHED_DEADLINE"),
    ("scheduler", {"/process/scheduler": {**DEADLINE, "runtime": 1023}}, "/process/scheduler/runtime", "must be at least 1024 nanoseconds with SCHED_DEADLINE, not 1023"),
    ("scheduler", {"/process/scheduler": {**DEADLINE, "deadline": 1999}}, "/process/scheduler/deadline", "must be at least the runtime, 2000, not 1999"),
    ("scheduler", {"/process/scheduler": {**DEADLINE, "period": 2999}}, "/process/scheduler/period", "must be at least the deadline, 3000, not 2999"),
    ("scheduler", {"/process/scheduler": {**DEADLINE, "period": 2**63}}, "/process/scheduler/period", "must be below 2^63 nanoseconds"),
    ("io_priority", {"/process/ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}, "/process/ioPriority/priority", "must be from 0 to 7, not 8"),
    ("io_priority", {"/process/ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": -1}}, "/process/ioPriority/priority", "must be from 0 to 7, not -1"),
    ("affinity", {"/process/execCPUAffinity": {"initial": "x"}}, "/process/execCPUAffinity/initial", "must be a list such as 0-3,7, not 'x'"),
    ("affinity", {"/process/execCPUAffinity": {"initial": "0-"}}, "/process/execCPUAffinity/initial", "must be a list such as 0-3,7, not '0-'"),
    ("affinity", {"/process/execCPUAffinity": {"initial": "-1"}}, "/process/execCPUAffinity/initial", "must be a list such as 0-3,7, not '-1'"),
    ("affinity", {"/process/execCPUAffinity": {"final": " , "}}, "/process/execCPUAffinity/final", "must be a list such as 0-3,7, not ' , '"),
    ("affinity", {"/process/execCPUAffinity": {"final": "3-1"}}, "/process/execCPUAffinity/final", "3-1 is a range from the larger to the smaller"),
    ("affinity", {"/process/execCPUAffinity": {"final": "0,8192"}}, "/process/execCPUAffinity/final", "must be numbers below 8192, not 8192"),
    ("personality", {"/linux/personality": {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}}, "/linux/personality/flags", "must be empty: no flag is defined yet (config-linux.md, Personality)"),
    ("memory_policy", {"/linux/memoryPolicy": {"mode": "MPOL_BIND"}}, "/linux/memoryPolicy/nodes", "must name a node at least with MPOL_BIND"),
    ("memory_policy", {"/linux/memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": " ,"}}, "/linux/memoryPolicy/nodes", "must name a node at least with MPOL_INTERLEAVE"),
    ("memory_policy", {"/linux/memoryPolicy": {"mode": "MPOL_LOCAL", "nodes": "0"}}, "/linux/memoryPolicy/nodes", "must be empty with MPOL_LOCAL"),
    ("memory_policy", {"/linux/memoryPolicy": {"mode": "MPOL_BIND", "nodes": "1024"}}, "/linux/memoryPolicy/nodes", "must be numbers below 1024, not 1024"),
    ("memory_policy", {"/linux/memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}}, "/linux/memoryPolicy/flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other"),
    ("net_devices", {"/linux/netDevices": {"eth0": {}}, "/linux/namespaces": [{"type": "mount"}, {"type": "uts"}]}, "/linux/netDevices", "needs a network namespace in /linux/namespaces"),
    ("net_devices", {"/linux/netDevices": {"": {}}}, "/linux/netDevices/", "'' is not an interface's name"),
    ("net_devices", {"/linux/netDevices": {"a/b": {}}}, "/linux/netDevices/a~1b", "'a/b' is not an interface's name"),
    ("net_devices", {"/linux/netDevices": {"eth%d": {}}}, "/linux/netDevices/eth%d", "'eth%d' is not an interface's name"),
    ("net_devices", {"/linux/netDevices": {"eth0": {"name": "a b"}}}, "/linux/netDevices/eth0/name", "'a b' is not an interface's name, nor one with %d for a number"),
    ("net_devices", {"/linux/netDevices": {"eth0": {"name": "e%d%d"}}}, "/linux/netDevices/eth0/name", "'e%d%d' is not an interface's name, nor one with %d for a number"),
    ("net_devices", {"/linux/netDevices": {"eth0": {"name": ".."}}}, "/linux/netDevices/eth0/name", "'..' is not an interface's name, nor one with %d for a number"),
    ("net_devices", {"/linux/netDevices": {"a": {"name": "x" * 16}}}, "/linux/netDevices/a/name", f"'{'x' * 16}' is not an interface's name, nor one with %d for a number"),
    ("net_devices", {"/linux/netDevices": {"a": {"name": "c"}, "b": {"name": "c"}}}, "/linux/netDevices/b/name", "c is another one's name already"),
    ("intel_rdt", {"/linux/intelRdt": {"closID": "a/b"}}, "/linux/intelRdt/closID", "must be the name of one directory, or /, not 'a/b'"),
    ("intel_rdt", {"/linux/intelRdt": {"closID": ".."}}, "/linux/intelRdt/closID", "must be the name of one directory, or /, not '..'"),
    ("intel_rdt", {"/linux/intelRdt": {"l3CacheSchema": "MB:0=1"}}, "/linux/intelRdt/l3CacheSchema", "must begin with L3, not 'MB:0=1'"),
    ("intel_rdt", {"/linux/intelRdt": {"memBwSchema": "L3:0=1"}}, "/linux/intelRdt/memBwSchema", "must begin with MB:, not 'L3:0=1'"),
    ("intel_rdt", {"/linux/intelRdt": {"schemata": ["L3:0=1\nMB:0=1"]}}, "/linux/intelRdt/schemata/0", "must be one line"),
]  # fmt: skip


def document(changes: Json) -> Json:
    made = default()
    for pointer, value in changes.items():
        put(made, pointer, value)
    return made


def provoke(made: Json) -> list[tuple[str, str]]:
    try:
        checked(made)
    except MinirunError as error:
        return list(error.problems) or [(error.pointer or "", error.reason)]
    return []


@pytest.mark.parametrize(("rule", "changes", "pointer", "message"), CASES)
def test_rule(rule: str, changes: Json, pointer: str, message: str) -> None:
    assert provoke(document(changes)) == [(pointer, message)]


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, *_ in CASES} == {rule.__name__ for rule in RULES}


def test_every_message_is_provoked() -> None:
    """As many different messages as there are ``problems.add`` in the files: a new one needs its row here."""
    calls = [
        (str(module.__file__), node.lineno)
        for module in (rules, mount_rules, resource_rules, rare)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add"
        and isinstance(node.func.value, ast.Name) and node.func.value.id == "problems"
    ]  # fmt: skip
    lines = set(calls)
    reached = set()
    for _, changes, _, _ in CASES:
        reached |= lines_of(document(changes), lines)
    assert lines == reached


def lines_of(made: Json, wanted: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Which lines of the two files say something about ``made``."""
    seen: set[tuple[str, int]] = set()

    class Witness:
        def add(self, pointer: str, message: str) -> None:
            frame = inspect.currentframe()
            assert frame is not None and frame.f_back is not None
            file = frame.f_back.f_code.co_filename
            seen.add((file, max(line for name, line in wanted if name == file and line <= frame.f_back.f_lineno)))

    clean: Any = {name: value for name, value in made.items() if value is not None}
    if "process" in clean:
        clean["process"] = {name: value for name, value in clean["process"].items() if value is not None}
    for rule in RULES:
        rule(clean, Witness())  # type: ignore[arg-type]
    return seen


def test_several_rules_at_once() -> None:
    """A person mends the file once, not once per fault."""
    made = document({"/process/cwd": "x", "/hostname": "y" * 65, "/linux/sysctl": {"a.b": "1"}, "/ociVersion": "x"})
    assert [pointer for pointer, _ in provoke(made)] == [
        "/ociVersion",
        "/process/cwd",
        "/hostname",
        "/linux/sysctl/a.b",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"/ociVersion": "1.0.2-dev"},
        {"/ociVersion": "1.9.0+build"},
        {"/process/env": ["A=", "B=x=y"]},
        {"/process/oomScoreAdj": -1000},
        {"/process/scheduler": {**DEADLINE, "period": 0, "nice": 19}},
        {"/process/scheduler": {"policy": "SCHED_FIFO", "flags": ["SCHED_FLAG_KEEP_PARAMS"]}},
        {"/process/ioPriority": {"class": "IOPRIO_CLASS_IDLE"}},
        {"/process/execCPUAffinity": {"initial": "", "final": " 0-3,7,, "}},
        {"/linux/memoryPolicy": {"mode": "MPOL_PREFERRED"}},
        {"/linux/netDevices": {"eth0": {"name": "net%d"}, "eth1": {"name": "net%d"}, "x" * 15: {}}},
        {"/linux/intelRdt": {"closID": "/", "enableMonitoring": True, "enableCMT": True}},
        {"/windows": {"layerFolders": []}, "/solaris": {"x": 1}, "/zos": {"x": 1}, "/process/commandLine": "cmd.exe"},
        {"/process/rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1}]},
        {"/hostname": ""},
        {"/mounts/0": {"destination": "relative", "type": "tmpfs"}},
        {"/mounts/7": {"destination": "/", "options": ["rslave"]}},
        {"/mounts/7": {"destination": "/x", "type": "none", "options": ["remount", "ro"]}},
        {
            "/linux/namespaces/6": USERNS,
            "/linux/uidMappings": [{"containerID": n, "hostID": 340 - n, "size": 1} for n in range(340)],
            "/linux/gidMappings": [ROW],
        },
        {"/mounts/1/uidMappings": [ROW], "/mounts/1/gidMappings": [ROW]},
        {"/mounts/1/options": ["ridmap=uids=@0-0-1#5-6-7;gids=0-0-4294967295"]},
        {"/mounts/1/options": ["idmap"], "/linux/namespaces/6": {"type": "user", "path": "/proc/1/ns/user"}},
        {"/linux/namespaces/6": {"type": "user", "path": "/proc/1/ns/user"}},
        {
            "/linux/namespaces/6": {"type": "time"},
            "/linux/timeOffsets": {"boottime": {"secs": -1, "nanosecs": 999999999}},
        },
        {
            "/linux/devices": [
                {"type": "p", "path": "/dev/fifo"},
                {"type": "u", "path": "/dev/x", "major": 0, "minor": 0},
            ]
        },
        {"/linux/resources/devices": [{"allow": True, "type": "", "major": -1, "minor": -1, "access": ""}]},
        {"/linux/sysctl": {"net/ipv4/conf/eth0.1/forwarding": "1", "kernel.shmmax": "1", "fs.mqueue.queues_max": "1"}},
        {"/linux/cgroupsPath": "a/./b//c"},
        {"/linux/resources/unified": {"cgroup.max.depth": "1", "nobody.knows": "1", "hugetlb.2MB.rsvd.max": "0"}},
        {"/linux/resources/cpu": {"quota": -1, "burst": 5, "idle": 1}},
        {"/linux/resources/memory": {"limit": -1, "swap": 5}},
        {
            "/linux/resources/memory": {
                "swap": -1,
                "kernel": -1,
                "kernelTCP": 0,
                "swappiness": 0,
                "disableOOMKiller": False,
            }
        },
        {"/linux/resources/hugepageLimits": [{"pageSize": "1GB", "limit": 0}, {"pageSize": "64KB", "limit": 1}]},
        {"/hooks": {"createRuntime": [{"path": "/x", "timeout": 1}]}},
    ],
)
def test_what_is_allowed(changes: Json) -> None:
    assert provoke(document(changes)) == []
