"""What a machine cannot be made of: one error, with its place in config.json and a way out, and nothing is left.

On any /dev/kvm: none of these comes as far as an instruction of the guest's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.unit.kernels import vmlinux
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox", "kvm")
PREFIX = "/annotations/dev.minirun.vm."
NOT_THERE = "No such file or directory"


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Isolated]:
    request.getfixturevalue("clean_host")
    runtime = Isolated(tmp_path / "state", "vm")
    yield runtime
    left = os.listdir(runtime.root) if runtime.root.exists() else []
    assert not [name for name in left if not name.startswith(".")]


def refused(machine: Isolated, bundle: Bundle, **annotations: str) -> list[str]:
    """Its error's lines."""
    (bundle.path / "kernel").write_bytes(vmlinux())
    given = {"emulated": "allow", "kernel": "kernel", **annotations}
    bundle.config["annotations"] = {f"dev.minirun.vm.{name}": value for name, value in given.items()}
    done = machine.run(bundle.args("/bin/true"))
    assert done.returncode == 125 and done.stdout == ""
    return done.stderr.splitlines()


WRONG = [
    ("kernel", "nope", f"cannot find a kernel at {{}}/nope: {NOT_THERE}", "make guest-kernel"),
    ("kernel", "/etc/passwd", "cannot boot the kernel /etc/passwd: it is neither a bzImage nor an ELF file", "bzImage"),
    ("kernel", "/bin/true", "cannot boot the kernel /bin/true: an ELF file, but not an x86-64 executable", "bzImage"),
    ("initrd", "nope", f"cannot open {{}}/nope: {NOT_THERE}", ""),
    ("disk", "nope.img", f"cannot use the disk {{}}/nope.img: {NOT_THERE}", "truncate"),
    ("disk", "/etc", "cannot use the disk /etc: Is a directory", "truncate"),
    ("net", "no-such-tap", "cannot find the tap device no-such-tap: no interface with this name", "ip tuntap add"),
    ("net", "lo", "cannot open the tap device lo: Invalid argument", "ip tuntap add"),
    ("vsock", "nope/v", f"cannot share {{}}/nope with the machine: {NOT_THERE}", ""),
    ("console", "nope/c", f"cannot open {{}}/nope/c: {NOT_THERE}", ""),
]


@pytest.mark.parametrize(("name", "value", "message", "hint"), WRONG, ids=[f"{row[0]} {row[1]}" for row in WRONG])
def test_what_is_not_there(machine: Isolated, bundle: Bundle, name: str, value: str, message: str, hint: str) -> None:
    lines = refused(machine, bundle, **{name: value})
    assert lines[0] == "minirun: " + message.format(bundle.path)
    assert lines[1] == f"  config   {PREFIX}{name} in {bundle.path}/config.json"
    assert hint in " ".join(lines[2:])


def test_a_machine_too_small_for_its_kernel(machine: Isolated, bundle: Bundle) -> None:
    (bundle.path / "large").write_bytes(vmlinux(bss=32 << 20))
    lines = refused(machine, bundle, kernel="large", memory="32m")
    assert lines[0].endswith("large: this kernel needs memory up to 50 MiB, and the machine has 32 MiB")
    assert lines[1].startswith(f"  config   {PREFIX}memory in ") and "gives a machine more" in lines[2]


def test_the_section_of_config_json_is_named(machine: Isolated, bundle: Bundle) -> None:
    bundle.config["vm"] = {"kernel": {"path": "/etc/passwd"}}
    bundle.config["annotations"] = {"dev.minirun.vm.emulated": "allow"}
    done = machine.run(bundle.args("/bin/true"))
    assert f"  config   /vm/kernel/path in {bundle.path}/config.json" in done.stderr.splitlines()


def test_a_source_that_is_not_there(machine: Isolated, bundle: Bundle) -> None:
    bundle.config["mounts"].append({"destination": "/x", "source": "/nowhere", "options": ["bind"]})
    index = len(bundle.config["mounts"]) - 1
    lines = refused(machine, bundle)
    assert lines[0] == f"minirun: cannot share /nowhere with the machine: {NOT_THERE}"
    assert lines[1].startswith(f"  config   /mounts/{index}/source in ")


def test_what_an_option_said_is_the_options_fault(machine: Isolated, bundle: Bundle) -> None:
    """``vm run`` writes annotations: config.json has no such line."""
    bundle.args("/bin/true").write()
    done = machine("vm", "run", bundle.path, "--memory", "x")
    assert done.stderr == "minirun: cannot use --memory: must be a number of bytes, or one as 512m, not 'x'\n"
    done = machine("vm", "run", bundle.path / "nowhere")
    assert done.returncode == 125 and "cannot read the configuration" in done.stderr
    done = machine("vm", "stop", "--vcpus", "2", "x")
    assert done.returncode == 2 and done.stderr.startswith("minirun: minirun vm stop takes no --vcpus\n")


def test_words_that_are_for_machines(machine: Isolated, bundle: Bundle) -> None:
    machine.isolation = "container"
    name = machine.start(bundle.args("/bin/sleep", "1000"))
    for verb in ("console", "stop"):
        done = machine("vm", verb, name)
        assert done.returncode == 125 and f"container {name} is not in a machine" in done.stderr
    machine("delete", "--force", name)
