"""Attacks by an image's files: those that hang, explode, or pretend to be something else."""

from __future__ import annotations

import os

import pytest

from tests.conftest import MINIRUN, Bundle, Runtime
from tests.integration.test_attacks_rootfs import put_link

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.mark.parametrize(
    "kind", ["fifo", "loop", "zero", "huge", "directory", "self", "terminal", "kmsg", "binary", "missing"]
)
def test_a_hostile_passwd_costs_no_time(minirun: Runtime, bundle: Bundle, clean_host: None, kind: str) -> None:
    """HOME is looked up in it, as the container's user, when the environment has none."""
    passwd = bundle.rootfs / "etc" / "passwd"
    passwd.unlink()
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind in ("loop", "self", "terminal"):
        passwd.symlink_to({"loop": "passwd", "self": "/proc/self/mem", "terminal": "/dev/ptmx"}[kind])
    elif kind in ("zero", "kmsg"):
        os.mknod(passwd, 0o020666, os.makedev(1, 5 if kind == "zero" else 11))
    elif kind == "huge":
        with open(passwd, "wb") as file:
            file.truncate(1 << 40)
    elif kind == "directory":
        passwd.mkdir()
    elif kind == "binary":
        passwd.write_bytes(b"root:x:9:0::" + b"\xff:\0\n:" * 50_000)
    done = minirun.run(bundle.args("/probe", "printenv", "HOME"), timeout=10)
    assert (done.returncode, done.stdout) == (0, "/\n"), done


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "empty", "link loop", "elf header", "endless script"])
def test_a_hostile_program_is_an_error_in_time(minirun: Runtime, bundle: Bundle, clean_host: None, kind: str) -> None:
    program = bundle.rootfs / "program"
    if kind == "fifo":
        os.mkfifo(program)
    elif kind in ("socket", "device"):
        os.mknod(program, 0o140755 if kind == "socket" else 0o020755, os.makedev(1, 5))
    elif kind == "link loop":
        program.symlink_to("program")
    elif kind == "elf header":
        program.write_bytes(b"\x7fELF\x02\x01\x01" + b"\xff" * 200)
    else:
        program.write_bytes(b"" if kind == "empty" else b"#!" + b"/x" * 100_000)
    if kind != "link loop":
        program.chmod(0o755)
    done = minirun.run(bundle.args("/program"), timeout=10)
    assert done.returncode in (125, 126, 127), done
    assert done.stderr.startswith("minirun: cannot ") and "config   /process/args" in done.stderr, done.stderr
    assert all(line.isprintable() for line in done.stderr.splitlines())


def test_what_the_image_has_in_dev_is_covered(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    for name in ("null", "zero", "pts", "shm", "fd", "console", "ptmx"):
        (bundle.rootfs / "dev" / name).symlink_to("/etc/passwd")
    os.mknod(bundle.rootfs / "dev" / "sda", 0o060666, os.makedev(8, 0))
    out = minirun.output(bundle, "/probe", "devnull-check", "--", "ls", "/dev")
    assert out.startswith("ok\n") and "sda" not in out


def test_the_wait_for_start_does_not_see_what_is_changed_meanwhile(
    minirun: Runtime, bundle: Bundle, clean_host: None
) -> None:
    """The program was found at create; by start it is another file: never one of the host's."""
    (bundle.rootfs / "program").write_bytes((bundle.rootfs / "probe").read_bytes())
    (bundle.rootfs / "program").chmod(0o755)
    name = minirun.create(bundle.args("/program", "pause"))
    put_link(bundle.rootfs / "program", str(MINIRUN))
    done = minirun("start", name)
    assert done.returncode == 127 and "config   /process/args" in done.stderr, done
    assert minirun.state(name)["status"] == "stopped"
    assert minirun("delete", name).returncode == 0
