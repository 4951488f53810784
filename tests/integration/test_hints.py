"""Every row of minirun/hints.py, provoked for real: the error's whole face is looked at, not only the advice.

A provocation gets the bundle, spoils it, and says how to run it.  A row that no test provokes fails
``test_every_row_is_provoked``; what this kernel cannot be made to say has a row with a reason in ``CANNOT``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from minirun.hints import HINTS
from tests.conftest import BUSYBOX, MINIRUN, Bundle, Runtime, base_config, require

pytestmark = pytest.mark.needs("root", "busybox")

Done = subprocess.CompletedProcess[str]
Provocation = Callable[[Runtime, Bundle], Done]
PROVOKED: dict[str, tuple[str, int, Provocation]] = {}  # row -> the pointer in config.json, the exit code, how
CANNOT: dict[str, str] = {}  # row -> why no test can provoke it here


def provokes(row: str, pointer: str, code: int = 125) -> Callable[[Provocation], Provocation]:
    def enter(function: Provocation) -> Provocation:
        assert row not in PROVOKED
        PROVOKED[row] = (pointer, code, function)
        return function

    return enter


def file(bundle: Bundle, path: str, data: bytes, mode: int = 0o755) -> None:
    """A file of the rootfs; never written in place, for the rootfs is made of links to a common one."""
    target = bundle.rootfs / path
    target.unlink(missing_ok=True)
    target.write_bytes(data)
    target.chmod(mode)


def without_mounts(bundle: Bundle, *destinations: str) -> None:
    bundle.config["mounts"] = [entry for entry in bundle.config["mounts"] if entry["destination"] not in destinations]


def user_namespace(bundle: Bundle, host: int = 0, size: int = 65536) -> None:
    bundle.config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        bundle.config["linux"][kind] = [{"containerID": 0, "hostID": host, "size": size}]


def without_namespace(bundle: Bundle, kind: str) -> None:
    linux = bundle.config["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != kind]


def as_if(minirun: Runtime, bundle: Bundle, *prefix: str | Path) -> Done:
    """``run`` behind another command, as somebody with fewer rights."""
    argv = [*prefix, MINIRUN, "--root", minirun.root, "run", "-b", bundle.write(), minirun.name()]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})


def move_into_the_open(minirun: Runtime, bundle: Bundle) -> None:
    """pytest's directories are closed to other users; ``test_row`` removes this one."""
    folder = Path(tempfile.mkdtemp(prefix="minirun-test-"))
    folder.chmod(0o755)
    bundle.path = Path(shutil.move(bundle.path, folder / "bundle"))
    bundle.rootfs = bundle.path / "rootfs"
    minirun.root = folder / "state"
    minirun.root.mkdir(mode=0o700)
    os.chown(minirun.root, 65534, 65534)


# -- the program ------------------------------------------------------------------------------------------------------


@provokes("script-crlf", "/process/args", 127)
def crlf(minirun: Runtime, bundle: Bundle) -> Done:
    file(bundle, "script", b"#!/bin/sh\r\necho hello\r\n")
    return minirun.run(bundle.args("/script"))


@provokes("script-interpreter", "/process/args", 127)
def interpreter(minirun: Runtime, bundle: Bundle) -> Done:
    file(bundle, "script", b"#!/usr/bin/perl -w\n")
    return minirun.run(bundle.args("/script"))


@provokes("elf-loader", "/process/args", 127)
def loader(minirun: Runtime, bundle: Bundle) -> Done:
    file(bundle, "program", Path("/usr/bin/env").read_bytes())
    return minirun.run(bundle.args("/program"))


@provokes("exec-format", "/process/args", 126)
def neither_elf_nor_script(minirun: Runtime, bundle: Bundle) -> Done:
    file(bundle, "program", b"echo hello\n")
    return minirun.run(bundle.args("/program"))


@provokes("exec-architecture", "/process/args", 126)
def architecture(minirun: Runtime, bundle: Bundle) -> Done:
    data = bytearray(BUSYBOX.read_bytes())
    data[18:20] = b"\x08\x00"  # e_machine: MIPS
    file(bundle, "program", bytes(data))
    return minirun.run(bundle.args("/program"))


