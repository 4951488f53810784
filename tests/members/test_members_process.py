"""/process, /hostname, /domainname, /annotations, /hooks: one test a member."""

from __future__ import annotations

import json
import os
import pty

import pytest

from tests.integration.seen import status_of
from tests.members.world import World

pytestmark = pytest.mark.needs("root", "busybox")
members = pytest.mark.members


@members("/process/args", "/process/env", "/process/cwd")
def test_args_env_cwd(world: World) -> None:
    """The words as given, the environment as given, in the directory given."""
    world.process.update(env=["A=1", "B=two words"], cwd="/tmp")
    assert world.ask("printenv A", "printenv B", "cwd", "args x 'y z'") == ["1", "two words", "/tmp", "x\ny z"]


@members("/process/user/uid", "/process/user/gid", "/process/user/additionalGids")
def test_user(world: World) -> None:
    """uid, gid and supplementary groups, and no others."""
    world.process["user"] = {"uid": 7, "gid": 8, "additionalGids": [10, 5]}
    assert world.ask("id") == ["uid=7 gid=8 groups=5,10"]


@members("/process/user/umask")
def test_umask(world: World) -> None:
    """The file mode creation mask."""
    world.process["user"]["umask"] = 0o027
    assert world.ask("umask") == ["0027"]


@members("/process/terminal", "/process/consoleSize")
def test_terminal(world: World) -> None:
    """All three are a terminal, of the size that was asked for."""
    world.process.update(terminal=True, consoleSize={"height": 31, "width": 97})
    world.bundle.args("/probe", "isatty", "--", "winsize").write()
    name = world.runtime.name()
    pid, terminal = pty.fork()
    if pid == 0:
        program = str(world.runtime.program)
        os.execvp(program, [program, "--root", str(world.runtime.root), "run", "-b", str(world.place), name])
    text = b""
    try:
        while part := os.read(terminal, 4096):
            text += part
    except OSError:  # a terminal's end of file
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    assert text.decode().split() == ["0", "yes", "1", "yes", "2", "yes", "31", "97"]


SETS = {"bounding": "CapBnd", "effective": "CapEff", "permitted": "CapPrm"}


@members(*(f"/process/capabilities/{name}" for name in SETS))
def test_capabilities(world: World) -> None:
    """Exactly the bits of CAP_CHOWN and CAP_KILL."""
    world.process["capabilities"] = dict.fromkeys(SETS, ["CAP_CHOWN", "CAP_KILL"])
    found = status_of(world.ask("caps")[0])
    assert {name: int(found[name], 16) for name in SETS.values()} == dict.fromkeys(SETS.values(), 0b100001)


