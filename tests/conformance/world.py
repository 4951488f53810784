"""Where a suite runs: a cgroup subtree, namespaces and a terminal of its own, and a time limit.

``world.sh`` makes the namespaces; this module makes and removes what stands outside of them: the cgroup, the
scratch directory, the pty.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPT = HERE / "world.sh"


def cgroup2() -> Path:
    """The mount of the whole v2 hierarchy (proc_pid_mountinfo(5)); RuntimeError where there is none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 ") and before.split()[3] == "/":
            return Path(before.split()[4])
    raise RuntimeError("no cgroup v2 is mounted here")


@contextmanager
def cgroup() -> Iterator[Path]:
    """An empty subtree that every controller is passed to; whatever lives in it in the end is killed."""
    top = cgroup2()
    path = top / f"minirun-conformance-{os.getpid()}"
    path.mkdir()
    try:
        for controller in (top / "cgroup.controllers").read_text().split():
            with suppressed():
                (top / "cgroup.subtree_control").write_text(f"+{controller}")
        yield path
    finally:
        (path / "cgroup.kill").write_text("1")
        remove(path)


@contextmanager
def suppressed() -> Iterator[None]:
    """A controller that cannot be passed on (threads of real-time priority in the root, say) is one the less."""
    try:
        yield
    except OSError:
        return


def remove(path: Path) -> None:
    """rmdir(2) from the leaves up; killed processes take a moment to leave, so three seconds."""
    end = time.monotonic() + 3
    while True:
        for folder, _, _ in os.walk(path, topdown=False):
            with suppressed():
                os.rmdir(folder)
        if not path.exists():
            return
        if time.monotonic() > end:
            raise RuntimeError(f"{path} cannot be removed")
        time.sleep(0.05)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory with a short name (AF_UNIX paths end at 107 bytes) that any user of a container can cross."""
    path = Path(tempfile.mkdtemp(prefix="suite-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        free_loops(path)
        shutil.rmtree(path, ignore_errors=True)


def free_loops(below: Path) -> None:
    """runc's suite leaves loop devices attached to images of its bundles (losetup(8))."""
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppressed():
            if file.read_text().startswith(f"{below}/"):
                subprocess.run(["losetup", "--detach", f"/dev/{file.parts[3]}"], check=False)


def run(argv: list[str], cwd: Path, env: dict[str, str], seconds: float) -> str:
    """Run in a world of its own; everything it wrote to its terminal.  After ``seconds`` it is killed, and says so."""
    with cgroup() as group:
        child, terminal = pty.fork()
        if child == 0:
            try:
                os.chdir(cwd)
                os.execve("/bin/sh", ["sh", str(SCRIPT), str(group), *argv], env)
            finally:
                os._exit(127)
        try:
            output, late = listen(terminal, time.monotonic() + seconds)
        finally:
            (group / "cgroup.kill").write_text("1")
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(terminal)
    text = output.decode("utf-8", "replace").replace("\r\n", "\n")
    return text + (f"\n# killed after {seconds:.0f} s\n" if late else "")


def listen(terminal: int, end: float) -> tuple[bytes, bool]:
    """Until the last process has closed the terminal (EIO), or ``end``: what was written, and whether time was up."""
    output = b""
    while (left := end - time.monotonic()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:
            return output, False
        if not part:
            return output, False
        output += part
    return output, True
