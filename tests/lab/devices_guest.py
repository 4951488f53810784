"""A Linux guest that tries its virtio devices from inside: what runs there is the script below, over busybox.

It says one line for each thing it finds, ``name: value``, on the serial port; ``run`` gives them as a dictionary.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from minirun.vm import initramfs, kernel, linux_boot
from minirun.vm.boot import cmdline
from minirun.vm.devices.mmio import Mmio
from minirun.vm.devices.virtio import VirtioDevice
from minirun.vm.layout import virtio
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from minirun.vm.memory import Memory
from minirun.vm.platform import Platform
from tests.needs import BUSYBOX

KINDS = ["mmio", "block", "net", "rng", "balloon", "fs", "vsock"]
HEAD = """#!/bin/busybox sh
/bin/busybox mkdir -p /bin /sys /proc /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /etc/minirun-modules); do insmod $module || echo "failed: $module"; done
say() { echo "$1: $(cat)"; }
sum() { md5sum | cut -d' ' -f1; }
"""
TAIL = """
sync
poweroff -f
"""


def archive(script: str, needed: list[str] = KINDS) -> bytes:
    """busybox as /init's interpreter, and the modules of the guest's kernel."""
    found = kernel.find()
    paths = kernel.module_paths(found, initramfs.wanted(needed))
    modules = [(initramfs.module_name(path), kernel.uncompressed(path)) for path in paths]
    built = initramfs.build((HEAD + script + TAIL).encode(), modules)
    extra = initramfs.entry("bin", 0o040755) + initramfs.entry("bin/busybox", 0o100755, Path(BUSYBOX).read_bytes())
    return extra + initramfs.entry("TRAILER!!!", 0) + b"\0" * (-len(extra) % 4) + built


class Guest:
    """Runs until it switches itself off."""

    def __init__(self, script: str, devices: list[VirtioDevice], memory: int = 192 << 20, vcpus: int = 1) -> None:
        self.text = b""
        self.loop = Loop()
        self.machine = Machine(Memory(memory), vcpus, self.loop)
        Platform(self.machine, self.hear)
        places = [virtio(slot) for slot in range(len(devices))]
        image = Path(kernel.find().image).read_bytes()
        linux_boot.load(self.machine, image, archive(script), cmdline.default(), places)
        self.windows = [Mmio(self.machine, device, place) for device, place in zip(devices, places, strict=True)]
        self.watch: dict[str, Callable[[], None]] = {}
        self.end = ""

    def hear(self, data: bytes) -> None:
        os.write(2, data)
        self.text += data
        for word in [word for word in self.watch if word.encode() in self.text]:
            self.watch.pop(word)()

    def run(self) -> dict[str, str]:
        """What it said, by name."""
        self.machine.on_end(lambda reason: self.ended(getattr(reason, "why", "") or reason.describe()))
        self.machine.start()
        self.loop.run()
        lines = [line.partition(": ") for line in self.text.decode("utf-8", "replace").splitlines()]
        said = {name.strip(): value.strip() for name, colon, value in lines if colon}
        for window in self.windows:
            window.close()
        self.machine.close()
        return said

    def ended(self, why: str) -> None:
        self.end = why
        self.loop.stop()
