"""PURE: what a guest's processor says of itself (CPUID; Intel SDM 2A and AMD APM 3E describe the leaves).

KVM_GET_SUPPORTED_CPUID answers with what the host's processor and KVM can do together.  Three things are ours: the
topology (one package, a core for each vCPU, one thread each; the APIC id is the vCPU's number), what KVM serves and
does not say so (the TSC deadline timer), and what is taken away because there is nobody behind it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Leaf = tuple[int, int, int, int, int, int, int]  # function, index, flags, eax, ebx, ecx, edx

SIGNIFICANT_INDEX = 1  # KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the leaf has subleaves

# Leaf 1.
MONITOR, VMX, TSC_DEADLINE, HYPERVISOR = 1 << 3, 1 << 5, 1 << 24, 1 << 31  # ECX
X2APIC = 1 << 21
HTT = 1 << 28  # EDX: the number of processors in EBX is meant
# Leaf 0x80000001, ECX: more than one core; SVM; the performance counters that leaf 0xa's removal does not remove.
CMP_LEGACY, SVM, PERFCTR_CORE, PERFCTR_NB, PERFCTR_LLC = 1 << 1, 1 << 2, 1 << 23, 1 << 24, 1 << 28

# Not passed on: 0xa and 0x80000022 performance counters (no interrupt of theirs would be saved or moved); 0xb is
# written anew; 0x1f and 0x80000026 newer topologies, which the guest would believe first; 0x12, 0x14 SGX and
# processor trace; 0x8000001f memory encryption.
DROPPED = {0xA, 0xB, 0x1F, 0x12, 0x14, 0x80000022, 0x80000026, 0x8000001F}


def bits(count: int) -> int:
    """How many bits of an APIC id tell ``count`` processors apart."""
    return (count - 1).bit_length()


def leaves(supported: Iterable[Leaf], number: int, vcpus: int) -> list[tuple[int, ...]]:
    """The table for vCPU ``number`` of ``vcpus``."""
    found: list[tuple[int, ...]] = []
    for leaf in supported:
        function = leaf[0]
        if function in DROPPED:
            continue
        change = CHANGES.get(function)
        found.append(change(leaf, number, vcpus) if change else leaf)
    found.extend(topology(number, vcpus))
    return found


def topology(number: int, vcpus: int) -> Iterator[Leaf]:
    """Leaf 0xb: threads (one), cores, end; EDX is the x2APIC id everywhere."""
    yield 0xB, 0, SIGNIFICANT_INDEX, 0, 1, 1 << 8, number
    yield 0xB, 1, SIGNIFICANT_INDEX, bits(vcpus), vcpus, 2 << 8 | 1, number
    yield 0xB, 2, SIGNIFICANT_INDEX, 0, 0, 2, number


def features(leaf: Leaf, number: int, vcpus: int) -> Leaf:
    """EBX: APIC id, how many APIC ids a package has, the CLFLUSH size (kept)."""
    function, index, flags, eax, ebx, ecx, edx = leaf
    ebx = number << 24 | min(1 << bits(vcpus), 255) << 16 | ebx & 0xFFFF
    ecx = ecx & ~(MONITOR | VMX) | TSC_DEADLINE | HYPERVISOR | X2APIC
    edx = edx | HTT if vcpus > 1 else edx & ~HTT
    return function, index, flags, eax, ebx, ecx, edx


def caches(leaf: Leaf, number: int, vcpus: int) -> Leaf:
    """Leaf 4, Intel.  EAX 31-26: cores of the package; 25-14: how many processors share this cache (both less one)."""
    function, index, flags, eax, ebx, ecx, edx = leaf
    if eax & 0x1F:  # type 0 ends the list
        own = eax >> 5 & 7 < 3  # levels 1 and 2 are a core's own
        eax = eax & 0x3FFF | (0 if own else vcpus - 1) << 14 | min((1 << bits(vcpus)) - 1, 63) << 26
    return function, index, flags, eax, ebx, ecx, edx


def amd_features(leaf: Leaf, number: int, vcpus: int) -> Leaf:
    function, index, flags, eax, ebx, ecx, edx = leaf
    ecx &= ~(SVM | PERFCTR_CORE | PERFCTR_NB | PERFCTR_LLC | CMP_LEGACY)
    return function, index, flags, eax, ebx, ecx | (CMP_LEGACY if vcpus > 1 else 0), edx


def amd_sizes(leaf: Leaf, number: int, vcpus: int) -> Leaf:
    """Leaf 0x80000008.  ECX 15-12: bits of the core's id; 7-0: cores of the package less one (reserved on Intel: 0)."""
    function, index, flags, eax, ebx, _, edx = leaf
    return function, index, flags, eax, ebx, bits(vcpus) << 12 | vcpus - 1, edx


def amd_caches(leaf: Leaf, number: int, vcpus: int) -> Leaf:
    """Leaf 0x8000001d, as Intel's 4, without the package's cores."""
    function, index, flags, eax, ebx, ecx, edx = leaf
    if eax & 0x1F:
        own = eax >> 5 & 7 < 3
        eax = eax & 0x3FFF | (0 if own else vcpus - 1) << 14
    return function, index, flags, eax, ebx, ecx, edx


def amd_ids(leaf: Leaf, number: int, vcpus: int) -> Leaf:
    """Leaf 0x8000001e: APIC id; core id and threads of the core less one; one node."""
    function, index, flags, *_ = leaf
    return function, index, flags, number, number & 0xFF, 0, 0


CHANGES: dict[int, Callable[[Leaf, int, int], Leaf]] = {
    1: features,
    4: caches,
    0x80000001: amd_features,
    0x80000008: amd_sizes,
    0x8000001D: amd_caches,
    0x8000001E: amd_ids,
}
