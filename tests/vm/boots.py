"""A machine with Linux, or another payload, on its serial port: what it says, how it ends.

The guest's init is a busybox script, which says what it sees and then does what the command line's ``end=`` says.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

from minirun.vm import initramfs, layout, linux_boot
from minirun.vm.boot import cmdline
from minirun.vm.devices.mmio import Mmio
from minirun.vm.devices.rng import Rng
from minirun.vm.exits import Exit
from minirun.vm.kernel import at, module_paths
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from minirun.vm.memory import Memory
from minirun.vm.platform import Platform
from tests.conftest import BUSYBOX

SCRIPT = b"""#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
while read -r module; do $b insmod $module; done </etc/minirun-modules
set -- /sys/bus/virtio/devices/*
echo "init of $($b uname -r): $($b nproc) processors, $($b awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo) MiB"
echo "clock $($b cat /sys/devices/system/clocksource/clocksource0/current_clocksource), virtio $($b cat $1/device)"
case $end in
panic) exit 3 ;;
off) $b poweroff -f ;;
reboot) $b reboot -f ;;
esac
exec $b sleep 1000
"""
SECONDS = 120.0


class Seen(NamedTuple):
    """``why``: how the machine ended."""

    why: str
    said: str
    exits: dict[str, int]
    protocol: str


def archive(kernel: Path) -> bytes:
    """The usual archive with our script as its init, and busybox; virtio-mmio's modules and the rng's travel along."""
    given = at(str(kernel))
    paths = module_paths(given, initramfs.wanted(("mmio", "rng")))
    whole = initramfs.build(SCRIPT, [(initramfs.module_name(path), Path(path).read_bytes()) for path in paths])
    busybox = initramfs.entry("bin", 0o040755) + initramfs.entry("bin/busybox", 0o100755, BUSYBOX.read_bytes())
    return busybox + whole


def boot(
    image: Path, words: str = "", *, modules: Path | None = None, vcpus: int = 1, mib: int = 256,
    way: str = linux_boot.BOOT, until: str = "", seconds: float = SECONDS,
) -> Seen:  # fmt: skip
    """Until the guest ends, or has said ``until``.  ``modules``: of which kernel modules go along; without, no init."""
    loop, said = Loop(), bytearray()
    machine = Machine(Memory(mib << 20), vcpus, loop)

    def hear(data: bytes) -> None:
        said.extend(data)
        if until and until.encode() in said:
            machine.stop("heard")

    platform = Platform(machine, hear)
    ended: list[str] = []

    def end(reason: Exit) -> None:
        ended.append(platform.reason(reason))
        loop.stop()

    machine.on_end(end)
    Mmio(machine, Rng(), layout.virtio(0))
    line = cmdline.join([cmdline.default(), words])
    initrd = archive(modules) if modules else b""
    protocol = linux_boot.load(machine, image.read_bytes(), initrd, line, [layout.virtio(0)], way).protocol
    timer = threading.Timer(seconds, machine.stop, ("nothing happened for too long",))
    timer.start()
    machine.start()
    loop.run()
    timer.cancel()
    counted = machine.exits()
    machine.close()
    platform.close()
    return Seen(ended[0], said.decode(errors="replace"), counted, protocol)
