"""150 command lines of a shell's, in a container and in a sandbox: output, errors and exit code are the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.needs import BUSYBOX
from tests.sandbox import lines
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox", "compiler", "kvm")


def test_command_lines_say_the_same(tmp_path: Path, bundle: Bundle) -> None:
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        link = bundle.rootfs / "bin" / applet
        if not link.is_symlink() and applet != "busybox":
            link.symlink_to("busybox")
    lines.write(bundle.rootfs / "lines")
    bundle.config["root"]["readonly"] = False
    bundle.config["process"]["env"] = ["PATH=/bin", "HOME=/root", "TZ=UTC"]
    seen = []
    for isolation in ("container", "sandbox"):
        done = Isolated(tmp_path / isolation, isolation).run(bundle.args("/bin/sh", "/lines/all"))
        assert (done.returncode, done.stderr) == (0, "")
        seen.append(lines.answers(bundle.rootfs / "tmp"))
        shutil.rmtree(bundle.rootfs / "tmp")
        (bundle.rootfs / "tmp").mkdir()
        (bundle.rootfs / "tmp").chmod(0o1777)
    rows = lines.lines()
    assert len(rows) == lines.COUNT
    wrong = [f"{row}\n{one}\nbut\n{other}" for row, one, other in zip(rows, *seen, strict=True) if one != other]
    assert not wrong, "\n\n".join(wrong)
