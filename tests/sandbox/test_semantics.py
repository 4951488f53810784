"""What a kernel promises (semantics*.c): asked in a container and in a sandbox, with the same answers.

Where a sandbox answers otherwise, ``OTHERWISE`` has the line, what it says there, and docs/sandbox.md why.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.needs import require
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox", "compiler", "kvm")
HERE = Path(__file__).parent
OTHERWISE = {
    "syscall(SYS_setns, 0, 0)": "EPERM",
    "syscall(SYS_rseq, 0, 0, 0, 0)": "ENOSYS",
    "syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0)": "ENOSYS",
    'name_to_handle_at(AT_FDCWD, "/tmp/to", &handle, &mount, 0)': "EOPNOTSUPP",
    'open("/proc/self/mem", O_RDWR) >= 0 ? 1 : 0': "0",
    'open("/proc/self/smaps_rollup", O_RDONLY) >= 0': "0",
    'open("/proc/self/ns/pid", O_RDONLY) >= 0': "0",
}


@pytest.fixture(scope="session")
def semantics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("compiler")
    target = tmp_path_factory.mktemp("semantics") / "semantics"
    sources = sorted(HERE.glob("semantics*.c"))
    subprocess.run(["cc", "-O1", "-w", "-static", "-pthread", "-o", target, *sources], check=True)
    return target


def answers(runtime: Isolated, bundle: Bundle) -> dict[str, list[str]]:
    """By check."""
    done = runtime.run(bundle.args("/semantics"))
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    name = ""
    for line in done.stdout.splitlines():
        if line.startswith("  "):
            found[name].append(line.strip())
        else:
            name = line
            found[name] = []
    return found


def test_a_kernel_s_promises(tmp_path: Path, bundle: Bundle, semantics: Path) -> None:
    (bundle.rootfs / "semantics").write_bytes(semantics.read_bytes())
    (bundle.rootfs / "semantics").chmod(0o755)
    bundle.config["root"]["readonly"] = False
    seen = []
    for kind in ("container", "sandbox"):
        seen.append(answers(Isolated(tmp_path / kind, kind), bundle))
        shutil.rmtree(bundle.rootfs / "tmp" / "f")
    assert list(seen[0]) == list(seen[1])
    wrong = []
    for check, rows in seen[0].items():
        for one, other in zip(rows, seen[1][check], strict=False):
            if one != other and OTHERWISE.get(one.rpartition(": ")[0]) != other.rpartition(": ")[2]:
                wrong.append(f"{check}: {one}, but {other}")
        if len(rows) != len(seen[1][check]):
            wrong.append(f"{check}: {len(rows)} lines, but {seen[1][check]}")
    assert not wrong, "\n".join(wrong)
