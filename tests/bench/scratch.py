"""All that the benchmark puts on the machine, in one place, so that one ``with`` takes it away again.

A temporary directory (bundles, state directories, compiled C), one cgroup ``/bench-PID`` for all containers, and
our descendants.  Leaving the block kills, unmounts and removes in that order, also after Ctrl-C and after a runtime
that broke halfway: nothing in it relies on a runtime's own ``delete``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import view

HERE = Path(__file__).resolve().parent
BUSYBOX = Path("/bin/busybox")
MOUNT_POINTS = ("proc", "dev", "sys")
MNT_DETACH = 2  # <sys/mount.h>


@contextmanager
def folder() -> Iterator[str]:
    """A directory; podman's cleaning up behind a container may still write there when the block ends."""
    made = tempfile.mkdtemp(prefix="minirun-bench-")
    try:
        yield made
    finally:
        for _ in range(50):
            shutil.rmtree(made, ignore_errors=True)
            if not os.path.exists(made):
                break
            time.sleep(0.1)


class Scratch:
    """A directory and a cgroup for the length of a ``with`` block."""

    def __init__(self) -> None:
        self.cgroup = f"/bench-{os.getpid()}"
        self.cgroup_dir = Path(view.CGROUP_ROOT + self.cgroup)
        self.path = Path()
        self.undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.path = Path(tempfile.mkdtemp(prefix="minirun-bench-"))
            undo.callback(shutil.rmtree, self.path)
            undo.callback(unmount_below, self.path)
            # One parent for all: no runtime has to make it, and enable controllers in it, within its own time.
            self.cgroup_dir.mkdir()
            undo.callback(remove_cgroup, self.cgroup_dir)
            undo.callback(end_descendants)
            undo.callback(end_cgroup, self.cgroup_dir)
            self.make_rootfs()
            self.undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        # An impatient second Ctrl-C must not stop the tidying.
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, signal.SIG_IGN) for number in signals]
        self.undo.close()
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)

    @property
    def rootfs(self) -> Path:
        return self.path / "rootfs"

    def make_rootfs(self) -> None:
        """Static busybox and two names for it; the mount points exist, so that no runtime pays for making them."""
        if not BUSYBOX.exists():
            raise SystemExit("bench: /bin/busybox is missing: install busybox-static")
        bin_dir = self.rootfs / "bin"
        bin_dir.mkdir(parents=True)
        shutil.copy(BUSYBOX, bin_dir)
        for name in ("true", "sleep"):
            (bin_dir / name).symlink_to("busybox")
        for name in MOUNT_POINTS:
            (self.rootfs / name).mkdir()

    def bundle(self, name: str, args: list[str], seccomp: Any = None) -> Path:
        """runc's own default spec with our process, rootfs and cgroup: the same document for every runtime."""
        path = self.path / name
        path.mkdir()
        subprocess.run(["runc", "spec"], cwd=path, check=True)
        file = path / "config.json"
        config: dict[str, Any] = json.loads(file.read_text())
        config["process"]["terminal"] = False
        config["process"]["args"] = args
        config["root"]["path"] = str(self.rootfs)
        config["linux"]["cgroupsPath"] = f"{self.cgroup}/{name}"
        if seccomp:
            config["linux"]["seccomp"] = seccomp
        file.write_text(json.dumps(config))
        return path

    def compile(self, source: str) -> Path:
        """A static program from a C file beside this module."""
        program = self.path / Path(source).stem
        command = ["cc", "-O2", "-static", "-Wall", "-Wextra", "-o", str(program), str(HERE / source)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"bench: cannot compile {source}:\n{done.stderr}")
        return program


def reap() -> bool:
    """Collect the orphans that have ended; False once we have no child at all."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def wait_gone(pid: int, seconds: float = 10) -> None:
    """Return when a container's init has ended (it is our child: see ``view.adopt_orphans``)."""
    deadline = time.monotonic() + seconds
    while reap() and Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} has not ended in {seconds} s")
        time.sleep(0.0005)


def children_of(parent: int) -> list[int]:
    """By asking every process for its parent; /proc/PID/task/TID/children is a kernel option that hosts lack."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        # The name, in parentheses, may hold anything; state and parent follow the last one: proc_pid_stat(5).
        if int(stat.rpartition(")")[2].split()[1]) == parent:
            found.append(int(entry.name))
    return found


def end_descendants(seconds: float = 10) -> None:
    """Kill our children until there are none: an orphaned grandchild becomes a child, and its turn comes."""
    deadline = time.monotonic() + seconds
    while reap() and time.monotonic() < deadline:
        for pid in children_of(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def end_cgroup(top: Path) -> None:
    """cgroup.kill(7) reaches every process below our own cgroup, and no other."""
    if (top / "cgroup.kill").exists():
        (top / "cgroup.kill").write_text("1")


def remove_cgroup(top: Path, seconds: float = 5) -> None:
    """rmdir bottom-up; a cgroup stays busy for the moment that its last process takes to be buried."""
    deadline = time.monotonic() + seconds
    while top.exists():
        for folder in [Path(name) for name, _, _ in os.walk(top, topdown=False)]:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.005)


def unmount_below(top: Path) -> None:
    """What a runtime left mounted in our private view would make rmtree walk into it."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    for _, point, _ in reversed(view.mounts(mountinfo)):
        if point == str(top) or point.startswith(f"{top}/"):
            view.checked(view.libc.umount2(point.encode(), MNT_DETACH), "umount2", point)
