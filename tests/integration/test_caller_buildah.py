"""buildah, from the distribution: ``buildah run`` and ``buildah bud`` with ``--runtime minirun``.

Its RUN steps are ``create``, ``start``, ``state``, ``kill``, ``delete`` by itself, without conmon and without a shim.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN
from tests.integration.busybox_image import NAME, write_image
from tests.integration.stage import Stage, stage
from tests.integration.terminals import Inside

pytestmark = pytest.mark.needs("root", "busybox", "buildah")
ISOLATION = ("--runtime", str(MINIRUN), "--isolation", "oci")


class Buildah:
    """``buildah("from", ...)`` is the command; ``run`` runs in the working container."""

    def __init__(self, opened: Stage) -> None:
        self.stage = opened
        self.place = opened.place
        self.buildah = ("buildah", "--root", str(self.place / "root"), "--runroot", "/run/buildah")
        self.container = ""

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return self.stage(*self.buildah, *words)

    def ok(self, *words: str | Path) -> str:
        return self.stage.ok(*self.buildah, *words).removesuffix("\n")

    def run(self, *flags: str, args: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return self("run", *ISOLATION, *flags, self.container, "--", *args)


@pytest.fixture(scope="module")
def installed() -> Iterator[Buildah]:
    with stage() as opened:
        place = opened.place
        # limits of the machine that made the container are not raised again: see test_caller_podman
        (place / "containers.conf").write_text("[containers]\ndefault_ulimits = []\npids_limit = 0\n")
        opened.env |= {"CONTAINERS_CONF": str(place / "containers.conf"), "BUILDAH_HISTORY": "true"}
        buildah = Buildah(opened)
        buildah.ok("pull", f"docker-archive:{write_image(place / 'image.tar')}")
        buildah.container = buildah.ok("from", NAME)
        opened.settle()
        yield buildah


@pytest.fixture
def buildah(installed: Buildah) -> Iterator[Buildah]:
    yield installed
    assert installed.stage.left() == {}


def test_run(buildah: Buildah) -> None:
    """Output, exit code, user, directory, mounts, capabilities; what is written stays in the working container."""
    (buildah.place / "given").write_text("from outside\n")
    flags = ("--user", "guest", "--workingdir", "/tmp", "--volume", f"{buildah.place}/given:/given:ro")
    done = buildah.run(*flags, args=("sh", "-c", "id -u; pwd; cat /given; exit 4"))
    assert done.stdout == "1000\n/tmp\nfrom outside\n" and done.returncode == 4
    assert buildah.run(args=("sh", "-c", "echo kept > /kept")).returncode == 0
    assert buildah.run("--cap-drop", "CAP_KILL", args=("cat", "/kept")).stdout == "kept\n"
    assert buildah.run("--network", "none", args=("ls", "/sys/class/net")).stdout == "lo\n"


def test_terminal(buildah: Buildah) -> None:
    words = ("run", *ISOLATION, "--terminal", buildah.container, "--", "sh")
    inside = Inside(buildah.stage.enter(*buildah.buildah, *words), rows=33, columns=77, env=buildah.stage.env)
    inside.terminal.expect("# ")
    inside.terminal.type("tty; exit 4\n")
    inside.terminal.expect("/dev/pts/0")
    assert inside.wait() == 4
    inside.close()


def test_build(buildah: Buildah) -> None:
    """RUN lines, the second in what the first has left; the image has the file."""
    (buildah.place / "Dockerfile").write_text(
        f'FROM {NAME}\nRUN echo built > /file && id -u\nUSER guest\nRUN ["id"]\nCMD ["cat", "/file"]\n'
    )
    said = buildah.ok("bud", *ISOLATION, "--tag", "built", "--file", buildah.place / "Dockerfile", buildah.place)
    assert "uid=1000(guest)" in said
    made = buildah.ok("from", "built")
    assert buildah("run", *ISOLATION, made, "cat", "/file").stdout == "built\n"
    buildah.ok("rm", made)
    (buildah.place / "Dockerfile").write_text(f"FROM {NAME}\nRUN exit 9\n")
    failed = buildah("bud", *ISOLATION, "--file", buildah.place / "Dockerfile", buildah.place)
    assert failed.returncode != 0 and "exit status 9" in failed.stderr


def test_refusals(buildah: Buildah) -> None:
    """minirun's whole face is shown."""
    done = buildah.run(args=("nosuch",))
    assert done.returncode != 0 and "minirun: cannot find nosuch: No such file or directory" in done.stderr
    assert "hint     no directory of PATH" in done.stderr
