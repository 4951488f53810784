"""The VM before there is a program: an address space, a VM, a vCPU, a memory slot (native/vm/sandbox_first.c)."""

from __future__ import annotations

import posix

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.linux.kvm import Kvm

CPUID_ENTRIES = 256  # KVM_GET_SUPPORTED_CPUID says E2BIG for fewer than it has; a processor of today has some 60


class First:
    """Raises OSError."""

    def __init__(self, kvm: Kvm) -> None:
        self.cpuid: Any = ffi.new("struct kvm_cpuid2 *", {"entries": CPUID_ENTRIES})
        self.cpuid.nent = CPUID_ENTRIES
        self.native: Any = ffi.new("struct first *", {
            "kvm": kvm.fd, "size": layout.SIZE, "system": layout.SYSTEM, "system_size": layout.SYSTEM_SIZE,
            "slot_size": layout.SLOT, "cpuid": self.cpuid,
        })  # fmt: skip
        if lib.first_make(self.native) < 0:
            raise OSError(self.native.err, posix.strerror(self.native.err), ffi.string(self.native.call).decode())

    def drop(self) -> None:
        """In a copy of the process it was made in."""
        lib.first_drop(self.native)
