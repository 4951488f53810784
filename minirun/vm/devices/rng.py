"""virtio-rng, virtio 1.2 section 5.4: getrandom(2) for the guest, above all before it has any entropy of its own."""

from __future__ import annotations

import posix

from minirun.vm.devices.virtio import VirtioDevice

MOST = 4096  # of one request: the rest of its buffer is left as it was, the driver asks again


class Rng(VirtioDevice):
    ID = 4
    QUEUES = (16,)

    def kick(self, index: int) -> None:
        for chain in self.queues[0].chains():
            chain.write(posix.getrandom(min(chain.writable, MOST)))
            chain.push()
        self.queues[0].notify()
