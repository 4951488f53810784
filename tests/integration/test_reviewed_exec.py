"""What a review of exec, start and delete found, each held by a test."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import pytest

from minirun.engine.init import Init
from minirun.engine.protocol import FORKED, MESSAGE, READY, TERMINAL
from minirun.linux import unix
from tests.conftest import Bundle, Runtime, run
from tests.integration.profiles import number, profile, rule
from tests.integration.seen import wait_for

pytestmark = pytest.mark.needs("root", "busybox")


# -- exec: filter, limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CAP_SYS_PTRACE", "sys_ptrace"])
def test_an_early_filter_for_another_user(minirun: Runtime, bundle: Bundle, clean_host: None, name: str) -> None:
    """The right to load it is still there after setresuid(2), but has to be put in force again."""
    sets = dict.fromkeys(("bounding", "effective", "permitted"), [name])
    bundle.config["process"].update(noNewPrivileges=False, capabilities=sets)
    bundle.config["linux"]["seccomp"] = profile(rule("ERRNO", "getppid", errno=77))
    container = minirun.start(bundle.args("/probe", "pause"))
    plan = minirun("exec", "--user", "7:8", "--explain=json", container, "/probe", "id")
    kinds = [row["op"] for row in json.loads(plan.stdout)]
    assert kinds.index("seccomp", 1) < kinds.index("capabilities")
    done = minirun("exec", "--user", "7:8", container, "/probe", "id")
    assert (done.returncode, done.stdout) == (0, "uid=7 gid=8 groups=\n"), done.stderr
    done = minirun("exec", "--user", "7:8", container, "/probe", "call", number("getppid"))
    assert done.stdout == "EBADFD\n"


STATIC = (
    "read", "write", "exit", "exit_group", "execve", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
    "prlimit64", "readlinkat", "readlink", "getrandom", "mprotect", "mmap", "munmap", "fstat", "newfstatat", "ioctl",
)  # fmt: skip


@pytest.mark.needs("seccomp")
@pytest.mark.parametrize(("names", "answer"), [(["clone3"], "EPERM\n"), ([], "ENOSYS\n")])
def test_a_rule_that_says_what_the_default_says(
    minirun: Runtime, bundle: Bundle, names: list[str], answer: str
) -> None:
    """ENOSYS is for calls that the profile cannot know; one that it names it knows."""
    rules = [rule("ALLOW", *STATIC), *([rule("ERRNO", *names)] if names else [])]
    bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    bundle.config["process"]["noNewPrivileges"] = True
    assert minirun.output(bundle, "/probe", "call", number("clone3")) == answer


@pytest.mark.needs("seccomp")
def test_a_filter_that_is_too_long(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    args = [{"index": 0, "value": number << 20, "op": "SCMP_CMP_EQ"} for number in range(6000)]
    bundle.config["linux"]["seccomp"] = profile(rule("ERRNO", "getppid", args=args))
    done = minirun.run(bundle)
    assert done.returncode == 125 and "instructions, and the kernel takes 4096 at most" in done.stderr
    assert "config   /linux/seccomp in " in done.stderr and "host, " in done.stderr


def test_the_place_in_a_process_document(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    container = minirun.start(bundle.args("/probe", "pause"))
    for member, value in (("cwd", "/nowhere"), ("execCPUAffinity", {"final": "8000"}), ("selinuxLabel", "a:b:c:d")):
        document = {"args": ["/probe", "id"], "cwd": "/", member: value}
        (tmp_path / "process.json").write_text(json.dumps(document))
        done = minirun("exec", "--process", tmp_path / "process.json", container)
        assert done.returncode == 125 and f"config   /{member}" in done.stderr, done.stderr


def test_a_limit_on_processes_leaves_room_for_the_fork(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Two may there be: the container's, and exec's, which forks late, as the user, and without rights."""
    bundle.config["process"]["user"] = {"uid": 7123, "gid": 7123}
    bundle.config["process"]["capabilities"] = {}
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NPROC", "soft": 2, "hard": 2}]
    container = minirun.start(bundle.args("/probe", "pause"))
    done = minirun("exec", container, "/bin/cat", "/proc/self/limits")
    assert done.returncode == 0, done.stderr
    assert next(line.split()[2:4] for line in done.stdout.splitlines() if "processes" in line) == ["2", "2"]


def test_a_limit_above_ours_in_a_user_namespace(minirun: Runtime, mapped: Bundle, clean_host: None) -> None:
    """It takes CAP_SYS_RESOURCE of the first user namespace, which is the host's to use."""
    ours = ("prlimit", "--nofile=512:512")
    if run(*ours, "prlimit", "--nofile=1024:1024", "true").returncode != 0:
        pytest.skip("root may not raise limits here: no CAP_SYS_RESOURCE")
    mapped.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 600, "hard": 1024}]
    container = minirun.start(mapped.args("/probe", "pause"))
    done = run(*ours, minirun.program, "--root", minirun.root, "exec", container, "/bin/cat", "/proc/self/limits")
    assert done.returncode == 0, done.stderr
    assert next(line.split()[3:5] for line in done.stdout.splitlines() if "open files" in line) == ["600", "1024"]


