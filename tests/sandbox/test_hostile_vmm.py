"""Who has taken over a sandbox's VMM: code of his own in its place, behind the filter that it has loaded.

He stands in the container, as the container's user; what is tested here is what the filter takes from him beside that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox import confine
from minirun.vm.sandbox.calls import everything
from minirun.vm.sandbox.numbers import NAMES, NUMBER
from tests.conftest import ROOT, Bundle
from tests.vm.both import Isolated

ALLOW, EPERM = 0x7FFF0000, 0x00050001
# Ways out, or into others: none may be possible with any argument.
NEVER = """
 execve execveat ptrace unshare setns mount umount2 pivot_root open openat creat open_by_handle_at name_to_handle_at
 fsopen fsmount fsconfig fspick open_tree move_mount mount_setattr bpf perf_event_open userfaultfd keyctl add_key
 request_key io_uring_setup io_uring_enter io_uring_register kcmp pidfd_getfd process_madvise init_module
 finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff iopl ioperm modify_ldt personality
 pkey_mprotect remap_file_pages memfd_secret acct quotactl syslog settimeofday clock_settime
 lookup_dcookie move_pages migrate_pages mbind seccomp landlock_restrict_self fanotify_init shmget msgget semget
 process_mrelease
""".split()  # noqa: SIM905
PROGRAM = """
import ctypes, json, mmap, posix, sys, _socket
from minirun.linux import confine as linux
from minirun.vm.sandbox import confine
from minirun.vm.sandbox.calls import everything
everything()
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
program = confine.compiled("")
room = mmap.mmap(-1, 4096)
at = ctypes.addressof(ctypes.c_char.from_buffer(room))
linux.keep_capabilities((1 << 64) - 1)
linux.load_filter(program)

def call(number, *arguments):
    done = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(value) for value in arguments])
    return ctypes.get_errno() if done == -1 else 0

def python(function, *arguments):
    try:
        function(*arguments)
        return 0
    except OSError as error:
        return error.errno

print(json.dumps({
    "exec": python(posix.execve, "/bin/true", ["true"], {}),
    "open": python(posix.open, "/etc/passwd", 0),
    "code": [call(9, 0, 4096, 7, 0x22, -1, 0), call(10, at, 4096, 5), call(10, at, 4096, 3)],
    "namespaces": [call(56, flag | 17, 0, 0, 0, 0) for flag in (1 << 17, 1 << 25, 1 << 28, 1 << 29, 1 << 30, 1 << 26)],
    "clone3": call(435, at, 88),
    "sockets": [python(_socket.socket, family, _socket.SOCK_RAW) for family in (17, 38, 40, 4)],
    "owner": [call(72, 0, command, 1) for command in (8, 10, 15, 1024)],
    "prctl": [call(157, option, 1, 0, 0, 0) for option in (22, 35, 0x53564D41, 62)],
    "ioctls": [call(16, 0, request, at) for request in (0x5412, 0x541C, 0x4B3A, 0x4010AE67)],
    "advice": [call(28, at, 4096, advice) for advice in (12, 100, 14, 4)],
    "reads": call(310, posix.getpid(), at, 0, at, 0, 0),
}), flush=True)
"""


def verdict(program: bytes, number: int, *arguments: int) -> int:
    guest = ffi.new("struct guest *")
    guest.number = number
    for index, value in enumerate(arguments):
        guest.arguments[index] = value & (1 << 64) - 1
    done: int = lib.sandbox_filter(ffi.from_buffer(program), len(program) // 8, guest)
    return done


@pytest.fixture(scope="module")
def program() -> bytes:
    everything()
    return confine.compiled("")


def test_ways_out_are_closed_whatever_the_arguments(program: bytes) -> None:
    values = (0, 1, -1, 3, 17, 1 << 32, 1 << 63)
    for name in NEVER:
        found = {verdict(program, NUMBER[name], *[value] * 6) for value in values}
        assert found == {EPERM}, name


def test_how_many_calls_there_are(program: bytes) -> None:
    """The number that `compare` and the docs show; whoever adds a call finds this line."""
    names = {
        word
        for line in confine.lines()
        if line.startswith("allow")
        for word in line.partition(" where ")[0].split()[1:]
    }
    assert len(names) <= 200
    assert not names & set(NEVER)
    for number, name in NAMES.items():
        if name not in names and name != "clone3":
            assert verdict(program, number) == EPERM, name


@pytest.mark.needs("root")
def test_what_he_can_try() -> None:
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {
        "exec": 1, "open": 1, "code": [1, 1, 0], "namespaces": [1] * 6, "clone3": 38, "sockets": [1] * 4,
        "owner": [1] * 4, "prctl": [1] * 4, "ioctls": [1] * 4, "advice": [1, 1, 1, 0], "reads": 0,
    }  # fmt: skip


@pytest.mark.needs("root", "busybox", "kvm")
def test_what_he_has_in_his_hands(tmp_path: Path, bundle: Bundle) -> None:
    """Of descriptors: the VM's, the program's, and the container's own /proc; no directory of the host's, no file."""
    runtime = Isolated(tmp_path / "state", "sandbox")
    name = runtime.create(bundle.args("/bin/sleep", "60"))
    try:
        assert runtime("start", name).returncode == 0
        pid = json.loads(runtime("state", name).stdout)["pid"]
        held = {path.name: path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()}
        ours = {str(where) for number, where in held.items() if int(number) > 2}
        assert ours <= {"/dev/kvm", "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0", "/proc"}, held
        exe = f"/proc/{pid}/exe"  # his way to the host's Python, whose mode root in the container could change
        assert os.statvfs(exe).f_flag & os.ST_RDONLY
        with pytest.raises(OSError, match="Read-only"):
            os.chmod(exe, os.stat(exe).st_mode)
        assert os.path.samefile(exe, "/usr/bin/python3")
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
        base = next(at for at in (int(line.split("-")[0], 16) for line in maps) if at >= 1 << 40)
        inside = [line for line in maps if base <= int(line.split("-")[0], 16) < base + (32 << 30)]
        assert not [line for line in inside if "x" in line.split()[1]], (
            "what the program may execute is for its VM alone"
        )
    finally:
        runtime("delete", "--force", name)
