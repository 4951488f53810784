"""containerd, from the distribution, through its runc shim: ``ctr run --runc-binary minirun``.

The daemon has its own root, state and socket.  The shim speaks to the runtime in argv and exit codes, and shows its
user the last error of the log.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN
from tests.integration.busybox_image import NAME, write_image
from tests.integration.seen import wait_for
from tests.integration.stage import Stage, stage, wait_until_ready
from tests.integration.terminals import Inside

pytestmark = pytest.mark.needs("root", "busybox", "containerd")

CONFIG = """version = 2
root = "{place}/root"
state = "{place}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{place}/containerd.sock"
"""


class Containerd:
    """``containerd("run", "--rm", ...)`` is ctr; ``run`` has what a runtime is named by in it."""

    def __init__(self, opened: Stage) -> None:
        self.stage = opened
        self.place = opened.place
        self.ctr = ("ctr", "--address", str(opened.place / "containerd.sock"))
        self.used = 0

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return self.stage(*self.ctr, *words)

    def ok(self, *words: str | Path) -> str:
        return self.stage.ok(*self.ctr, *words)

    def name(self) -> str:
        self.used += 1
        return f"c{self.used}"

    def run(self, *flags: str, args: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return self("run", "--rm", "--runc-binary", MINIRUN, *flags, NAME, self.name(), *args)

    def status(self, name: str) -> str:
        found = re.search(rf"^{name} .* (\w+)\s*$", self.ok("task", "ls"), re.M)
        return found[1] if found else ""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Containerd]:
    with stage() as opened:
        place = opened.place
        (place / "config.toml").write_text(CONFIG.format(place=place))
        process = opened.daemon("containerd", "-c", place / "config.toml", log=place / "log")
        containerd = Containerd(opened)
        assert wait_until_ready(opened, process, *containerd.ctr, "version"), (place / "log").read_text()
        containerd.ok("image", "import", write_image(place / "image.tar"))
        opened.settle()
        yield containerd
        opened.end(process)


@pytest.fixture
def containerd(daemon: Containerd) -> Iterator[Containerd]:
    """Each test leaves the daemon alone in its place."""
    yield daemon
    for row in daemon.ok("task", "ls", "-q").split():
        daemon("task", "delete", "--force", row)
    for row in daemon.ok("container", "ls", "-q").split():
        daemon("container", "rm", row)
    assert daemon.stage.left() == {}


@pytest.fixture
def task(containerd: Containerd) -> str:
    """A container that runs."""
    name = containerd.name()
    containerd.ok("run", "--detach", "--runc-binary", MINIRUN, NAME, name, "sleep", "100")
    return name


def test_run(containerd: Containerd) -> None:
    """Output, exit code, directory and environment; all of it with what ctr writes by itself, cpu.shares too."""
    done = containerd.run("--env", "A=b c", "--cwd", "/tmp", args=("sh", "-c", "pwd; echo $A; id -u; exit 7"))
    assert (done.stdout, done.returncode) == ("/tmp\nb c\n0\n", 7), done.stderr


def test_options(containerd: Containerd) -> None:
    """What reaches the runtime as configuration: host network, a bind mount, a device, capabilities, read-only."""
    (containerd.place / "given").write_text("from outside")
    mount = f"type=bind,src={containerd.place}/given,dst=/given,options=bind:ro"
    read = containerd.run("--net-host", "--mount", mount, args=("sh", "-c", "cat /given; echo x > /given"))
    assert read.stdout == "from outside" and "Read-only file system" in read.stderr and read.returncode == 1
    seen = containerd.run(
        "--device", "/dev/zero", "--cap-drop", "CAP_KILL", "--cap-add", "CAP_SYS_TIME", "--read-only", "--annotation",
        "a=b", args=("sh", "-c", "grep CapEff /proc/self/status; touch /x; ls /dev/zero"),
    )  # fmt: skip
    effective = int(re.findall(r"CapEff:\s+(\w+)", seen.stdout)[0], 16)
    assert effective & 1 << 25 and not effective & 1 << 5
    assert "Read-only file system" in seen.stderr and seen.stdout.endswith("/dev/zero\n")
    rootfs = containerd.place / "rootfs"
    (rootfs / "bin").mkdir(parents=True, exist_ok=True)
    (rootfs / "bin" / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (rootfs / "bin" / "busybox").chmod(0o755)
    done = containerd(
        "run", "--rm", "--runc-binary", MINIRUN, "--rootfs", rootfs, containerd.name(), "busybox", "echo", "bare"
    )
    assert done.stdout == "bare\n", done.stderr


def test_seccomp(containerd: Containerd) -> None:
    """containerd's default profile: unshare(2) wants CAP_SYS_ADMIN, which the profile looks for as well."""
    asked = ("sh", "-c", "grep Seccomp: /proc/self/status; unshare -U true && echo unshared")
    assert containerd.run(args=asked).stdout == "Seccomp:\t0\nunshared\n"
    assert containerd.run("--seccomp", args=asked).stdout == "Seccomp:\t2\n"


