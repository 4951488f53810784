"""podman, on a stage: its configuration, its command line, and what its containers print."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import MINIRUN
from tests.integration.busybox_image import NAME
from tests.integration.stage import Stage

# pids_limit and default_ulimits: without a pids controller, and as a root that may not raise limits.
CONFIG = f"""[containers]
default_ulimits = []
pids_limit = 0
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
runtime = "minirun"
runtime_supports_json = ["minirun"]
runtime_supports_nocgroup = ["minirun"]
[engine.runtimes]
minirun = ["{MINIRUN}"]
"""
OWN_IDS = "echo containers:100000:65536 | tee /etc/subuid > /etc/subgid"  # for --userns auto
# podman's own cgroups, made once and kept: it does the same with any runtime.
KEPT = ("/libpod_parent", "/podman_probe", "/libpod_parent/conmon")


def logged(log: Path, stream: str) -> str:
    """Lines of "TIME STREAM F|P TEXT": full, or a part that the next one goes on with."""
    rows = [line.split(" ", 3) for line in log.read_text().split("\n") if line]
    return "".join(text + ("\n" if kind == "F" else "") for _, name, kind, text in rows if name == stream)


class Podman:
    """``podman("run", ...)``; ``run`` is --rm with our image."""

    def __init__(self, opened: Stage) -> None:
        self.stage = opened
        self.place = opened.place
        self.podman = ("podman", "--root", str(self.place / "root"), "--runroot", "/run/podman")

    def __call__(self, *words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
        return self.stage(*self.podman, *words, **more)

    def ok(self, *words: str | Path, **more: object) -> str:
        return self.stage.ok(*self.podman, *words, **more).removesuffix("\n")

    def run(self, *flags: str, args: tuple[str, ...], image: str = NAME) -> subprocess.CompletedProcess[str]:
        """Output from conmon's log: what a program writes at once may miss the client, who comes late (conmon 2.1)."""
        log = self.place / "log"
        log.unlink(missing_ok=True)
        done = self("run", "--rm", "--log-driver", "k8s-file", "--log-opt", f"path={log}", *flags, image, *args)
        if log.exists() and log.stat().st_size:
            done.stdout, done.stderr = logged(log, "stdout"), logged(log, "stderr")
        return done

    def said(self, *flags: str, args: tuple[str, ...], image: str = NAME) -> str:
        done = self.run(*flags, args=args, image=image)
        assert done.returncode == 0, f"{flags} {args}: exit {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout.removesuffix("\n")

    def start(self, name: str, *flags: str, args: tuple[str, ...] = ("sleep", "100")) -> str:
        self.ok("run", "--detach", "--name", name, *flags, NAME, *args)
        return name

    def inspect(self, name: str, form: str) -> str:
        return self.ok("inspect", "--format", form, name)
