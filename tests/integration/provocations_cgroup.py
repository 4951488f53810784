"""The rows about cgroups that somebody else has put into a state where no container can live."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.cgroups import tree
from tests.conftest import Bundle, Runtime
from tests.integration.provocations import CANNOT, Done, provokes
from tests.integration.provocations_more import hugetlb

CANNOT["cgroup-partition"] = "needs the cpuset controller: tests/lab/test_cpu.py does it"
CANNOT["spawn-threaded"] = "create looks before; exec can meet it: test_exec_among_threads in test_cgroup.py"
CANNOT["spawn-processes"] = "needs the pids controller: tests/lab/test_more_limits.py does it, by exec"
PAGES = [{"pageSize": "2MB", "limit": 0}]


@contextmanager
def directory(name: str) -> Iterator[Path]:
    made = hugetlb(enabled=True) / name
    made.mkdir()
    try:
        yield made
    finally:
        for inner in reversed(tree.subtree(str(made))):
            tree.rmdir(inner, 5)


@contextmanager
def stranger(cgroup: Path) -> Iterator[None]:
    """A process of nobody's in ``cgroup``."""
    process = subprocess.Popen(["sleep", "100"])
    try:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        process.kill()
        process.wait()
        tree.wait_event(str(cgroup), "populated 0", 5)


@provokes("cgroup-internal", "/linux/cgroupsPath")
def a_parent_with_processes(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["cgroupsPath"] = "/minirun-test-internal/deep/er"
    bundle.config["linux"]["resources"]["hugepageLimits"] = PAGES
    with directory("minirun-test-internal") as busy, stranger(busy):
        done = minirun.run(bundle)
        assert not (busy / "deep").exists(), "what was made on the way is gone"
        return done


@provokes("cgroup-threaded", "/linux/cgroupsPath")
def a_parent_of_threads(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["cgroupsPath"] = "/minirun-test-threads/inner"
    with directory("minirun-test-threads") as top:
        (top / "sibling").mkdir()
        (top / "sibling" / "cgroup.type").write_text("threaded")  # from now on a new child is "domain invalid"
        done = minirun.run(bundle)
        assert not (top / "inner").exists()
        return done
