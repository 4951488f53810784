"""SCMP_ACT_NOTIFY: somebody outside answers, whatever is on the list; and whoever dies, nothing goes on spinning."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Json, Runtime, base_config, run
from tests.integration.agents import Agent
from tests.integration.profiles import number, profile, rule
from tests.integration.seen import ask, ask_in, wait_for
from tests.integration.test_crash import until_done

pytestmark = pytest.mark.needs("root", "busybox", "seccomp")
GETPPID = "getppid"
# What runtimes that send the listener from inside hang or refuse at (runc forbids write; sendmsg, fcntl, recvmsg hang).
EVERYTHING = """execve read write openat close sendmsg recvmsg sendto connect socket fcntl clone exit_group mmap munmap
    close_range poll ppoll futex pidfd_getfd seccomp prctl getpid""".split()  # noqa: SIM905


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


def asking(bundle: Bundle, path: Path, *names: str, **more: str) -> Bundle:
    bundle.config["linux"]["seccomp"] = profile(rule("NOTIFY", *names), listenerPath=str(path), **more)
    bundle.config["process"]["noNewPrivileges"] = False
    return bundle


def answers_to(*names: str) -> dict[int, int]:
    return {int(number(name)): 4242 for name in names}


def test_somebody_else_answers(minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None) -> None:
    with Agent(socket_path, answers_to(GETPPID)) as agent:
        asking(bundle, socket_path, GETPPID, "getsid", listenerMetadata="from the test")
        assert ask(minirun, bundle, f"call-result {number(GETPPID)}", f"call {number('getsid')}") == ["4242", "ok"]
    assert agent.asked.count(int(number(GETPPID))) == 1
    [told] = agent.told
    assert told["fds"] == ["seccompFd"] and told["metadata"] == "from the test" and told["ociVersion"] == "1.3.0"
    state = told["state"]
    assert (state["id"], state["status"], state["bundle"]) == (minirun.used[-1], "created", str(bundle.path))
    assert told["pid"] == state["pid"] > 1


def test_create_and_start(minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None) -> None:
    """The one who opens the gate hands over; exec does so for its own process, with the same filter."""
    with Agent(socket_path, answers_to(GETPPID)) as agent:
        name = minirun.create(asking(bundle, socket_path, GETPPID).args("/probe", "pause"))
        assert agent.told == []
        assert minirun("start", name).returncode == 0
        assert agent.told[0]["pid"] == minirun.state(name)["pid"] and "metadata" not in agent.told[0]
        assert ask_in(minirun, name, f"call-result {number(GETPPID)}") == ["4242"]
        wait_for(lambda: len(agent.told) == 2)
        minirun("delete", "--force", name)
    told = agent.told[1]
    assert told["state"]["status"] == "running" and told["state"]["id"] == name
    assert told["pid"] != told["state"]["pid"]


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_nothing_on_the_list_is_in_our_way(
    minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None, no_new_privileges: bool
) -> None:
    asking(bundle, socket_path, *EVERYTHING).args("/bin/sh", "-c", "cat /etc/passwd | head -1")
    bundle.config["process"]["noNewPrivileges"] = no_new_privileges
    with Agent(socket_path) as agent:
        done = minirun.run(bundle, timeout=30)
        assert (done.returncode, done.stdout) == (0, "root:x:0:0:root:/root:/bin/sh\n"), done.stderr
    asked = set(agent.asked)
    assert {int(number(name)) for name in ("execve", "openat", "write", "exit_group")} <= asked


def test_everything_is_asked(minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None) -> None:
    """The default action itself."""
    bundle.config["linux"]["seccomp"] = profile(action="NOTIFY", listenerPath=str(socket_path))
    with Agent(socket_path) as agent:
        assert minirun.output(bundle, "/probe", "pid") == "1\n"
    assert agent.asked[0] == int(number("execve")), "the first that the filter sees is the last of init's"


def test_flags_and_annotation(minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None) -> None:
    """crun's receiver; and a filter whose waiters only a fatal signal interrupts."""
    section = profile(rule("NOTIFY", GETPPID), flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])
    bundle.config["linux"]["seccomp"] = section
    bundle.config["annotations"] = {"run.oci.seccomp.receiver": str(socket_path)}
    with Agent(socket_path, answers_to(GETPPID)):
        assert ask(minirun, bundle, f"call-result {number(GETPPID)}") == ["4242"]


def test_a_user_namespace(minirun: Runtime, open_bundle: Bundle, socket_path: Path, clean_host: None) -> None:
    linux = open_bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    asking(open_bundle, socket_path, GETPPID, "sendmsg")
    with Agent(socket_path, answers_to(GETPPID)):
        assert ask(minirun, open_bundle, f"call-result {number(GETPPID)}") == ["4242"]


@pytest.mark.needs("userns")
def test_an_ordinary_user(open_bundle: Bundle, open_place: Path, clean_host: None) -> None:
    """Who made the user namespace may take the listener out of a process in it."""
    who, socket_path = 12345, open_place / "agent.sock"
    shutil.chown(open_place, who, who)
    open_bundle.config = base_config("/probe", "call-result", number(GETPPID), rootless=True, uid=who, gid=who)
    asking(open_bundle, socket_path, GETPPID, "sendmsg").write()
    env = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(open_place)}
    with Agent(socket_path, answers_to(GETPPID)) as agent:
        done = run(MINIRUN, "run", "-b", open_bundle.path, "u1", user=who, group=who, extra_groups=[], env=env, cwd="/")
        assert (done.returncode, done.stdout) == (0, "4242\n"), done.stderr
    assert agent.told[0]["pid"] > 1
    assert [path.stat().st_uid for path in (open_place / "minirun" / ".filters").iterdir()] == [who]


