"""The program's memory: a reservation of the VMM's (``first``), of which mmap(2) and its sisters make pieces usable.

The byte at the program's address A is at base + A here (layout.py), with the program's own protection: so the host's
kernel refuses what the program may not touch, with EFAULT, when an address of the program's is handed on to it.
"""

from __future__ import annotations

from _thread import RLock

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox import layout
from minirun.vm.sandbox.layout import PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.linux.kvm_vm import Vm
    from minirun.vm.sandbox.vfork import Guard

READ, WRITE, EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 1, 2, 0x10, 0x20, 0x4000
EFAULT, ENOMEM, EINVAL = 14, 12, 22
SYS_MMAP, SYS_MPROTECT, SYS_MUNMAP, SYS_MREMAP = 9, 10, 11, 25
RLIMIT_DATA, RLIMIT_AS, FOREVER = 2, 9, (1 << 64) - 1
call = lib.host_call


class Fault(Exception):
    """An address that is not the program's: EFAULT."""


def pages(size: int) -> int:
    return (size + PAGE - 1) & -PAGE


class Memory:
    """``areas``: sorted [start, end, protection] of what is mapped."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.space: Any = ffi.new("struct space *")
        self.space.base = ffi.cast("uint8_t *", self.base)
        self.space.arena, self.space.arena_size = layout.TABLES, layout.TABLES_SIZE
        self.vm: Vm | None = None
        self.slots: set[int] = set()
        self.guard: Guard | None = None
        self.epoch = 0  # of the tables: a processor that has seen an older one may know old translations
        self.lock = RLock()  # whoever changes what is mapped has it: several threads may want to at once
        self.limits: dict[int, tuple[int, int]] = {}  # prlimit(2): the program's own
        self.begin()

    def begin(self) -> None:
        """Nothing is mapped but the system's part, and no table says where that is."""
        lib.space_begin(self.space)
        self.guard = None
        self.areas: list[list[int]] = []
        self.brk_start = self.brk_end = 0
        self.next = layout.MAPPINGS
        self.epoch += 1

    def clear(self) -> bool:
        """Take away what is mapped; False if nothing was.

        Area by area: in one call for all of the reservation KVM would look at each page of each slot.
        """
        for start, end, _ in self.areas:
            self.hold(start, end - start)
        if not self.areas:
            return False
        self.begin()
        return True

    def hold(self, start: int, size: int) -> int:
        """Nothing is there, for the program or the host; it stays ours."""
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
        done: int = call(SYS_MMAP, self.base + start, size, 0, flags, -1, 0) if size > 0 else 0
        return done

    # -- the VM's view ----------------------------------------------------------------------------------------------

    def begun(self, vm: Vm) -> None:
        """This VM has the first and the last slot (first.py), and nothing is mapped."""
        self.vm, self.slots = vm, {0, layout.SYSTEM // layout.SLOT}

    def attach(self, vm: Vm) -> None:
        """Everything that is mapped is this VM's memory from now on."""
        self.vm, self.slots = vm, set()
        self.give(layout.SYSTEM, layout.SYSTEM_SIZE)
        for start, end, _ in self.areas:
            self.give(start, end - start)

    def give(self, start: int, size: int) -> None:
        if self.vm is None:
            return
        for slot in range(start // layout.SLOT, (start + size - 1) // layout.SLOT + 1):
            if slot not in self.slots:
                self.slots.add(slot)
                at = slot * layout.SLOT
                self.vm.set_user_memory_region(slot, at, layout.SLOT, self.base + at)

    # -- mmap(2), mprotect(2), munmap(2) ----------------------------------------------------------------------------

    def map(self, start: int, size: int, protection: int, flags: int, fd: int = -1, offset: int = 0) -> int:
        """At ``start`` exactly; 0 or -errno.  ``fd`` is the host's."""
        size = pages(size)
        if start < layout.LOWEST or size <= 0 or start + size > layout.LIMIT:
            return -ENOMEM
        host = protection | (READ if protection & EXEC else 0)
        if self.limits and self.beyond(start, size, protection, flags):
            return -ENOMEM
        done: int = call(SYS_MMAP, self.base + start, size, host & 3, flags | MAP_FIXED | MAP_NORESERVE, fd, offset)
        if done < 0:
            return done
        self.forget(start, start + size)
        self.areas.append([start, start + size, protection])
        self.areas.sort()
        self.give(start, size)
        return self.enter(start, size, protection)

    def beyond(self, start: int, size: int, protection: int, flags: int) -> bool:
        """Would this be more than RLIMIT_AS or RLIMIT_DATA have room for?"""
        end = start + size
        wanted = {RLIMIT_AS: size, RLIMIT_DATA: size if protection & WRITE and flags & MAP_PRIVATE else 0}
        for resource, more in wanted.items():
            most = self.limits.get(resource, (FOREVER, FOREVER))[0]
            if more == 0 or most == FOREVER:
                continue
            for area in self.areas:
                if resource == RLIMIT_AS or (area[2] & WRITE and area[1] != layout.STACK):
                    more += area[1] - area[0] - max(0, min(end, area[1]) - max(start, area[0]))
            if more > most:
                return True
        return False

    def enter(self, start: int, size: int, protection: int) -> int:
        self.epoch += 1
        bits = protection | READ if protection else 0
        return -ENOMEM if lib.space_map(self.space, start, size, bits) < 0 else 0

    def unmap(self, start: int, size: int) -> int:
        size = pages(size)
        if start % PAGE or size <= 0 or start < layout.LOWEST or start + size > layout.LIMIT:
            return -EINVAL
        done = self.hold(start, size)
        if done < 0:
            return done
        self.forget(start, start + size)
        return self.enter(start, size, 0)

    def protect(self, start: int, size: int, protection: int) -> int:
        size = pages(size)
        if start % PAGE or protection & ~7:
            return -EINVAL
        if size == 0:
            return 0
        end = start + size
        if not self.covered(start, end):
            return -ENOMEM
        host = protection | (READ if protection & EXEC else 0)
        done: int = call(SYS_MPROTECT, self.base + start, size, host & 3, 0, 0, 0)
        if done < 0:
            return done
        self.forget(start, end)
        self.areas.append([start, end, protection])
        self.areas.sort()
        return self.enter(start, size, protection)

    def forget(self, start: int, end: int) -> None:
        """[start, end) is in no area any more."""
        kept = []
        for area in self.areas:
            if area[1] <= start or area[0] >= end:
                kept.append(area)
                continue
            if area[0] < start:
                kept.append([area[0], start, area[2]])
            if area[1] > end:
                kept.append([end, area[1], area[2]])
        self.areas = kept

    def area(self, address: int) -> list[int] | None:
        return next((area for area in self.areas if area[0] <= address < area[1]), None)

    def taken(self, start: int, end: int) -> bool:
        """Is something mapped in [start, end)?"""
        return any(area[0] < end and area[1] > start for area in self.areas)

    def move(self, start: int, size: int, wanted: int, target: int, protection: int) -> int:
        """mremap(2): the pages at ``start`` are at ``target`` afterwards, and there are ``wanted`` bytes of them."""
        moved = target != start
        if moved and ((target < start + size and start < target + wanted) or self.unmap(target, wanted) < 0):
            return -EINVAL
        if self.limits and wanted > size and self.beyond(start, wanted - size, protection, MAP_PRIVATE):
            return -ENOMEM
        if not moved and wanted > size:  # the reservation goes, for mremap(2) to grow into
            call(SYS_MUNMAP, self.base + start + size, wanted - size, 0, 0, 0, 0)
        done: int = call(
            SYS_MREMAP, self.base + start, size, wanted, 3 if moved else 0, self.base + target if moved else 0, 0
        )
        if done < 0:
            self.hold(target if moved else start + size, wanted if moved else wanted - size)
            return done
        if moved:
            self.unmap(start, size)
        self.forget(target, target + wanted)
        self.areas.append([target, target + wanted, protection])
        self.areas.sort()
        self.give(target, wanted)
        return self.enter(target, wanted, protection) or target

    def covered(self, start: int, end: int) -> bool:
        for area in self.areas:
            if area[0] <= start < area[1]:
                start = area[1]
                if start >= end:
                    return True
        return False

    def find(self, size: int) -> int:
        """A free place for ``size`` bytes, from the top down; 0 if there is none."""
        size = pages(size)
        top = layout.MAPPINGS
        for start, end, _ in reversed(self.areas):
            if start >= layout.MAPPINGS:
                continue
            if top - end >= size:
                break
            top = min(top, start)
        return top - size if top - size > layout.HEAPS else 0

    # -- the program's bytes ----------------------------------------------------------------------------------------

    def host(self, address: int, size: int = 1) -> int:
        """The address for the host's kernel, which checks the rest.  Raises Fault."""
        if 0 < address <= layout.LIMIT - size and size >= 0:
            if self.guard is not None:
                self.guard.note(address)
                self.guard.note(address + size - 1)
            return self.base + address
        raise Fault(address)

    def read(self, address: int, size: int) -> bytes:
        """A copy, by process_vm_readv(2): what is not mapped is an error, not a signal.  Raises Fault."""
        if size == 0:
            return b""
        at = self.host(address, size)
        room = ffi.new("char[]", size)
        if lib.sandbox_copy(0, room, at, size) != size:
            raise Fault(address)
        return bytes(ffi.buffer(room, size))

    def write(self, address: int, data: bytes) -> None:
        size = len(data)
        if size and lib.sandbox_copy(1, ffi.from_buffer(data), self.host(address, size), size) != size:
            raise Fault(address)

    def string(self, address: int, most: int = 4096) -> bytes:
        """A C string.  Raises Fault; ENAMETOOLONG is the caller's to see by the length."""
        found = b""
        while len(found) < most:
            part = min(PAGE - address % PAGE, most - len(found))
            data = self.read(address, part)
            end = data.find(b"\0")
            if end >= 0:
                return found + data[:end]
            found += data
            address += part
        return found
