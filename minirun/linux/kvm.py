"""kvm(4), Documentation/virt/kvm/api.rst: one type for each kind of descriptor, methods named as the ioctls.

    Kvm   /dev/kvm itself: what this kernel can do                (here)
    Vm    one machine: memory slots, interrupt controllers        (minirun.linux.kvm_vm)
    Vcpu  one processor: registers, and KVM_RUN in a loop of C    (minirun.linux.kvm_vcpu)

The compiled module ``minirun._kvm`` (native/vm, cffi in API mode) is touched here only; ``ffi`` and ``lib`` are for
the files of ``minirun.vm`` that drive its other half (queues, block, network).
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.linux.kvm_vm import Vm

try:
    from minirun import _kvm
except ImportError as error:  # pragma: no cover (a checkout that was never built)
    raise ImportError(f"{error}; build it first: make setup") from error

ffi: Any = _kvm.ffi
lib: Any = _kvm.lib

DEVICE = "/dev/kvm"
API_VERSION = 12  # for ever: "applications should refuse to run if it is anything else" (api.rst, 4.1)
EINTR, E2BIG, EOPNOTSUPP = 4, 7, 95
# What minirun's machines cannot do without.  All are older than Linux 4.12.
NEEDED = (
    "USER_MEMORY", "IRQCHIP", "PIT2", "IRQFD", "IOEVENTFD", "SET_TSS_ADDR", "SET_IDENTITY_MAP_ADDR", "MP_STATE",
    "EXT_CPUID", "IMMEDIATE_EXIT",
)  # fmt: skip


def ioctl(fd: int, name: str, argument: Any = 0) -> int:
    """ioctl(2) by the request's name; ``argument`` is a pointer or a number.  Raises OSError with the name."""
    pointer = ffi.cast("void *", argument)
    request = getattr(lib, name)
    while True:
        result: int = lib.kvm_ioctl(fd, request, pointer)
        if result >= 0:
            return result
        number = ffi.errno
        if number != EINTR:  # KVM_CREATE_VM gives up when a signal arrives
            raise OSError(number, posix.strerror(number), name)


def cpuid_table(entries: list[tuple[int, ...]], room: int = 0) -> Any:
    """``struct kvm_cpuid2`` of (function, index, flags, eax, ebx, ecx, edx), or with ``room`` for an answer."""
    table = ffi.new("struct kvm_cpuid2 *", {"entries": max(room, len(entries))})
    table.nent = max(room, len(entries))
    for entry, values in zip(table.entries, entries, strict=False):
        entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx = values
    return table


def cpuid_entries(table: Any) -> list[tuple[int, ...]]:
    return [(e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx) for e in table.entries[0 : table.nent]]


class Kvm:
    """/dev/kvm.  Raises OSError: ENOENT, EACCES …, and EOPNOTSUPP that names every capability it lacks."""

    def __init__(self, needed: tuple[str, ...] = ()) -> None:
        self.fd = posix.open(DEVICE, posix.O_RDWR | posix.O_CLOEXEC)
        try:
            self.check(needed or NEEDED)
        except OSError:
            self.close()
            raise

    def check(self, needed: tuple[str, ...]) -> None:
        version = self.get_api_version()
        lacking = [f"KVM_CAP_{word}" for word in needed if not self.check_extension(word)]
        if version != API_VERSION:
            lacking.insert(0, f"version {API_VERSION} of the interface (this is {version})")
        if lacking:
            raise OSError(EOPNOTSUPP, f"this KVM lacks {', '.join(lacking)}", DEVICE)

    def close(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    def get_api_version(self) -> int:
        return ioctl(self.fd, "KVM_GET_API_VERSION")

    def check_extension(self, capability: str) -> int:
        """0: does not have it; else 1, or a number with a meaning of its own."""
        return ioctl(self.fd, "KVM_CHECK_EXTENSION", getattr(lib, f"KVM_CAP_{capability}"))

    def get_vcpu_mmap_size(self) -> int:
        return ioctl(self.fd, "KVM_GET_VCPU_MMAP_SIZE")

    def get_supported_cpuid(self) -> list[tuple[int, ...]]:
        """(function, index, flags, eax, ebx, ecx, edx) of every leaf that KVM can show a guest."""
        for room in (128, 256, 512):
            table = cpuid_table([], room)
            try:
                ioctl(self.fd, "KVM_GET_SUPPORTED_CPUID", table)
                return cpuid_entries(table)
            except OSError as error:
                if error.errno != E2BIG:
                    raise
        raise OSError(E2BIG, posix.strerror(E2BIG), "KVM_GET_SUPPORTED_CPUID")

    def get_msr_index_list(self) -> list[int]:
        """The model-specific registers that a snapshot has to save."""
        room = ffi.new("struct kvm_msr_list *", {"indices": 1024})
        room.nmsrs = 1024
        ioctl(self.fd, "KVM_GET_MSR_INDEX_LIST", room)
        return list(room.indices[0 : room.nmsrs])

    def create_vm(self) -> Vm:
        from minirun.linux.kvm_vm import Vm

        return Vm(ioctl(self.fd, "KVM_CREATE_VM"), self.get_vcpu_mmap_size())
