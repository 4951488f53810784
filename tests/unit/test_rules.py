"""Every rule of spec/rules.py and resource_rules.py, provoked once: the pointer and the words are what a person gets to see."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.spec import mount_rules, resource_rules, rules
from tests.unit.documents import Json, checked, default, put

RULES = (*rules.ALL, mount_rules.mounts, *resource_rules.CREATE)
LONG = "/" + "x" * 5000
USERNS = {"type": "user"}
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
    ("names", {"/hostname": "x" * 65}, "/hostname", "must be at most 64 bytes"),
    ("names", {"/domainname": "ä" * 33}, "/domainname", "must be at most 64 bytes"),
    ("names", {"/hostname": "x", "/linux/namespaces": [{"type": "mount"}]}, "/hostname", "needs a uts namespace in /linux/namespaces"),
    ("mounts", {"/mounts/0/destination": ""}, "/mounts/0/destination", "must not be empty"),
    ("mounts", {"/mounts/0/destination": LONG}, "/mounts/0/destination", "is longer than a path can be"),
    ("mounts", {"/mounts/0": {"destination": "/d", "options": ["bind"]}}, "/mounts/0/source", "is missing: a bind mount needs one"),
    ("mounts", {"/mounts/0": {"destination": "/d", "type": "bind"}}, "/mounts/0/source", "is missing: a bind mount needs one"),
    ("mounts", {"/mounts/0": {"destination": "/d", "source": "/s"}}, "/mounts/0/type", "is missing, and no option says bind"),
    ("mounts", {"/mounts/0": {"destination": "/d", "source": "/s", "type": "none", "options": ["ro"]}}, "/mounts/0/type", "is missing, and no option says bind"),
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
    ("mappings", {"/linux/namespaces/6": USERNS, "/linux/uidMappings": [ROW]}, "/linux/gidMappings", "is missing: a new user namespace needs it"),
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
    ("sysctls", {"/linux/sysctl": {"net.ipv4.ip_forward": "1"}, "/linux/namespaces": [{"type": "mount"}], "/hostname": None}, "/linux/sysctl/net.ipv4.ip_forward", "needs a network namespace in /linux/namespaces"),
    ("sysctls", {"/linux/sysctl": {"fs.mqueue.msg_max": "1"}, "/linux/namespaces": [{"type": "mount"}], "/hostname": None}, "/linux/sysctl/fs.mqueue.msg_max", "needs an ipc namespace in /linux/namespaces"),
    ("sysctls", {"/linux/sysctl": {"user.max_pid_namespaces": "1"}}, "/linux/sysctl/user.max_pid_namespaces", "user.max_pid_namespaces is not in a namespace: it would be the host's"),
    ("hooks", {"/hooks": {"poststop": [{"path": "x"}]}}, "/hooks/poststop/0/path", "must be an absolute path, not 'x'"),
    ("hooks", {"/hooks": {"poststart": [{"path": "/x", "args": [""]}]}}, "/hooks/poststart/0/args/0", "must not be empty"),
    ("hooks", {"/hooks": {"poststart": [{"path": "/x", "env": ["A=", "B"]}]}}, "/hooks/poststart/0/env/1", "must be NAME=value, not 'B'"),
    ("hooks", {"/hooks": {"prestart": [{"path": "/x"}, {"path": "/x", "timeout": 0}]}}, "/hooks/prestart/1/timeout", "must be greater than 0"),
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
        for module in (rules, mount_rules, resource_rules)
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
