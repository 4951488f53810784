"""/linux/namespaces, mappings, clocks, personality, memory policy, seccomp: one test a member."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Json
from tests.members.world import MAPPED, World

pytestmark = pytest.mark.needs("root", "busybox")
members = pytest.mark.members
OF_PROC = {
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "time": "time",
    "mount": "mnt",
    "user": "user",
}


def host(name: str) -> str:
    return str(os.stat(f"/proc/self/ns/{OF_PROC[name]}").st_ino)


@pytest.mark.parametrize("name", list(OF_PROC))
@members("/linux/namespaces/type")
def test_new_namespace(world: World, name: str) -> None:
    """A new one: its inode is not the host's."""
    if name == "user":
        world.mapped()
    else:
        world.namespaces(name, without=name)
    found = dict(line.split() for line in world.ask("ns")[0].splitlines())
    assert found[OF_PROC[name]] != host(name)


@pytest.mark.parametrize("name", ["network", "ipc", "uts"])
@members("/linux/namespaces/path")
def test_joined_namespace(world: World, name: str) -> None:
    """The one that the path names."""
    holder = subprocess.Popen(["unshare", "--net", "--ipc", "--uts", "sleep", "60"])
    try:
        path = f"/proc/{holder.pid}/ns/{OF_PROC[name]}"
        while os.stat(path).st_ino == int(host(name)):
            pass
        world.namespaces(without=name)
        world.config.pop("hostname")
        world.linux["namespaces"].append({"type": name, "path": path})
        found = dict(line.split() for line in world.ask("ns")[0].splitlines())
        assert found[OF_PROC[name]] == str(os.stat(path).st_ino)
    finally:
        holder.kill()
        holder.wait()


@members("/linux/uidMappings", "/linux/gidMappings")
def test_id_mappings(world: World) -> None:
    """Root inside is an ordinary user outside; the maps are those given."""
    world.mapped()
    assert world.ask("id")[0].startswith("uid=0 gid=0")
    rows = [line.split() for line in world.ask("cat /proc/self/uid_map")[0].splitlines()]
    assert rows == [[str(value) for value in MAPPED[0].values()]]


@members("/linux/timeOffsets")
def test_time_offsets(world: World) -> None:
    """The clocks of a time namespace."""
    world.namespaces("time")
    world.linux["timeOffsets"] = {"monotonic": {"secs": 1000, "nanosecs": 5}, "boottime": {"secs": 2000}}
    rows = [line.split() for line in world.ask("time-offsets")[0].splitlines()]
    assert rows == [["monotonic", "1000", "5"], ["boottime", "2000", "0"]]


@members("/linux/personality/domain")
def test_personality(world: World) -> None:
    """PER_LINUX32: uname(2) says a 32-bit machine."""
    world.linux["personality"] = {"domain": "LINUX32"}
    assert world.ask("personality") == ["00000008"]


@members("/linux/personality/flags")
def test_personality_flags(world: World) -> None:
    """The specification has none yet: whatever is asked for cannot be had."""
    world.linux["personality"] = {"domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE"]}
    world.refused("/linux/personality/flags")


@members("/linux/memoryPolicy/mode", "/linux/memoryPolicy/nodes", "/linux/memoryPolicy/flags")
def test_memory_policy(world: World) -> None:
    """/proc/self/numa_maps shows each mapping's policy, here the task's."""
    world.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    assert " bind=static:0 " in world.ask("cat /proc/self/numa_maps")[0]


@pytest.mark.skipif(os.path.exists("/sys/fs/resctrl/schemata"), reason="this host has resctrl")
@members("/linux/intelRdt")
def test_intel_rdt(world: World) -> None:
    """Without resctrl it is an error."""
    world.linux["intelRdt"] = {"closID": "some", "l3CacheSchema": "L3:0=f"}
    world.refused("/linux/intelRdt")


def filtered(world: World, *rules: Json, **more: object) -> None:
    world.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **more}


@members("/linux/seccomp/defaultAction", "/linux/seccomp/syscalls/names", "/linux/seccomp/syscalls/action",
         "/linux/seccomp/syscalls/errnoRet")  # fmt: skip