@provokes("find-noexec", "/process/args/0", 126)
def noexec(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"].append({"destination": "/mnt", "source": "rootfs/bin", "options": ["bind", "noexec"]})
    return minirun.run(bundle.args("/mnt/busybox"))


@provokes("find-not-in-path", "/process/args/0", 127)
def not_in_path(minirun: Runtime, bundle: Bundle) -> Done:
    return minirun.run(bundle.args("no-such-program"))


@provokes("find-missing", "/process/args/0", 127)
def missing_program(minirun: Runtime, bundle: Bundle) -> Done:
    return minirun.run(bundle.args("/usr/bin/env"))


@provokes("find-mode", "/process/args/0", 126)
def no_x_bit(minirun: Runtime, bundle: Bundle) -> Done:
    file(bundle, "script", b"#!/bin/sh\n", 0o644)
    return minirun.run(bundle.args("/script"))


@provokes("find-denied", "/process/args/0", 126)
def not_for_this_user(minirun: Runtime, bundle: Bundle) -> Done:
    file(bundle, "script", b"#!/bin/sh\n", 0o700)
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    return minirun.run(bundle.args("/script"))


@provokes("find-directory", "/process/args/0", 126)
def a_directory(minirun: Runtime, bundle: Bundle) -> Done:
    return minirun.run(bundle.args("/bin"))


# -- mounts -----------------------------------------------------------------------------------------------------------


@provokes("proc-userns", "/mounts/0")
def proc_of_others(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle)
    without_namespace(bundle, "pid")
    return minirun.run(bundle)


@provokes("sysfs-userns", "/mounts/5")
def sysfs_of_others(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle)
    without_namespace(bundle, "network")
    return minirun.run(bundle)


@provokes("filesystem-unknown", "/mounts/7")
def no_such_filesystem(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"].append({"destination": "/mnt", "type": "nosuchfs", "source": "none"})
    return minirun.run(bundle)


@provokes("mount-option", "/mounts/7")
def no_such_option(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"].append({"destination": "/mnt", "type": "tmpfs", "options": ["size=many"]})
    return minirun.run(bundle)


@provokes("mount-link", "/mounts/0")
def proc_is_a_link(minirun: Runtime, bundle: Bundle) -> Done:
    (bundle.rootfs / "proc").rmdir()
    (bundle.rootfs / "proc").symlink_to("/tmp")
    return minirun.run(bundle)


@provokes("bind-source", "/mounts/7")
def no_source(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"].append({"destination": "/mnt", "source": "nowhere", "options": ["bind"]})
    return minirun.run(bundle)


@provokes("bind-link", "/mounts/7")
def dangling_target(minirun: Runtime, bundle: Bundle) -> Done:
    (bundle.rootfs / "target").symlink_to("/nowhere")
    bundle.config["mounts"].append({"destination": "/target", "source": "config.json", "options": ["bind"]})
    return minirun.run(bundle)


@provokes("target-not-directory", "/mounts/7")
def directory_on_a_file(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"].append({"destination": "/etc/passwd", "source": "rootfs/bin", "options": ["bind"]})
    return minirun.run(bundle)


@provokes("root-readonly", "/mounts/8")
def target_cannot_be_made(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"] += [
        {"destination": "/mnt", "type": "tmpfs", "options": ["ro"]},
        {"destination": "/mnt/below", "type": "tmpfs"},
    ]
    return minirun.run(bundle)


@provokes("rootfs-missing", "/root/path")
def no_rootfs(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["root"]["path"] = "nowhere"
    return minirun.run(bundle)


@provokes("rootfs-not-directory", "/root/path")
def rootfs_is_a_file(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["root"]["path"] = "config.json"
    return minirun.run(bundle)


@provokes("rootfs-closed", "/root/path")
def rootfs_behind_a_closed_door(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle, host=100000)
    bundle.path.chmod(0o700)
    return minirun.run(bundle)


@provokes("device-exists", "/linux/devices")
def a_file_in_the_place_of_a_device(minirun: Runtime, bundle: Bundle) -> Done:
    without_mounts(bundle, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    file(bundle, "dev/null", b"", 0o666)
    return minirun.run(bundle)


@provokes("terminal-devpts", "/process/terminal")
def no_devpts(minirun: Runtime, bundle: Bundle) -> Done:
    without_mounts(bundle, "/dev/pts")
    bundle.config["process"]["terminal"] = True
    return minirun.run(bundle)


@provokes("terminal-not-pty", "/process/terminal")
def a_file_in_the_place_of_the_multiplexer(minirun: Runtime, bundle: Bundle) -> Done:
    without_mounts(bundle, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    (bundle.rootfs / "dev" / "pts").mkdir()
    file(bundle, "dev/pts/ptmx", b"", 0o666)
    bundle.config["process"]["terminal"] = True
    return minirun.run(bundle)


# -- namespaces, user, limits ------------------------------------------------------------------------------------------


def join(bundle: Bundle, path: str) -> None:
    for entry in bundle.config["linux"]["namespaces"]:
        if entry["type"] == "network":
            entry["path"] = path


@provokes("join-type", "/linux/namespaces/1/path")
def another_kind_of_namespace(minirun: Runtime, bundle: Bundle) -> Done:
    join(bundle, "/proc/self/ns/uts")
    return minirun.run(bundle)


@provokes("join-missing", "/linux/namespaces/1/path")
def namespace_of_a_dead_process(minirun: Runtime, bundle: Bundle) -> Done:
    ended = subprocess.Popen(["true"])
    ended.wait()
    join(bundle, f"/proc/{ended.pid}/ns/net")
    return minirun.run(bundle)


@provokes("rlimit-raise", "/process/rlimits/0")
def more_files_than_the_kernel_allows(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1 << 40}]
    return minirun.run(bundle)


@provokes("user-unmapped", "/process/user")
def unmapped_user(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle, size=1)
    without_mounts(bundle, "/dev/pts")  # gid=5 is not mapped either
    bundle.config["process"]["user"] = {"uid": 5, "gid": 0}
    return minirun.run(bundle)


@provokes("cwd-missing", "/process/cwd")
def exec_nowhere(minirun: Runtime, bundle: Bundle) -> Done:
    name = minirun.start(bundle.args("/probe", "pause"))
    return minirun("exec", "--cwd", "/nowhere", name, "/probe", "pid")


@provokes("cwd-not-directory", "/process/cwd")
def cwd_below_a_file(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["process"]["cwd"] = "/etc/passwd/below"
    return minirun.run(bundle)


@provokes("sysctl-unknown", "/linux/sysctl/net.ipv4.no_such_thing")
def no_such_sysctl(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["sysctl"] = {"net.ipv4.no_such_thing": "1"}
    return minirun.run(bundle)


@provokes("sysctl-value", "/linux/sysctl/net.ipv4.ip_forward")
def sysctl_with_another_value(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "maybe"}
    return minirun.run(bundle)


@provokes("maps-denied", "/linux/uidMappings")
def mapping_without_the_right(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle, host=100000)
    return as_if(minirun, bundle, "setpriv", "--bounding-set", "-setuid,-setgid")


@provokes("maps-invalid", "/linux/uidMappings")
def overlapping_mappings(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle)
    bundle.config["linux"]["uidMappings"] *= 2
    return minirun.run(bundle)


@provokes("oom-lower", "/process/oomScoreAdj")
def lower_oom_score_without_the_right(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["process"]["oomScoreAdj"] = -999
    return as_if(minirun, bundle, "setpriv", "--bounding-set", "-sys_resource")


# -- hooks, cgroups, spawn ---------------------------------------------------------------------------------------------


def hook(minirun: Runtime, bundle: Bundle, **entry: object) -> Done:
    bundle.config["hooks"] = {"createRuntime": [entry]}
    return minirun.run(bundle)


@provokes("hook-status", "/hooks/createRuntime/0")
def hook_fails(minirun: Runtime, bundle: Bundle) -> Done:
    return hook(minirun, bundle, path="/bin/false")


@provokes("hook-timeout", "/hooks/createRuntime/0")
def hook_takes_too_long(minirun: Runtime, bundle: Bundle) -> Done:
    return hook(minirun, bundle, path="/bin/sleep", args=["sleep", "30"], timeout=1)


@provokes("hook-missing", "/hooks/createRuntime/0")
def no_hook(minirun: Runtime, bundle: Bundle) -> Done:
    return hook(minirun, bundle, path="/nowhere")


def hugetlb(*, enabled: bool = False) -> Path:
    """The cgroup2 mount, if it has the hugetlb controller (every host has it, hybrid ones too)."""
    from minirun.facts import find_cgroup_root

    root = Path(find_cgroup_root())
    if "hugetlb" not in (root / "cgroup.controllers").read_text().split():
        pytest.skip("no hugetlb controller in cgroup v2")
    if enabled:
        (root / "cgroup.subtree_control").write_text("+hugetlb")
    return root


@provokes("limit-value", "/linux/resources/unified/hugetlb.2MB.max")
def limit_with_another_value(minirun: Runtime, bundle: Bundle) -> Done:
    hugetlb()
    bundle.config["linux"]["resources"]["unified"] = {"hugetlb.2MB.max": "many"}
    return minirun.run(bundle)


@provokes("limit-file", "/linux/resources/unified/hugetlb.3MB.max")
def no_such_limit(minirun: Runtime, bundle: Bundle) -> Done:
    hugetlb()
    bundle.config["linux"]["resources"]["unified"] = {"hugetlb.3MB.max": "0"}
    return minirun.run(bundle)


@provokes("cgroup-denied", "/linux/cgroupsPath")
def somebody_elses_cgroup(minirun: Runtime, bundle: Bundle) -> Done:
    """An ordinary user with a cgroup of its own, who asks for one elsewhere."""
    require("userns")
    bundle.config = base_config(rootless=True, uid=65534, gid=65534)
    bundle.config["linux"]["cgroupsPath"] = "/elsewhere"
    own = hugetlb() / "minirun-test-user"
    own.mkdir()
    for path in (own, own / "cgroup.procs"):
        os.chown(path, 65534, 65534)
    move_into_the_open(minirun, bundle)
    try:
        enter = f'echo $$ > {own}/cgroup.procs; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
        return as_if(minirun, bundle, "sh", "-c", enter, "-")
    finally:
        own.rmdir()


@provokes("spawn-limit", "/linux/namespaces")
def no_namespace_left(minirun: Runtime, bundle: Bundle) -> Done:
    """The limit of a user namespace in which minirun itself runs: the host's own stays as it is."""
    enter = 'echo 0 > /proc/sys/user/max_uts_namespaces; exec "$@"'
    return as_if(minirun, bundle, "unshare", "-U", "-r", "sh", "-c", enter, "-")


@provokes("spawn-denied", "/linux/namespaces")
def who_is_nobody_makes_no_namespace(minirun: Runtime, bundle: Bundle) -> Done:
    """In a user namespace that does not map its caller no further one can be made."""
    require("userns")
    bundle.config = base_config(rootless=True, uid=65534, gid=65534)
    move_into_the_open(minirun, bundle)
    return as_if(minirun, bundle, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "unshare", "-U")


@provokes("spawn-cgroup", "/linux/namespaces")
def cgroup_with_children(minirun: Runtime, bundle: Bundle) -> Done:
    """The rule "no internal processes" (cgroups(7))."""
    busy = hugetlb(enabled=True) / "minirun-test-busy"
    busy.mkdir()
    try:
        (busy / "cgroup.subtree_control").write_text("+hugetlb")
        bundle.config["linux"]["cgroupsPath"] = "/minirun-test-busy"
        return minirun.run(bundle)
    finally:
        if busy.exists():
            busy.rmdir()


# -- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", sorted(PROVOKED))
def test_row(minirun: Runtime, bundle: Bundle, clean_host: None, row: str) -> None:
    pointer, code, provoke = PROVOKED[row]
    hint = next(hint for hint in HINTS if hint.name == row)
    before = bundle.path
    try:
        done = provoke(minirun, bundle)
        for name in minirun.used:
            minirun("delete", "--force", name)
    finally:
        if bundle.path != before:
            shutil.rmtree(bundle.path.parent)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("minirun: warning")]
    assert done.returncode == code, done.stderr
    assert re.match("minirun: cannot .*: .", lines[0]), done.stderr
    config = re.escape(str(bundle.path / "config.json"))
    assert re.match(f"  config   {re.escape(pointer)} in {config}$", lines[1]), done.stderr
    assert re.match(rf"  step     \d+ of \d+, (host|init), .* -> {hint.errno}$", lines[2]), done.stderr
    said = hint.text.format(detail="\0").split("\0")
    assert lines[3].startswith("  hint     ") and all(part in lines[3] for part in said), done.stderr
    assert len(lines) == 4, done.stderr


def test_every_row_is_provoked() -> None:
    assert set(PROVOKED) | set(CANNOT) == {hint.name for hint in HINTS}
    assert not set(PROVOKED) & set(CANNOT)
