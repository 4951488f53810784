"""prlimit(2), getrlimit(2), setrlimit(2): what would limit us on the host is kept here, for the program alone."""

from __future__ import annotations

import posix
from _struct import pack, unpack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, served
from minirun.vm.sandbox.descriptors import MOST
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EINVAL, EPERM = 22, 1
call = lib.host_call


@served
def prlimit64(thread: Thread, pid: int, resource: int, new: int, old: int) -> int:
    if int32(pid) not in (0, posix.getpid()):
        return -EPERM
    memory = thread.memory
    limits = thread.process.limits
    current = limits.get(int(resource))
    if current is None:
        room = ffi.new("uint64_t[2]")
        done = call(NUMBER["prlimit64"], 0, int(resource), 0, int(ffi.cast("uintptr_t", room)), 0, 0)
        if done < 0:
            return int(done)
        current = (int(room[0]), int(room[1]))
    if old:
        memory.write(old, pack("<QQ", *current))
    if new:
        wanted = unpack("<QQ", memory.read(new, 16))
        if wanted[0] > wanted[1]:
            return -EINVAL
        if resource in OURS:
            if wanted[1] > current[1] and not may_raise():
                return -EPERM
            limits[int(resource)] = wanted
            if resource == RLIMIT_NOFILE:
                thread.process.files.most = min(wanted[0], MOST)
            return 0
        return int(call(NUMBER["prlimit64"], 0, int(resource), thread.room(pack("<QQ", *wanted)), 0, 0, 0))
    return 0


def may_raise() -> bool:
    """CAP_SYS_RESOURCE (capget(2))."""
    head, data = ffi.new("uint32_t[2]", (0x20080522, 0)), ffi.new("uint32_t[6]")
    done = call(NUMBER["capget"], int(ffi.cast("uintptr_t", head)), int(ffi.cast("uintptr_t", data)), 0, 0, 0, 0)
    return done == 0 and bool(data[0] >> 24 & 1)


RLIMIT_NOFILE = 7
OURS = (2, 3, 7, 8, 9)  # DATA, STACK, NOFILE, MEMLOCK, AS: of the host's process they would limit us, not the program


@served
def getrlimit(thread: Thread, resource: int, limit: int) -> int:
    return prlimit64(thread, 0, resource, 0, limit)  # type: ignore[no-any-return]


@served
def setrlimit(thread: Thread, resource: int, limit: int) -> int:
    return prlimit64(thread, 0, resource, limit, 0)  # type: ignore[no-any-return]