def test_exec_has_the_container_s_oom_score(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """Else it would be the runtime's own, -999 under containerd."""
    bundle.config["process"]["oomScoreAdj"] = 321
    container = minirun.start(bundle.args("/probe", "pause"))
    process = {"args": ["/bin/cat", "/proc/self/oom_score_adj"], "cwd": "/"}
    for more, score in (({}, "321\n"), ({"oomScoreAdj": 654}, "654\n")):
        (tmp_path / "process.json").write_text(json.dumps({**process, **more}))
        assert minirun("exec", "--process", tmp_path / "process.json", container).stdout == score


# -- what init says ---------------------------------------------------------------------------------------------------


@pytest.fixture
def child() -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("forged", [1, 0, -1])
def test_another_process_is_no_init_of_ours(child: int, forged: int) -> None:
    """Who traces exec's process after its fork can speak in its place; we would signal what he names."""
    ours, theirs = unix.pair()
    init = Init(child, os.pidfd_open(child), ours)
    given = os.open("/dev/null", os.O_RDONLY)
    for kind, value, fd in ((FORKED, forged, -1), (TERMINAL, 0, given), (READY, 0, -1)):
        unix.send(theirs, MESSAGE.pack(kind, 1, 0, value, 0, b"", b""), fd)
    init.expect(READY)
    assert init.pid == child and init.terminal == -1
    for descriptor in (ours, theirs, given, init.pidfd):
        os.close(descriptor)


# -- start: whose step it was -----------------------------------------------------------------------------------------


def fails_at_start(minirun: Runtime, bundle: Bundle, *wrapper: str) -> None:
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}
    container = minirun.create(bundle.args("/probe", "pause"))
    done = run(*wrapper, minirun.program, "--root", minirun.root, "start", container)
    assert done.returncode == 125 and "config   /hooks/startContainer/0 in " in done.stderr, done.stderr
    assert "does not exist" in minirun("state", container).stderr  # such a container is destroyed


def test_a_failing_hook_is_named_under_sd_notify(
    minirun: Runtime, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, clean_host: None
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    fails_at_start(minirun, bundle)


def test_a_failing_hook_is_named_on_other_cpus(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """A caller that is pinned has one step more in its plan than one that is not."""
    fails_at_start(minirun, bundle, "taskset", "-c", str(min(os.sched_getaffinity(0))))


# -- the end ----------------------------------------------------------------------------------------------------------


def start_without_cgroup(minirun: Runtime, bundle: Bundle) -> str:
    name = minirun.name()
    quiet: dict[str, Any] = {"capture_output": False, "stdout": DEVNULL, "stderr": DEVNULL}
    path = bundle.args("/probe", "pause").write()
    assert minirun("--cgroup-manager", "disabled", "run", "-d", "-b", path, name, **quiet).returncode == 0
    return name


def test_kill_all_leaves_a_joined_pid_namespace_alone(
    minirun: Runtime, bundle: Bundle, open_bundle: Bundle, clean_host: None
) -> None:
    """Without a cgroup the processes are those of the pid namespace; but this one is another container's."""
    first = start_without_cgroup(minirun, bundle)
    for namespace in open_bundle.config["linux"]["namespaces"]:
        if namespace["type"] == "pid":
            namespace["path"] = f"/proc/{minirun.state(first)['pid']}/ns/pid"
    second = start_without_cgroup(minirun, open_bundle)
    assert minirun("kill", "--all", second, "KILL").returncode == 0
    wait_for(lambda: minirun.state(second)["status"] == "stopped")
    done = minirun("exec", first, "/probe", "pid", timeout=20)  # its state is no witness: pid 1 waits for the others
    assert done.returncode == 0, done.stderr


def test_delete_where_the_rootfs_is_unmounted(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Without a mount namespace of its own: the caller took everything away that lay on the rootfs."""
    assert run("mount", "--bind", bundle.rootfs, bundle.rootfs).returncode == 0
    linux = bundle.config["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "mount"]
    for member in ("maskedPaths", "readonlyPaths"):
        linux.pop(member, None)
    container = minirun.start(bundle.args("/bin/true"))
    wait_for(lambda: minirun.state(container)["status"] == "stopped")
    while run("umount", "-l", bundle.rootfs).returncode == 0:
        pass
    done = minirun("delete", container)
    assert done.returncode == 0, done.stderr


def test_a_second_signal_does_not_interrupt_the_undoing(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    marks = [bundle.path / word for word in ("begun", "undoing", "undone")]
    shell = [f"touch {marks[0]}; sleep 20", f"touch {marks[1]}; sleep 1; touch {marks[2]}"]
    first, last = ({"path": "/bin/sh", "args": ["sh", "-c", words]} for words in shell)
    bundle.config["hooks"] = {"createRuntime": [first], "poststop": [last]}
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.write()), minirun.name()]
    with Popen(words, stderr=DEVNULL) as process:
        for mark in marks[:2]:
            wait_for(mark.exists)
            process.send_signal(signal.SIGINT)
    assert process.returncode == 128 + signal.SIGINT
    assert marks[2].exists() and os.listdir(minirun.root) == []


def unlocked(path: Path) -> bool:
    """Nobody is at work on that container any more."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def test_ended_while_it_waits_for_ready(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """The container goes on, and nobody says that it was undone."""
    name, path = minirun.name(), bundle.args("/probe", "pause").write()
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-d", "-b", str(path), name]
    with open(path / "err", "w+") as err:
        env = {**os.environ, "NOTIFY_SOCKET": "@nobody-listens-here"}
        with Popen(words, stdin=DEVNULL, stdout=DEVNULL, stderr=err, env=env) as process:
            wait_for(lambda: (minirun.root / name / "state.json").exists() and unlocked(minirun.root / name))
            process.terminate()
    assert process.returncode == -signal.SIGTERM and (path / "err").read_text() == ""
    assert minirun.state(name)["status"] == "running"
