"""The ioctls of a vCPU's descriptor, and its loop in C (Documentation/virt/kvm/api.rst, "vcpu type"; native/vm/vcpu.c).

``get_*`` returns the kernel's own structure, to be changed and handed to ``set_*``.  KVM lets one ioctl at a time at a
vCPU: while it runs in its thread, all of them wait; pause the machine first.
"""

from __future__ import annotations

import posix

from minirun.linux.kvm import cpuid_entries, cpuid_table, ffi, ioctl, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KICKED: int = lib.VCPU_KICKED
EINVAL = 22


class Vcpu:
    """One processor.  ``native`` is the ``struct vcpu`` of the loop in C, counters included."""

    def __init__(self, fd: int, number: int, run_size: int) -> None:
        self.fd = fd
        self.number = number
        self.native: Any = ffi.new("struct vcpu *")
        self.native.fd = fd
        if lib.vcpu_map(self.native, run_size) < 0:
            raise OSError(ffi.errno, posix.strerror(ffi.errno), "mmap of kvm_run")

    def close(self) -> None:
        """Not while its thread runs."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            lib.vcpu_unmap(self.native)
            posix.close(fd)

    def get(self, request: str, structure: str) -> Any:
        found = ffi.new(f"struct {structure} *")
        ioctl(self.fd, request, found)
        return found

    def get_regs(self) -> Any:
        return self.get("KVM_GET_REGS", "kvm_regs")

    def set_regs(self, regs: Any) -> None:
        ioctl(self.fd, "KVM_SET_REGS", regs)

    def get_sregs(self) -> Any:
        """Segments, descriptor tables, control registers, EFER."""
        return self.get("KVM_GET_SREGS", "kvm_sregs")

    def set_sregs(self, sregs: Any) -> None:
        ioctl(self.fd, "KVM_SET_SREGS", sregs)

    def get_fpu(self) -> Any:
        return self.get("KVM_GET_FPU", "kvm_fpu")

    def set_fpu(self, fpu: Any) -> None:
        ioctl(self.fd, "KVM_SET_FPU", fpu)

    def get_xcrs(self) -> Any:
        return self.get("KVM_GET_XCRS", "kvm_xcrs")

    def set_xcrs(self, xcrs: Any) -> None:
        ioctl(self.fd, "KVM_SET_XCRS", xcrs)

    def get_lapic(self) -> Any:
        """``regs``: 1 KiB, each register at its own offset (Intel SDM volume 3, 11.4.1)."""
        return self.get("KVM_GET_LAPIC", "kvm_lapic_state")

    def set_lapic(self, lapic: Any) -> None:
        ioctl(self.fd, "KVM_SET_LAPIC", lapic)

    def get_mp_state(self) -> int:
        return int(self.get("KVM_GET_MP_STATE", "kvm_mp_state").mp_state)

    def set_mp_state(self, state: int) -> None:
        ioctl(self.fd, "KVM_SET_MP_STATE", ffi.new("struct kvm_mp_state *", (state,)))

    def get_cpuid2(self) -> list[tuple[int, ...]]:
        table = cpuid_table([], 256)
        ioctl(self.fd, "KVM_GET_CPUID2", table)
        return cpuid_entries(table)

    def set_cpuid2(self, entries: list[tuple[int, ...]]) -> None:
        """(function, index, flags, eax, ebx, ecx, edx) each; to be set before the MSRs, and once."""
        ioctl(self.fd, "KVM_SET_CPUID2", cpuid_table(entries))

    def get_msrs(self, numbers: list[int]) -> dict[int, int]:
        """Those of ``numbers`` that this vCPU has, up to the first that it has not."""
        room = ffi.new("struct kvm_msrs *", {"entries": len(numbers)})
        room.nmsrs = len(numbers)
        for entry, number in zip(room.entries, numbers, strict=False):
            entry.index = number
        got = ioctl(self.fd, "KVM_GET_MSRS", room)
        return {entry.index: entry.data for entry in room.entries[0:got]}

    def set_msrs(self, values: dict[int, int]) -> None:
        """Raises OSError EINVAL that names the first one that KVM does not take."""
        room = ffi.new("struct kvm_msrs *", {"entries": len(values)})
        room.nmsrs = len(values)
        for entry, (number, value) in zip(room.entries, values.items(), strict=False):
            entry.index, entry.data = number, value
        done = ioctl(self.fd, "KVM_SET_MSRS", room)
        if done < len(values):
            raise OSError(EINVAL, f"MSR {list(values)[done]:#x} is not to be set", "KVM_SET_MSRS")

    def translate(self, address: int) -> int | None:
        """The guest-physical address of a linear one, by the page tables in force."""
        found = ffi.new("struct kvm_translation *", {"linear_address": address})
        ioctl(self.fd, "KVM_TRANSLATE", found)
        return int(found.physical_address) if found.valid else None

    def nmi(self) -> None:
        ioctl(self.fd, "KVM_NMI")

    def kvmclock_ctrl(self) -> None:
        """Tell the guest that it was stopped, lest its watchdogs bark (EINVAL: it does not use kvm-clock)."""
        ioctl(self.fd, "KVM_KVMCLOCK_CTRL")

    def thread(self, name: str) -> None:
        """Once, by the thread that will call ``run``: its name, and its signal mask."""
        if lib.vcpu_thread(self.native, name.encode()) < 0:
            raise OSError(ffi.errno, posix.strerror(ffi.errno), "pthread_sigmask")

    def run(self) -> int:
        """The next exit that C leaves to us: a KVM_EXIT_ number, or KICKED.  The GIL is free meanwhile.

        A port or memory access lies in ``native`` (address, size, is_write, value); the answer to a read goes into
        ``native.value`` before the next call.
        """
        reason: int = lib.vcpu_run(self.native)
        if reason < 0:
            raise OSError(-reason, posix.strerror(-reason), "KVM_RUN")
        return reason

    def kick(self) -> None:
        """Out of the guest, or not into it: ``run`` returns KICKED until ``unkick``."""
        if self.fd >= 0:
            lib.vcpu_kick(self.native)

    def unkick(self) -> None:
        lib.vcpu_unkick(self.native)