# -- nobody there -----------------------------------------------------------------------------------------------------


def refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    assert done.returncode == 125
    lines = done.stderr.splitlines()
    assert lines[0].startswith("minirun: cannot hand over the filter's listener: ") and reason in lines[0], done.stderr
    assert any(line.startswith("  config   /linux/seccomp/listenerPath") for line in lines), done.stderr


@pytest.mark.parametrize("what", ["missing", "file", "closed"])
def test_an_agent_that_is_not_there(
    minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None, what: str
) -> None:
    reason = "No such file or directory"
    if what == "file":
        socket_path.write_text("")
        reason = "it is no socket"
    elif what == "closed":
        Agent(socket_path, deaf=True).server.close()
        reason = "Connection refused"
    refused(minirun.run(asking(bundle, socket_path, GETPPID)), reason)
    assert minirun("state", minirun.used[-1]).returncode != 0


def test_an_agent_that_went_before_start(minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None) -> None:
    """start says so before it opens the gate: the container is still created, and starts when he is back."""
    with Agent(socket_path):
        name = minirun.create(asking(bundle, socket_path, GETPPID).args("/probe", "pause"))
    socket_path.unlink()
    refused(minirun("start", name), "No such file or directory")
    assert minirun.state(name)["status"] == "created"
    with Agent(socket_path) as agent:
        assert minirun("start", name).returncode == 0
        wait_for(lambda: agent.told)
        minirun("delete", "--force", name)


def test_an_agent_that_hangs_up(minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None) -> None:
    """Without a listener the kernel says ENOSYS to whoever asks: execve itself, here."""
    agent = Agent(socket_path, deaf=True)
    bundle = asking(bundle, socket_path, "execve", "sendmsg").args("/probe", "pid")
    process = subprocess.Popen([MINIRUN, "--root", minirun.root, "run", "-b", bundle.write(), minirun.name()],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    link, _ = agent.server.accept()
    link.close()
    agent.server.close()
    process.communicate(timeout=20)
    assert process.returncode != 0


# -- deaths -----------------------------------------------------------------------------------------------------------


def init_of(name: str, minirun: Runtime) -> int:
    """The pid in the state file, as long as the runtime is held up."""
    return int(minirun.state(name)["pid"])


@pytest.fixture
def held_up(minirun: Runtime, bundle: Bundle, socket_path: Path) -> tuple[Json, subprocess.Popen[bytes], str]:
    """A start that stands between loaded and GO: the agent reads nothing, and the document does not fit a socket."""
    agent = Agent(socket_path, deaf=True)
    asking(bundle, socket_path, GETPPID, listenerMetadata="x" * (1 << 20))
    name = minirun.create(bundle.args("/probe", "pause"))
    process = subprocess.Popen([MINIRUN, "--root", minirun.root, "start", name], stdin=subprocess.DEVNULL)
    pid = init_of(name, minirun)
    wait_for(lambda: "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text())
    return {"agent": agent, "pid": pid}, process, name


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_host_dies_while_init_waits(minirun: Runtime, held_up: tuple[Json, subprocess.Popen[bytes], str]) -> None:
    """Nobody will ever say GO: init ends itself, by a trap and not by a system call, and spins no longer."""
    more, process, name = held_up
    process.kill()
    process.wait()
    began = time.monotonic()
    wait_for(lambda: gone(more["pid"]), 60)
    assert time.monotonic() - began > 0.5, "not at once, but after its patience"
    assert minirun.state(name)["status"] == "stopped"
    assert minirun("delete", name).returncode == 0
    more["agent"].server.close()


def test_init_dies_while_the_host_hands_over(
    minirun: Runtime, held_up: tuple[Json, subprocess.Popen[bytes], str]
) -> None:
    more, process, name = held_up
    os.kill(more["pid"], signal.SIGKILL)
    wait_for(lambda: gone(more["pid"]))
    link, _ = more["agent"].server.accept()
    while link.recv(1 << 16):
        pass
    assert process.wait(20) == 125, "it is no success that the agent has a listener now"
    for end in (link, more["agent"].server):
        end.close()
    assert minirun.state(name)["status"] == "stopped"
    assert minirun("delete", name).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["start", "run"])
def test_the_host_dies_at_any_call(
    minirun: Runtime, bundle: Bundle, socket_path: Path, clean_host: None, verb: str
) -> None:
    """kill -9 after each of its system calls: what is left can be deleted, and no process of ours stays."""
    asking(bundle, socket_path, GETPPID, "sendmsg", "execve").args("/probe", "sleep", "0.1" if verb == "run" else "60")
    with Agent(socket_path):
        name = minirun.create(bundle) if verb == "start" else minirun.name()
        for _ in until_done(
            minirun, bundle, name, *(["start", name] if verb == "start" else ["run", "-b", str(bundle.write()), name])
        ):
            minirun("delete", "--force", name)
            if verb == "start":
                minirun.used.append(name)
                minirun(
                    "create",
                    "-b",
                    bundle.path,
                    name,
                    capture_output=False,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
        minirun("delete", "--force", name)
