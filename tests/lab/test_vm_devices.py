"""Debian's drivers on our virtio devices: a Linux guest that writes disks, speaks over a tap, and gives memory back."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.vm import kernel
from minirun.vm.devices.balloon import Balloon
from minirun.vm.devices.block import Block, open_disk
from minirun.vm.devices.net import Net, open_tap
from minirun.vm.devices.rng import Rng
from tests.lab.devices_guest import Guest

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "kvm")]
MIB = 1 << 20
SCRIPT = """
cat /sys/block/vda/size | say size
cat /sys/block/vda/serial | say serial
cat /sys/block/vdb/ro | say read-only
sum < /dev/vdb | say second
dd if=/dev/urandom of=/tmp/data bs=1M count=2 2> /dev/null
sum < /tmp/data | say data
dd if=/tmp/data of=/dev/vda bs=64k oflag=direct 2> /dev/null; sync
for part in 1 2 3; do dd if=/tmp/data of=/dev/vda bs=1M seek=$((part * 2)) 2> /dev/null & done; wait; sync
part() { dd if=/dev/vda bs=64k skip=$(($1 * 32)) count=32 iflag=direct 2> /dev/null; }
for part in 0 1 2 3; do part $part | sum; done | sort -u | say copies
blkdiscard -o $((32 << 20)) -l $((4 << 20)) /dev/vda && echo yes | say discarded
name=$(basename $(readlink /sys/block/vda/device))
echo $name > /sys/bus/virtio/drivers/virtio_blk/unbind && echo $name > /sys/bus/virtio/drivers/virtio_blk/bind
dd if=/dev/vda bs=1M count=2 2> /dev/null | sum | say rebound

ip link set lo up; ip link set eth0 up; ip address add 10.99.0.2/24 dev eth0
cat /sys/class/net/eth0/address | say mac
cat /sys/class/net/eth0/mtu | say mtu
ping -c 1 -W 10 10.99.0.1 > /dev/null && echo yes | say ping
nc 10.99.0.1 5001 < /tmp/data; echo sent | say send
nc 10.99.0.1 5002 < /dev/null | sum | say received

cat /sys/class/misc/hw_random/rng_current | say rng
dd if=/dev/hwrng bs=64 count=1 2> /dev/null | wc -c | say random

grep MemTotal /proc/meminfo | tr -d ':' | say memory
echo now | say balloon
for try in 1 2 3 4 5; do sleep 1; done
grep MemFree /proc/meminfo | tr -d ':' | say free
"""


@pytest.fixture
def tap() -> str:
    subprocess.run(["modprobe", "tun"], check=False)
    return f"mrt{os.getpid() % 100000}"


class Peer:
    """The host's end of the wire: takes what comes on port 5001, gives ``data`` on 5002."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.got = b""
        for port, serve in ((5001, self.take), (5002, self.give)):
            listener = socket.create_server(("10.99.0.1", port))
            threading.Thread(target=serve, args=(listener,), daemon=True).start()

    def take(self, listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            while piece := connection.recv(1 << 16):
                self.got += piece

    def give(self, listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.sendall(self.data)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def test_debian_drives_all_of_them(tmp_path: Path, tap: str) -> None:
    try:
        kernel.find()
    except MinirunError as error:
        pytest.skip(f"{error}")
    disk, second, data = tmp_path / "disk", tmp_path / "second", os.urandom(2 * MIB)
    with open(disk, "wb") as file:
        file.truncate(64 * MIB)
    second.write_bytes(data)
    balloon, net = Balloon(), Net(open_tap(tap), bytes.fromhex("02005e000007"), mtu=1400)
    blocks = [Block(open_disk(str(disk)), serial="minirun-disk"), Block(open_disk(str(second), True), True)]
    subprocess.run(["ip", "address", "add", "10.99.0.1/24", "dev", tap], check=True)
    subprocess.run(["ip", "link", "set", tap, "up"], check=True)
    peer = Peer(data)
    guest = Guest(SCRIPT, [*blocks, net, Rng(), balloon], vcpus=2)
    seen: list[int] = []
    guest.watch["balloon: now"] = lambda: balloon.inflate_to(32 * MIB)
    guest.watch["free: "] = lambda: seen.append(balloon.actual)
    said = guest.run()
    assert guest.end == "shutdown", said
    assert said["size"] == str(64 * MIB // 512) and said["serial"] == "minirun-disk" and said["read-only"] == "1"
    assert said["second"] == md5(data)
    assert said["copies"] == said["rebound"] == said["data"]
    assert said["discarded"] == "yes"
    written = disk.read_bytes()
    assert {md5(written[at : at + 2 * MIB]) for at in range(0, 8 * MIB, 2 * MIB)} == {said["data"]}
    assert (said["mac"], said["mtu"], said["ping"]) == ("02:00:5e:00:00:07", "1400", "yes")
    assert md5(peer.got) == said["data"] and said["received"] == md5(data)
    assert said["random"] == "64" and said["rng"].startswith("virtio_rng")
    assert seen == [32 * MIB] and balloon.released >= 32 * MIB
    assert balloon.stats["total"] > 100 * MIB
