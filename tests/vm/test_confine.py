"""The VMM's cell, from outside and from inside: a process that goes into it, as the VMM does, and is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What it does once it is in: tries, and says what came of it; then it stays to be looked at.
PROGRAM = """
import ctypes, fcntl, json, mmap, posix, sys, time, _thread, _socket
from minirun.plan.process import CAPABILITIES
from minirun.vm import confine, parts
from minirun.vm.devices.fs import own_descriptors

libc = ctypes.CDLL(None, use_errno=True)
kept = parts.opened(sys.argv[1])
program = confine.prepare([0xAE80], "")
confine.begin(root=True)
sysctls = posix.access("/proc/sys", posix.F_OK)
processes = own_descriptors()
confine.enter(root=True)
confine.close(program)

def attempt(function, *arguments):
    try:
        function(*arguments)
        return 0
    except OSError as error:
        return error.errno

def signal(pid):
    if libc.syscall(234, pid, pid, 0) < 0:  # tgkill(2)
        raise OSError(ctypes.get_errno(), "")

threads = []
_thread.start_new_thread(lambda: threads.append(1), ())
time.sleep(0.2)
print(json.dumps({
    "threads": len(threads),
    "root": posix.listdir("/"),
    "sysctls": sysctls,
    "share": sorted(posix.listdir(posix.open(".", posix.O_RDONLY, dir_fd=kept))),
    "write": attempt(posix.open, "/x", posix.O_CREAT | posix.O_WRONLY),
    "up": [attempt(lambda: posix.stat("../../../../../../etc", dir_fd=fd)) for fd in (kept, processes)],
    "others": attempt(lambda: posix.stat("../../self", dir_fd=processes)),
    "own": posix.readlink(str(kept), dir_fd=processes) != "",
    "exec": attempt(posix.execve, "/bin/true", ["true"], {}),
    "fork": attempt(posix.fork),
    "code": attempt(lambda: mmap.mmap(-1, 4096, prot=7)),
    "memory": attempt(lambda: mmap.mmap(-1, 4096)),
    "internet": attempt(_socket.socket, _socket.AF_INET),
    "unix": attempt(_socket.socket, _socket.AF_UNIX),
    "kill": attempt(posix.kill, 1, 0),
    "signal": [attempt(signal, pid) for pid in (posix.getpid(), 1, posix.getppid())],
    "owner": [attempt(fcntl.fcntl, 0, command, value) for command, value in ((8, 1), (10, 9), (15, bytes(8)), (3, 0))],
    "chroot": attempt(posix.chroot, "/"),
}), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[str, object]]]:
    share = tmp_path_factory.mktemp("share")
    (share / "file").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, share], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdin
    line = process.stdout.readline()
    assert line, "it said nothing"
    yield process.pid, json.loads(line)
    process.stdin.close()
    assert process.wait(10) == 0


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


pytestmark = pytest.mark.needs("root")


def test_what_it_finds_inside(cell: tuple[int, dict[str, object]]) -> None:
    found = cell[1]
    assert found["root"] == [] and found["share"] == ["file"] and found["threads"] == 1
    assert not found["sysctls"], "its /proc shows processes only"
    # EPERM by the filter, EROFS by the root
    assert {found[name] for name in ("exec", "fork", "code", "internet", "kill", "chroot")} == {1}
    assert found["signal"] == [0, 1, 1], "to its own threads only: to the kernel, root is root"
    assert found["owner"] == [1, 1, 1, 0], "fcntl(2) sends signals to any process"
    assert found["write"] == 30
    assert found["memory"] == found["unix"] == 0


def test_no_descriptor_leads_up(cell: tuple[int, dict[str, object]]) -> None:
    """A share is a mount of its own, whose root has no parent; a directory of the host's would lead to all of it."""
    assert cell[1]["up"] == [2, 2]
    assert cell[1]["others"] == 2 and cell[1]["own"], "of /proc, its own descriptors"


def test_rights(cell: tuple[int, dict[str, object]]) -> None:
    found = status(cell[0])
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == int(found["CapBnd"], 16) != 0
    names = subprocess.run(["capsh", f"--decode={found['CapEff']}"], capture_output=True, text=True, check=False).stdout
    for word in ("sys_admin", "sys_ptrace", "net_admin", "sys_module", "sys_rawio"):
        assert f"cap_{word}" not in names
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_namespaces_and_root(cell: tuple[int, dict[str, object]]) -> None:
    pid = cell[0]
    for name in ("mnt", "net", "ipc", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name
    mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert len(mounts) == 1 and " - tmpfs " in mounts[0] and " ro," in mounts[0]


def test_limits(cell: tuple[int, dict[str, object]]) -> None:
    limits = Path(f"/proc/{cell[0]}/limits").read_text().splitlines()
    assert any(line.split()[:5] == ["Max", "core", "file", "size", "0"] for line in limits)


TAP = """
import json, posix
from fcntl import ioctl
from minirun.vm import confine, parts
from minirun.vm.devices import net

program = confine.prepare(parts.IOCTLS, "")
fd = net.open_tap("tapcell")
posix.system("ip link set tapcell up")
before = posix.readlink("/proc/self/ns/net")
confine.begin(root=True)
moved = posix.readlink("/proc/self/ns/net") != before
confine.enter(root=True)
confine.close(program)
ioctl(fd, net.TUNSETOFFLOAD, 1)
sent = posix.write(fd, bytes(12) + b"\\xff" * 12 + b"\\x08\\x06" + bytes(46))
print(json.dumps([moved, sent]))
"""


def test_a_tap_works_from_there() -> None:
    """It stays where it was made; who holds it need not: in the host's network are abstract unix sockets, too."""
    words = ["unshare", "--net", sys.executable, "-c", TAP]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if "cannot open the tap" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, 72]
