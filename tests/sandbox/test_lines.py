"""150 command lines of a shell's, in a container and in a sandbox: output, errors and exit code are the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.needs import BUSYBOX
from tests.sandbox import lines
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox", "compiler", "kvm")


def answers(runtime: Isolated, bundle: Bundle) -> dict[int, str]:
    done = runtime.run(bundle.args("/bin/sh", "/lines.sh"))
    assert done.returncode == 0, done.stderr[-2000:]
    parts = re.split(r"^=== (\d+)$", done.stdout, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_command_lines_say_the_same(tmp_path: Path, bundle: Bundle) -> None:
    assert len(lines.lines()) == lines.COUNT
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        link = bundle.rootfs / "bin" / applet
        if not link.is_symlink() and applet != "busybox":
            link.symlink_to("busybox")
    (bundle.rootfs / "lines.sh").write_text(lines.script())
    bundle.config["root"]["readonly"] = False
    bundle.config["process"]["env"] = ["PATH=/bin", "HOME=/root", "TZ=UTC"]
    seen = []
    for isolation in ("container", "sandbox"):
        runtime = Isolated(tmp_path / isolation, isolation)
        seen.append(answers(runtime, bundle))
        for left in (bundle.rootfs / "tmp").iterdir():
            subprocess.run(["rm", "-rf", left], check=True)
    one, other = seen
    assert sorted(one) == list(range(lines.COUNT))
    rows = lines.lines()
    differ = [number for number in one if one[number] != other.get(number)]
    wrong = [f"{rows[number]}\n{one[number]}\nbut\n{other.get(number)}" for number in differ]
    assert not wrong, "\n\n".join(wrong)
