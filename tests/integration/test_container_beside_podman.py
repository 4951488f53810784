"""The same flags, the same image: what podman makes of them for its runtime, and what we do, is the same to a program.

(podman's runtime is minirun here, too: crun cannot run where limits may not be raised, and is not the point.)
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.from_image import NAME, Containers
from tests.integration.podman_here import CONFIG, Podman
from tests.integration.stage import stage

pytestmark = pytest.mark.needs("root", "busybox", "podman")

STATUS = "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/self/status; umask; echo $HOME; "
SAME: list[tuple[list[str], str]] = [
    (["-v", "filled:/data"],
     STATUS.replace("Groups|", "") + "ls /data; cat /data/deep/file; stat -c '%a %u %g' /data/of-image"),
    (["-u", "guest", "--cap-add", "NET_RAW", "-w", "/tmp", "-e", "PLACE=x", "-e", "EMPTY="],
     STATUS + "pwd; echo $PLACE ${EMPTY-unset} $LEFT"),
    (["-u", "1000:44", "--group-add", "77", "--cap-drop", "all", "--cap-add", "chown",
      "--security-opt", "no-new-privileges"], STATUS),
    (["-h", "box", "--add-host", "db:10.1.2.3", "--shm-size", "2m", "--sysctl", "kernel.msgmax=4242"],
     "hostname; grep . /etc/hostname; cat /proc/sys/kernel/msgmax; "
     "grep db /etc/hosts; df -k /dev/shm | grep -c ' 2048 '"),
    (["--entrypoint", "/bin/sh"], "echo $0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Containers, Podman]]:
    ours = Containers(Path(tempfile.mkdtemp(prefix="minirun-test-")))
    os.chmod(ours.place, 0o711)
    ours.load()
    with stage() as opened:
        config = opened.place / "containers.conf"
        config.write_text(CONFIG)
        opened.env |= {"CONTAINERS_CONF": str(config)}
        theirs = Podman(opened)
        ours.ok("image", "save", "-o", str(opened.place / "image.tar"), NAME)
        theirs.ok("load", "--quiet", "--input", opened.place / "image.tar")
        yield ours, theirs
    ours.ok("volume", "prune", "-a", "-f")
    assert ours.left() == []
    ours.remove()


@pytest.mark.parametrize(("flags", "script"), SAME, ids=[" ".join(flags) for flags, _ in SAME])
def test_the_same_is_seen(both, flags, script):
    ours, theirs = both
    args = ("-c", script) if "--entrypoint" in flags else ("sh", "-c", script)
    done = theirs.run("--network", "none", *flags, image=f"localhost/{NAME}", args=args)
    assert done.returncode == 0, done.stderr
    assert ours.said(*flags, args=args) == done.stdout.removesuffix("\n")