def test_seccomp_errno(world: World) -> None:
    """A system call that fails with the number given; the others go on."""
    filtered(world, {"names": ["sethostname", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95})
    done = world.ends("/probe", "sethostname", "x")
    assert "Operation not supported" in done.stderr
    assert "Seccomp:\t2" in world.ask("status")[0]


@members("/linux/seccomp/syscalls/args")
def test_seccomp_arguments(world: World) -> None:
    """Only a call whose second argument, masked, is the value: sethostname of four letters."""
    argument = {"index": 1, "value": 0xFF, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"}
    filtered(world, {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95, "args": [argument]})
    world.capabilities("CAP_SYS_ADMIN")
    assert "Operation not supported" in world.ends("/probe", "sethostname", "four").stderr
    assert world.ends("/probe", "sethostname", "three").returncode == 0


# What a static program and a runtime that is about to execute it need.
ALLOWED = """
    read write close fstat newfstatat exit exit_group brk mmap munmap mprotect arch_prctl set_tid_address futex rseq
    set_robust_list prlimit64 getrandom readlink readlinkat openat open execve ioctl uname lseek capget capset prctl
    sendto sendmsg recvmsg recvfrom accept accept4 epoll_ctl epoll_pwait nanosleep rt_sigaction rt_sigprocmask
    close_range fcntl fstatfs getdents64 setgroups setuid setgid setresuid setresgid chdir getcwd statx faccessat2 umask
    clone sched_yield tgkill getpid gettid
"""


@members("/linux/seccomp/defaultErrnoRet")
def test_seccomp_default_errno(world: World) -> None:
    """What is not listed fails with it."""
    world.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 95,
        "syscalls": [{"names": ALLOWED.split(), "action": "SCMP_ACT_ALLOW"}],
    }  # fmt: skip
    assert "Operation not supported" in world.ends("/probe", "sethostname", "x").stderr


@members("/linux/seccomp/architectures", "/linux/seccomp/flags")
def test_seccomp_architectures_and_flags(world: World) -> None:
    """Named architectures and flags are taken."""
    filtered(world, {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
             architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
             flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"])  # fmt: skip
    assert "Operation not supported" in world.ends("/probe", "sethostname", "x").stderr


AGENT = """
import array, json, os, socket, struct, sys, fcntl
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.bind(sys.argv[1]); s.listen(); print("ready", flush=True)
c, _ = s.accept(); fds = array.array("i")
data, extra, _, _ = c.recvmsg(65536, socket.CMSG_SPACE(4))
fds.frombytes(extra[0][2][:4]); fd = fds[0]
print(json.dumps({k: v for k, v in json.loads(data).items() if k in ("metadata", "fds")}), flush=True)
RECV, SEND = 0xC0502100, 0xC0182101   # linux/seccomp.h: SECCOMP_IOCTL_NOTIF_RECV and _SEND
while True:
    request = bytearray(80)
    try: fcntl.ioctl(fd, RECV, request)
    except OSError: break
    cookie = struct.unpack_from("Q", request)[0]
    try: fcntl.ioctl(fd, SEND, bytearray(struct.pack("QqiI", cookie, 0, -95, 0)))
    except OSError: pass
"""


@members("/linux/seccomp/listenerPath", "/linux/seccomp/listenerMetadata")
def test_seccomp_notify(world: World) -> None:
    """An agent outside gets the listener, and answers the call with an error of its own."""
    path = world.place / "agent"
    agent = subprocess.Popen(["/usr/bin/python3", "-c", AGENT, path], stdout=subprocess.PIPE, text=True)
    try:
        assert agent.stdout is not None and agent.stdout.readline() == "ready\n"
        filtered(
            world,
            {"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"},
            listenerPath=str(path),
            listenerMetadata="of ours",
        )
        done = world.ends("/probe", "sethostname", "x")
        assert "Operation not supported" in done.stderr, done.stderr
        assert agent.stdout.readline() == '{"fds": ["seccompFd"], "metadata": "of ours"}\n'
    finally:
        agent.kill()
        agent.wait()


@members("/linux/cgroupsPath")
def test_cgroups_path(world: World) -> None:
    """The path from the mount of cgroup v2."""
    world.linux["cgroupsPath"] = "/minirun-members/one"
    name = world.started()
    try:
        assert str(world.group(name)).endswith("/minirun-members/one")
    finally:
        world.runtime("delete", "--force", name)
        parent = Path(world.place) / "none"
        from minirun.facts import find_cgroup_root

        parent = Path(find_cgroup_root()) / "minirun-members"
        if parent.exists():
            parent.rmdir()
