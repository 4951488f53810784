"""The process that is to be a sandbox's first: whatever becomes of it or of its parent, nothing is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.vm.sandbox import zygote
from minirun.vm.sandbox.zygote import Zygote
from tests.conftest import Bundle, run
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox", "kvm")
CLONE_THREAD = 0x10000
ALLOWED = "while read name value; do [ $name != Cpus_allowed: ] || echo $value; done < /proc/self/status"


@pytest.fixture
def begun() -> Iterator[Zygote]:
    made = zygote.begin("")
    yield made
    made.dismiss()


@pytest.fixture
def runtime(tmp_path: Path) -> Isolated:
    return Isolated(tmp_path / "state", "sandbox")


def gone(pid: int) -> bool:
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.01)
    return not Path(f"/proc/{pid}").exists()


def of_this(root: Path) -> list[str]:
    """Processes whose command line has ``root`` in it: minirun's, and zygotes, which have their parents'."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if os.fsencode(root) in line:
            found.append(line.replace(b"\0", b" ").decode())
    return found


def settled(root: Path) -> list[str]:
    end = time.monotonic() + 5
    while (found := of_this(root)) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def test_one_that_is_not_needed_is_gone(begun: Zygote) -> None:
    pid = begun.pid
    begun.dismiss()
    begun.dismiss()
    assert not Path(f"/proc/{pid}").exists()


def test_one_that_was_killed_is_an_error(begun: Zygote) -> None:
    os.kill(begun.pid, signal.SIGKILL)
    begun.order({"flags": 0}, {})
    with pytest.raises(MinirunError, match="cannot make a sandbox") as caught:
        begun.first()
    assert "signal 9" in caught.value.reason


def test_what_the_kernel_refuses_is_an_error(begun: Zygote) -> None:
    pid = begun.pid
    begun.order({"flags": CLONE_THREAD, "dumpable": True, "forks": False, "trace": False}, {})
    begun.order({}, {})
    with pytest.raises(OSError, match="clone3") as caught:
        begun.first()
    assert caught.value.errno == 22
    assert gone(pid)


def test_what_it_has_become_unseen_is_gone_too(begun: Zygote) -> None:
    """Whoever is interrupted between the order and the answer."""
    begun.order({"flags": 0, "dumpable": True, "forks": False, "trace": False}, {})
    time.sleep(0.3)
    begun.dismiss()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_without_a_device(bundle: Bundle, runtime: Isolated, clean_host: None) -> None:
    """The words of the refusal are not lost, whoever is first."""
    words = " ".join(runtime.words("run", "-b", bundle.args("/bin/true").write(), "x"))
    inside = f"mount -t tmpfs none /dev && mknod /dev/null c 1 3 && for i in 1 2 3 4 5; do {words} < /dev/null; done"
    done = run("unshare", "-m", "sh", "-c", inside)
    assert done.stderr.count("cannot open /dev/kvm") == 5, done.stderr
    assert not of_this(runtime.root)


@pytest.mark.parametrize("isolation", ["container", "sandbox"])
def test_a_caller_that_ignores_the_end_of_its_children(isolation: str, bundle: Bundle, tmp_path: Path) -> None:
    runtime = Isolated(tmp_path / "state", isolation)
    program = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = run(sys.executable, "-c", program, *runtime.words("run", "-b", bundle.args("/bin/true").write(), "x"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(runtime("list", "--format", "json").stdout or "[]") in ([], None)


def test_few_descriptors(runtime: Isolated, bundle: Bundle) -> None:
    words = " ".join(runtime.words("run", "-b", bundle.args("/bin/echo", "hello").write(), "x"))
    done = run("sh", "-c", f"ulimit -n 16; {words}")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


def test_it_does_not_outlive_its_parent() -> None:
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        made = zygote.begin("")
        os.write(writer, str(made.pid).encode())
        os._exit(0)
    os.waitpid(parent, 0)
    pid = int(os.read(reader, 20))
    os.close(reader)
    os.close(writer)
    assert gone(pid)


@pytest.mark.parametrize("words", [("--no-such-option",), ("-b", "/nonexistent"), ("--explain",)])
def test_begun_for_nothing(runtime: Isolated, bundle: Bundle, words: tuple[str, ...], clean_host: None) -> None:
    bundle.write()
    done = runtime("run", "-b", bundle.path, *words, "x")
    assert (done.returncode == 0) == (words == ("--explain",)), done.stderr
    assert "Traceback" not in done.stderr
    assert not of_this(runtime.root)


def test_a_configuration_that_is_refused(runtime: Isolated, bundle: Bundle, clean_host: None) -> None:
    bundle.config["process"]["apparmorProfile"] = "x"
    done = runtime.run(bundle.args("/bin/true"))
    assert done.returncode == 125
    assert "sandbox" in done.stderr
    assert "/process/apparmorProfile" in done.stderr
    assert not of_this(runtime.root)


def test_the_program_has_a_containers_processors(tmp_path: Path, bundle: Bundle) -> None:
    """The zygote was kept from one of them."""
    bundle.config["mounts"].append({"destination": "/proc", "type": "proc", "source": "proc"})
    ours = os.sched_getaffinity(0)
    for cpus in (ours, {max(ours)}, {min(ours)}):
        os.sched_setaffinity(0, cpus)
        try:
            said = [
                Isolated(tmp_path / isolation, isolation).output(bundle, "/bin/sh", "-c", ALLOWED)
                for isolation in ("container", "sandbox")
            ]
        finally:
            os.sched_setaffinity(0, ours)
        assert said[0] == said[1]
        assert said[0].strip()


def test_one_process_is_left_of_two(runtime: Isolated, bundle: Bundle, clean_host: None) -> None:
    """Between create and start: the zygote has become the container's first process, and its number is that."""
    name = runtime.create(bundle.args("/bin/true"))
    found = of_this(runtime.root)
    runtime("delete", "--force", name)
    assert len(found) == 1, found


def test_minirun_is_killed_at_any_moment(runtime: Isolated, bundle: Bundle, clean_host: None) -> None:
    """A run is some 20 ms; afterwards the container can be deleted, and there is no process of it."""
    bundle.args("/bin/true").write()
    chance = random.Random(7)
    for _ in range(40):
        name = runtime.name()
        words = runtime.words("run", "-b", bundle.path, name)
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(chance.random() * 0.025)
            process.kill()
        runtime("delete", "--force", name)
        assert not settled(runtime.root)


def test_many_at_once(runtime: Isolated, bundle: Bundle, clean_host: None) -> None:
    bundle.args("/bin/echo", "hello").write()
    runs = [
        subprocess.Popen(
            runtime.words("run", "-b", bundle.path, f"m{number}"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(50)
    ]  # fmt: skip
    said = [run.communicate(timeout=100) for run in runs]
    assert said == [("hello\n", "")] * 50
    assert not of_this(runtime.root)