@members("/process/capabilities/inheritable", "/process/capabilities/ambient")
def test_ambient_capabilities(world: World) -> None:
    """They stay with a program of an ordinary user."""
    names = ("bounding", "effective", "permitted", "inheritable", "ambient")
    world.process.update(capabilities=dict.fromkeys(names, ["CAP_KILL"]), user={"uid": 7, "gid": 7})
    found = status_of(world.ask("caps")[0])
    assert {int(found[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {1 << 5}


@members("/process/rlimits")
def test_rlimits(world: World) -> None:
    """A soft and a hard limit; what is not listed stays."""
    world.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 1024, "hard": 4096},
                                {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]  # fmt: skip
    found = world.ask("rlimits")[0].splitlines()
    assert "RLIMIT_CORE 1024 4096" in found and "RLIMIT_NOFILE 100 200" in found


@pytest.mark.parametrize("value", [True, False])
@members("/process/noNewPrivileges")
def test_no_new_privileges(world: World, value: bool) -> None:
    """prctl(2) PR_GET_NO_NEW_PRIVS."""
    world.process["noNewPrivileges"] = value
    assert world.ask("nonewprivs") == [str(int(value))]


@members("/process/oomScoreAdj")
def test_oom_score(world: World) -> None:
    """/proc/self/oom_score_adj."""
    world.process["oomScoreAdj"] = 321
    assert world.ask("oomscore") == ["321"]


@members("/process/scheduler/policy", "/process/scheduler/nice", "/process/scheduler/flags")
def test_scheduler(world: World) -> None:
    """sched_getattr(2) says what was asked for."""
    world.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 9, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    assert world.ask("scheduler") == ["SCHED_BATCH nice=9 priority=0 flags=1"]


@members("/process/scheduler/priority")
def test_realtime_scheduler(world: World) -> None:
    """A first-in, first-out program with a priority."""
    world.process["scheduler"] = {"policy": "SCHED_FIFO", "priority": 11}
    assert world.ask("scheduler")[0].startswith("SCHED_FIFO nice=0 priority=11")


@members("/process/scheduler/runtime", "/process/scheduler/deadline", "/process/scheduler/period")
def test_deadline_scheduler(world: World) -> None:
    """Three times in nanoseconds."""
    world.process["scheduler"] = {
        "policy": "SCHED_DEADLINE",
        "runtime": 2000000,
        "deadline": 8000000,
        "period": 9000000,
    }
    assert "runtime=2000000 deadline=8000000 period=9000000" in world.ask("scheduler")[0]


@members("/process/ioPriority/class", "/process/ioPriority/priority")
def test_io_priority(world: World) -> None:
    """ioprio_get(2): class in the upper three bits, level below."""
    world.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    assert world.ask("ioprio") == ["BE 6"]


@members("/process/execCPUAffinity/initial", "/process/execCPUAffinity/final")
def test_exec_cpu_affinity(world: World) -> None:
    """exec's process runs on the CPUs of ``final``."""
    world.process["execCPUAffinity"] = {"initial": "0-1", "final": "1"}
    seen = status_of(world.ask_in(world.started(), "status")[0])
    assert seen["Cpus_allowed_list"] == "1"


def has_apparmor() -> bool:
    return os.path.exists("/sys/kernel/security/apparmor")


@members("/process/apparmorProfile")
def test_apparmor_profile(world: World) -> None:
    """Without AppArmor in the kernel a profile is an error; with it, one that is not loaded is."""
    world.process["apparmorProfile"] = "minirun-has-no-such-profile"
    world.refused("/process/apparmorProfile")


@pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="this host has SELinux")
@members("/process/selinuxLabel")
def test_selinux_label(world: World) -> None:
    """A label where there is no SELinux is an error."""
    world.process["selinuxLabel"] = "system_u:system_r:container_t:s0"
    world.refused("/process/selinuxLabel")


@members("/hostname", "/domainname")
def test_names(world: World) -> None:
    """In a UTS namespace of its own."""
    world.config.update(hostname="inside", domainname="example")
    assert world.ask("hostname", "domainname") == ["inside", "example"]


@members("/annotations")
def test_annotations(world: World) -> None:
    """In the state, as given."""
    world.config["annotations"] = {"org.example.key": "value"}
    assert world.runtime.state(world.started())["annotations"]["org.example.key"] == "value"


@members(*(f"/hooks/{name}" for name in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")))
def test_hooks_outside(world: World) -> None:
    """Each in its turn, with its arguments and environment, the state on its standard input."""
    log = world.place / "log"
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    world.config["hooks"] = {
        kind: [
            {"path": "/bin/sh", "args": ["sh", "-c", f'echo "$K $(cat)" >> {log}'], "env": [f"K={kind}"], "timeout": 9}
        ]
        for kind in kinds
    }
    world.ask("pid")
    found = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert [name for name, _ in found] == list(kinds)
    assert all(json.loads(state)["bundle"] == str(world.place) for _, state in found)


@members("/hooks/startContainer")
def test_start_container_hook(world: World) -> None:
    """Its program is the container's own, and it runs inside."""
    world.config["root"]["readonly"] = False
    world.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "hostname > /tmp/seen"]}]}
    world.config["hostname"] = "inside"
    assert world.ask("cat /tmp/seen") == ["inside"]
