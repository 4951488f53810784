"""systemd to try things on: this machine's own where it runs, else one of ours, as pid 1 of new namespaces.

Ours has a cgroup2 mount of its own (a cgroup namespace), a private /run, and a target with nothing but the bus: no
unit of the distribution runs, /proc/sys, /sys and / are read-only for it.  It is up in about a second.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from minirun.facts import find_cgroup_root
from tests.conftest import run

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = {
    "lab.target": "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket\n",
    "dbus.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
    "dbus.service": "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\nNotifyAccess=main\n"
    "ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n",
}
# $1: where the units are; $2: a directory that stays writable.
BOOT = """
set -e
mount --make-rprivate /
mount --rbind "$2" "$2"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system /run/dbus
cp "$1"/* /run/systemd/system/
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mkdir /run/proc
mount -t proc proc /run/proc  # whole: the kernel gives a user namespace a proc only where one is to be seen already
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -o remount,bind,ro /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=minirun-test \\
  "$0" --system --unit=lab.target --log-target=null --show-status=no
"""
ENTER = """#!/bin/sh
echo $$ > {client}/cgroup.procs
exec nsenter --wdns="$PWD" -t {pid} -m -p -C -i -u -n "$@"
"""


class Booted:
    """``enter`` stands before a command that shall see this systemd; ``root`` is its cgroup mount, from here."""

    def __init__(self, root: Path, enter: list[str]) -> None:
        self.root = root
        self.enter = enter

    def __call__(self, *argv: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
        return run(*self.enter, *argv, **more)

    def show(self, unit: str, name: str) -> str:
        """A property, as systemctl(1) writes it."""
        return self("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def loaded(self, unit: str) -> bool:
        return self.show(unit, "LoadState") == "loaded"


def why_not() -> str:
    """Why there can be none here; "" if there can."""
    if Path("/run/systemd/system").is_dir():
        asked = run("busctl", "status", "--timeout=5")
        return "" if asked.returncode == 0 else f"systemd runs, but no bus answers: {asked.stderr.strip()}"
    if os.geteuid() != 0:
        return "not root"
    missing = [name for name in ("nsenter", "unshare", "dbus-daemon", "systemctl") if not shutil.which(name)]
    if not SYSTEMD.exists() or missing:
        return f"no {SYSTEMD if not SYSTEMD.exists() else missing[0]}"
    return "" if find_cgroup_root() else "no cgroup2 mount"


@contextlib.contextmanager
def booted(writable: Path) -> Iterator[Booted]:
    """Raises RuntimeError if systemd does not come up."""
    root = Path(find_cgroup_root())
    if Path("/run/systemd/system").is_dir():
        yield Booted(root, [])
        return
    home = root / f"minirun-test-{uuid.uuid4().hex[:8]}"
    client = home / "client"
    folder = Path(tempfile.mkdtemp(prefix="minirun-test-", dir=writable))
    (folder / "units").mkdir()
    for name, text in UNITS.items():
        (folder / "units" / name).write_text(text)
    client.mkdir(parents=True)
    # The process that unshares waits outside: the root of what systemd divides must hold no process.
    start = f'echo $$ > {home}/cgroup.procs; exec unshare -m -p -C -i -u -n --fork --kill-child "$@"'
    argv = ["sh", "-c", start, "-", "sh", "-c", BOOT, str(SYSTEMD), str(folder / "units"), str(writable)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        pid = child_of(process)
        (root / "cgroup.procs").write_text(str(process.pid))
        script = folder / "enter"
        script.write_text(ENTER.format(client=client, pid=pid))
        script.chmod(0o755)
        found = Booted(home, [str(script)])
        await_bus(found)
        yield found
    finally:
        process.kill()
        process.communicate()
        (home / "cgroup.kill").write_text("1")
        take_away(home)
        shutil.rmtree(folder)


def child_of(process: subprocess.Popen[bytes]) -> int:
    """systemd's pid, as we see it: unshare(1) forks it."""
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if found and Path(f"/proc/{process.pid}/comm").read_text().strip() == "unshare":
            return int(found[0])
        time.sleep(0.01)
    raise RuntimeError(f"systemd does not start: {process.communicate()[1].decode() if process.poll() else 'no fork'}")


def await_bus(found: Booted) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        asked = found("busctl", "get-property", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                      "org.freedesktop.systemd1.Manager", "Version")  # fmt: skip
        if asked.returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError(f"systemd's bus does not answer: {asked.stderr.strip()}")


def take_away(directory: Path) -> None:
    """The cgroups, once their last processes have gone."""
    from minirun.cgroups import tree

    tree.wait_event(str(directory), "populated 0", 10)
    for inner in reversed(tree.subtree(str(directory))):
        tree.rmdir(inner, 5)
