"""Linux up to its init, by each protocol, and how its end is told: Debian's own kernels, in the lab.

The kernels are those of ``make guest-kernel``, and the lab's own, which is always there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from minirun.vm import linux_boot
from tests.conftest import ROOT
from tests.vm.boots import Seen, boot

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "kvm", "busybox")]
GUESTS = ROOT / ".cache" / "guest"


def image(flavour: str, name: str) -> Path:
    path = GUESTS / flavour / name
    if not path.exists():
        pytest.skip(f"no {flavour} kernel for guests (make guest-kernel)")
    return path


def started(seen: Seen, processors: int) -> bool:
    """Init ran, saw as many processors, found the virtio device by ACPI; its clock is KVM's."""
    assert f": {processors} processors, " in seen.said, seen.said
    assert "clock kvm-clock, virtio 0x0004" in seen.said, seen.said
    return True


def test_vmlinux_switches_off() -> None:
    seen = boot(path := image("generic", "vmlinux"), "end=off", modules=path)
    assert seen.protocol == "vmlinux, 64-bit entry" and started(seen, 1) and seen.why == "shutdown"
    assert seen.exits["in-python"] < 1500, seen.exits  # what init says included: each is dearer than a thousand in KVM


def test_two_processors_and_a_restart() -> None:
    seen = boot(path := image("generic", "vmlinux"), "end=reboot", modules=path, vcpus=2)
    assert started(seen, 2) and seen.why == "reset"


def test_pvh_and_a_panic() -> None:
    seen = boot(path := image("generic", "vmlinux"), "end=panic", modules=path, vcpus=2, way=linux_boot.PVH)
    assert seen.protocol == "vmlinux, PVH" and started(seen, 2)
    assert "Attempted to kill init! exitcode=0x00000300" in seen.said and seen.why == "panic"


def test_bzimage_and_a_restart_by_triple_fault() -> None:
    path = image("generic", "vmlinuz")
    seen = boot(path, "end=reboot reboot=t", modules=path)
    assert seen.protocol == "bzImage, 64-bit entry" and started(seen, 1) and seen.why == "reset"


def test_cloud_flavour_with_memory_above_four_gibibytes() -> None:
    path = image("cloud", "vmlinux")
    seen = boot(path, "end=reboot reboot=k", modules=path, mib=3584)
    assert started(seen, 1) and seen.why == "reset"
    mib = int(seen.said.partition(" processors, ")[2].split()[0])
    assert 3300 < mib < 3584


def test_cloud_flavour_unpacks_itself() -> None:
    path = image("cloud", "vmlinuz")
    seen = boot(path, "end=off", modules=path, vcpus=2)
    assert started(seen, 2) and seen.why == "shutdown"


def test_without_an_initramfs_it_panics_and_says_why() -> None:
    seen = boot(image("generic", "vmlinux"))
    assert "Unable to mount root fs" in seen.said and seen.why == "panic"