def test_life(containerd: Containerd, task: str) -> None:
    """exec, ps, pause, resume, kill, delete: as containerd sees them."""
    assert containerd.ok("task", "exec", "--exec-id", "x1", task, "echo", "second") == "second\n"
    assert containerd("task", "exec", "--exec-id", "x2", task, "sh", "-c", "exit 3").returncode == 3
    containerd.ok("task", "exec", "--exec-id", "x3", "--detach", task, "sleep", "50")
    assert len(containerd.ok("task", "ps", task).splitlines()) == 3, "a head line and two processes"
    containerd.ok("task", "pause", task)
    assert containerd.status(task) == "PAUSED"
    refused = containerd("task", "exec", "--exec-id", "x4", task, "true")
    assert refused.returncode != 0 and "paused" in refused.stderr
    containerd.ok("task", "resume", task)
    assert containerd.status(task) == "RUNNING"
    containerd.ok("task", "kill", "--signal", "KILL", "--all", task)
    wait_for(lambda: containerd.status(task) == "STOPPED")
    assert containerd("task", "kill", task).stderr == "ctr: process already finished: not found\n"
    assert "exit code 137" in containerd("task", "delete", task).stderr
    containerd.ok("container", "rm", task)


def test_metrics(containerd: Containerd, task: str) -> None:
    """The shim reads the cgroup that minirun made, by itself: it must be where the configuration says."""
    found = json.loads(containerd.ok("task", "metrics", "--format", "json", task))
    assert found.keys() >= {"cpu", "memory", "pids"}
    assert f"/default/{task}" in containerd.stage.groups()


def test_events(containerd: Containerd) -> None:
    """What a subscriber is told of a container's life, with the exit code."""
    log = containerd.place / "events"
    listener = containerd.stage.daemon(*containerd.ctr, "events", log=log)
    wait_for(lambda: containerd.run(args=("true",)).returncode == 0 and "/tasks/delete" in log.read_text())
    log.write_text("")
    assert containerd.run(args=("sh", "-c", "exit 5")).returncode == 5
    wait_for(lambda: "/tasks/delete" in log.read_text())
    containerd.stage.end(listener)
    seen = re.findall(r"default /tasks/(\w+) (\{.*\})", log.read_text())
    assert [topic for topic, _ in seen] == ["create", "start", "exit", "delete"]
    assert [json.loads(text)["exit_status"] for _, text in seen[2:]] == [5, 5]


def test_terminal(containerd: Containerd, task: str) -> None:
    """--tty: the shim's console socket, the size of ours, what is typed; run and exec."""
    for words in (
        ("run", "--rm", "--tty", "--runc-binary", MINIRUN, NAME, containerd.name(), "sh"),
        ("task", "exec", "--tty", "--exec-id", "x1", task, "sh"),
    ):
        inside = Inside(containerd.stage.enter(*containerd.ctr, *words), rows=33, columns=77, env=containerd.stage.env)
        inside.terminal.expect("# ")
        inside.terminal.type("tty; stty size; exit 4\n")
        assert "/dev/pts/0" in inside.terminal.expect("33 77")
        assert inside.wait() == 4
        inside.close()


@pytest.mark.parametrize(
    ("flags", "args", "words"),
    [
        ((), ("/no/such",), ("cannot find /no/such: no such file or directory", "hint: the path is looked up inside")),
        ((), ("/etc",), ("cannot find /etc: permission denied", "it is a directory")),
        (("--mount", "type=bind,src=/no,dst=/x,options=bind"), ("true",), ("/no on /x: no such file", "/mounts/")),
    ],
)  # fmt: skip
def test_refusals(
    containerd: Containerd, flags: tuple[str, ...], args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Whatever minirun says is what ctr shows."""
    done = containerd.run(*flags, args=args)
    assert done.returncode != 0 and done.stderr.startswith(
        "ctr: failed to create shim task: OCI runtime create failed: "
    )
    for word in words:
        assert word in done.stderr


def test_exec_refusals(containerd: Containerd, task: str) -> None:
    done = containerd("task", "exec", "--exec-id", "x1", task, "nosuch")
    assert done.stderr.startswith("ctr: OCI runtime exec failed: cannot find nosuch: no such file or directory")
    gone = containerd("task", "exec", "--exec-id", "x2", "nobody", "true")
    assert gone.returncode != 0 and "not found" in gone.stderr
    assert containerd.status(task) == "RUNNING"


def test_checkpoint_is_refused(containerd: Containerd, task: str) -> None:
    """In the verb's own words; and the container, which the shim paused for it, goes on."""
    done = containerd("task", "checkpoint", "--image-path", containerd.place / "checkpoint", task)
    assert done.returncode != 0 and "checkpoint is not supported" in done.stderr and "CRIU" in done.stderr
    assert containerd.status(task) == "RUNNING"


def test_the_shim_ends(containerd: Containerd, task: str) -> None:
    """A shim that is killed: containerd calls ``delete --force`` itself, and nothing of the container is left."""
    (shim,) = (pid for pid, line in containerd.stage.processes().items() if "containerd-shim" in line)
    os.kill(shim, signal.SIGKILL)
    wait_for(lambda: containerd.status(task) in ("", "STOPPED"))
