"""socket(2), accept(2), sendmsg(2), recvmsg(2), socketpair(2): in the container's own network namespace."""

from __future__ import annotations

from _struct import pack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, served
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EINVAL, EAFNOSUPPORT, EOPNOTSUPP = 22, 97, 95
CLOEXEC, KINDS = 0o2000000, 0xF
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
call = lib.host_call


@served
def socket(thread: Thread, family: int, kind: int, protocol: int) -> int:
    if int32(family) not in FAMILIES:
        return -EAFNOSUPPORT
    host = call(NUMBER["socket"], int32(family), int32(kind) | CLOEXEC, int32(protocol), 0, 0, 0)
    return thread.process.files.add(host, closing=bool(kind & CLOEXEC))


@served
def socketpair(thread: Thread, family: int, kind: int, protocol: int, ends: int) -> int:
    if int32(family) not in FAMILIES:
        return -EAFNOSUPPORT
    room = ffi.new("int[2]")
    at = int(ffi.cast("uintptr_t", room))
    done = int(call(NUMBER["socketpair"], int32(family), int32(kind) | CLOEXEC, int32(protocol), at, 0, 0))
    if done == 0:
        files = thread.process.files
        numbers = [files.add(int(host), closing=bool(kind & CLOEXEC)) for host in room]
        thread.memory.write(ends, pack("<ii", *numbers))
    return done


@served
def accept4(thread: Thread, fd: int, address: int, length: int, flags: int) -> int:
    files, memory = thread.process.files, thread.memory
    at = [memory.host(value) if value else 0 for value in (address, length)]
    host = thread.call_host(NUMBER["accept4"], files.host(int32(fd)), *at, int32(flags) | CLOEXEC, 0, 0)
    return files.add(host, closing=bool(flags & CLOEXEC))


@served
def accept(thread: Thread, fd: int, address: int, length: int) -> int:
    return accept4(thread, fd, address, length, 0)  # type: ignore[no-any-return]
