"""How each row of minirun/hints.py about the program and the mounts is provoked: ``PROVOKED`` is the table."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.conftest import BUSYBOX, MINIRUN, Bundle, Runtime

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
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]}
    )


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
def circular_target(minirun: Runtime, bundle: Bundle) -> Done:
    (bundle.rootfs / "target").symlink_to("/target")
    bundle.config["mounts"].append({"destination": "/target", "source": "config.json", "options": ["bind"]})
    return minirun.run(bundle)


@provokes("target-not-directory", "/mounts/7")
def directory_on_a_file(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"].append({"destination": "/etc/passwd", "source": "rootfs/bin", "options": ["bind"]})
    return minirun.run(bundle)


@provokes("root-readonly", "/mounts/8")
def target_cannot_be_made(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"] += [
        {"destination": "/mnt", "source": "rootfs/etc", "options": ["bind", "ro"]},
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
