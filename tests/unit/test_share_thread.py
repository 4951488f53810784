"""The share's own thread: what it does in a machine, and that it stays within a device's life."""

from __future__ import annotations

import time
from pathlib import Path

from minirun.vm.devices import fs_wire as wire, mmio
from tests.unit.fuse_client import Client, export
from tests.unit.virtio_driver import Ring


def test_the_threads_own_work(tmp_path: Path) -> None:
    """As in a machine: the device's thread answers; a reset and a second life are clean."""
    (tmp_path / "file").write_text("x")
    client = Client(export(tmp_path), threaded=True)
    for _ in range(3):
        node = client.lookup("root", "file")
        assert client.read(node, client.open(node)) == b"x"
        client.driver.start()
        assert not client.device.nodes.by_id and not client.device.nodes.handles
        client.init()
    client.close()
    assert not client.device.running


def test_nothing_is_served_before_the_driver_is_ready(tmp_path: Path) -> None:
    """A second life of the device, up to the queue but without DRIVER_OK: its thread must not touch that queue."""
    client = Client(export(tmp_path), threaded=True)
    driver = client.driver
    ring = Ring(driver.memory, 0x40000, 8)
    assert driver.negotiate(driver.offered())
    driver.set_queue(1, ring)
    for ready in (False, True):
        header = wire.IN_HEADER.pack(wire.IN_HEADER.size, wire.GETATTR, 1, wire.ROOT, 0, 0, 0, 0, 0)
        driver.memory.write(0x60000, header)
        ring.offer(ring.chain([(0x60000, len(header), 0), (0x61000, 16, 2)]))
        if ready:
            driver.reg(mmio.STATUS, driver.reg(mmio.STATUS) | mmio.DRIVER_OK)
        driver.kick(1)
        time.sleep(0.05)
        assert len(ring.collect()) == 2 * ready
    client.close()
