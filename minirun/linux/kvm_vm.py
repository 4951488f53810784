"""The ioctls of a virtual machine's descriptor (Documentation/virt/kvm/api.rst, "VM type")."""

from __future__ import annotations

import posix

from minirun.linux.kvm import ffi, ioctl, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.linux.kvm_vcpu import Vcpu


class Vm:
    """One machine.  Closing the last of its descriptors (its own, its vCPUs') takes it away."""

    def __init__(self, fd: int, run_size: int) -> None:
        self.fd = fd
        self.run_size = run_size

    def close(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    def check_extension(self, capability: str) -> int:
        return ioctl(self.fd, "KVM_CHECK_EXTENSION", getattr(lib, f"KVM_CAP_{capability}"))

    def enable_cap(self, capability: str, *arguments: int) -> None:
        request = ffi.new("struct kvm_enable_cap *", {"cap": getattr(lib, f"KVM_CAP_{capability}")})
        request.args[0 : len(arguments)] = arguments
        ioctl(self.fd, "KVM_ENABLE_CAP", request)

    def set_user_memory_region(self, slot: int, address: int, size: int, host: int, flags: int = 0) -> None:
        """``size`` bytes of this process at ``host`` are the guest's memory at ``address``; 0 takes the slot away."""
        region = ffi.new("struct kvm_userspace_memory_region *", (slot, flags, address, size, host))
        ioctl(self.fd, "KVM_SET_USER_MEMORY_REGION", region)

    def get_dirty_log(self, slot: int, pages: int) -> bytes:
        """A bit for each page written since the last call; the slot needs KVM_MEM_LOG_DIRTY_PAGES."""
        bitmap = ffi.new("uint64_t[]", (pages + 63) // 64)
        log = ffi.new("struct kvm_dirty_log *", {"slot": slot, "dirty_bitmap": bitmap})
        ioctl(self.fd, "KVM_GET_DIRTY_LOG", log)
        return bytes(ffi.buffer(bitmap))

    def set_tss_addr(self, address: int) -> None:
        """Three pages below 4 GiB that Intel's VMX needs for real mode, out of everything else's way."""
        ioctl(self.fd, "KVM_SET_TSS_ADDR", address)

    def set_identity_map_addr(self, address: int) -> None:
        """One page more, for the same; to be called before any vCPU exists."""
        ioctl(self.fd, "KVM_SET_IDENTITY_MAP_ADDR", ffi.new("uint64_t *", address))

    def create_irqchip(self) -> None:
        """Two 8259s, one IOAPIC, and a local APIC for every vCPU made from now on."""
        ioctl(self.fd, "KVM_CREATE_IRQCHIP")

    def create_pit2(self) -> None:
        """An 8254; the dummy speaker is port 0x61, with which Linux waits for its second channel."""
        ioctl(self.fd, "KVM_CREATE_PIT2", ffi.new("struct kvm_pit_config *", {"flags": lib.KVM_PIT_SPEAKER_DUMMY}))

    def irq_line(self, gsi: int, level: int) -> None:
        ioctl(self.fd, "KVM_IRQ_LINE", ffi.new("struct kvm_irq_level *", {"irq": gsi, "level": level}))

    def irqfd(self, fd: int, gsi: int, deassign: bool = False) -> None:
        """A write to the eventfd ``fd`` is an edge on ``gsi``."""
        flags = lib.KVM_IRQFD_FLAG_DEASSIGN if deassign else 0
        ioctl(self.fd, "KVM_IRQFD", ffi.new("struct kvm_irqfd *", {"fd": fd, "gsi": gsi, "flags": flags}))

    def ioeventfd(
        self, fd: int, address: int, length: int, datamatch: int | None = None, pio: bool = False,
        deassign: bool = False,
    ) -> None:  # fmt: skip
        """A guest's write there (of ``datamatch`` only, unless None) is a write to the eventfd ``fd``, and no exit."""
        flags = lib.KVM_IOEVENTFD_FLAG_DATAMATCH if datamatch is not None else 0
        flags |= lib.KVM_IOEVENTFD_FLAG_PIO if pio else 0
        flags |= lib.KVM_IOEVENTFD_FLAG_DEASSIGN if deassign else 0
        request = ffi.new(
            "struct kvm_ioeventfd *",
            {"fd": fd, "addr": address, "len": length, "datamatch": datamatch or 0, "flags": flags},
        )
        ioctl(self.fd, "KVM_IOEVENTFD", request)

    def get_clock(self) -> Any:
        """``struct kvm_clock_data``: the guest's nanoseconds."""
        clock = ffi.new("struct kvm_clock_data *")
        ioctl(self.fd, "KVM_GET_CLOCK", clock)
        return clock

    def set_clock(self, clock: Any) -> None:
        ioctl(self.fd, "KVM_SET_CLOCK", clock)

    def create_vcpu(self, number: int) -> Vcpu:
        """``number`` is its local APIC's, too.  With an irqchip, all but the first wait for INIT and SIPI."""
        from minirun.linux.kvm_vcpu import Vcpu

        return Vcpu(ioctl(self.fd, "KVM_CREATE_VCPU", number), number, self.run_size)
