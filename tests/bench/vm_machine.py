"""A machine of minirun's with nothing around it, for ``vm.py``: kernel, initramfs, one disk, the serial port to stdout.

    python3 -ISE vm_machine.py KERNEL INITRAMFS MEGABYTES DISK COMMAND-LINE

What ``minirun vm run`` adds is confinement and a store; what is measured here is the machine itself, as qemu's is.
"""

from __future__ import annotations

import posix
import sys

sys.path[:0] = [__file__.rpartition("/tests/")[0], *sys.argv[6:]]

from minirun.vm import linux_boot  # noqa: E402 (the path is set above)
from minirun.vm.layout import virtio  # noqa: E402
from minirun.vm.loop import Loop  # noqa: E402
from minirun.vm.machine import Machine  # noqa: E402
from minirun.vm.memory import Memory  # noqa: E402
from minirun.vm.platform import Platform  # noqa: E402


def out(data: bytes) -> None:
    posix.write(1, data)


def main(kernel: str, initramfs: str, megabytes: str, disk: str, line: str) -> int:
    import mmap

    loop = Loop()
    machine = Machine(Memory(int(megabytes) << 20), 1, loop)
    Platform(machine, out)
    places = [virtio(0)] if disk else []
    fds = [posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC) for path in (kernel, initramfs)]
    images = [mmap.mmap(fd, 0, prot=mmap.PROT_READ) for fd in fds]
    linux_boot.load(machine, images[0], images[1], line, places)
    for fd in fds:
        posix.close(fd)
    images.clear()
    if disk:
        from minirun.vm.devices.block import Block, open_disk
        from minirun.vm.devices.mmio import Mmio

        Mmio(machine, Block(open_disk(disk)), places[0])
    machine.on_end(lambda reason: loop.stop())
    machine.start()
    loop.run()
    print(machine.exits(), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:6]))
