"""socket(2), accept(2), sendmsg(2), recvmsg(2), socketpair(2): in the container's own network namespace."""

from __future__ import annotations

from _struct import pack

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, served
from minirun.vm.sandbox.numbers import NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.thread import Thread

EINVAL, EAFNOSUPPORT, EOPNOTSUPP, ENOPROTOOPT = 22, 97, 95, 92
CLOEXEC, KINDS = 0o2000000, 0xF
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
call = lib.host_call

# setsockopt(2), getsockopt(2): level -> options.  What is not here may have an address in its structure, which would be
# one of ours for the host (filters of packets, tables of netfilter, TCP_ZEROCOPY_RECEIVE), or it is a descriptor of the
# host's.
OPTIONS = {
    1: frozenset(range(1, 77)) - {26, 50, 51, 52, 60},  # SOL_SOCKET: not SO_ATTACH_*, SO_ZEROCOPY, SO_PEERPIDFD
    0: frozenset(range(1, 64)),  # IPPROTO_IP
    41: frozenset((*range(1, 64), 66, 67, 70, 72, 73, 74, 75, 76, 78)),  # IPPROTO_IPV6
    6: frozenset((*range(1, 19), 23, 25, 26, 30, 36, 37)),  # IPPROTO_TCP
    17: frozenset((1, 103, 104)),  # IPPROTO_UDP: CORK, SEGMENT, GRO
    58: frozenset((1,)),  # IPPROTO_ICMPV6: ICMP6_FILTER
    255: frozenset((1,)),  # SOL_RAW: ICMP_FILTER
    270: frozenset(range(1, 16)),  # SOL_NETLINK
}


@served
def setsockopt(thread: Thread, fd: int, level: int, option: int, value: int, size: int) -> int:
    host = thread.process.files.host(int32(fd))
    if int32(option) not in OPTIONS.get(int32(level), ()):
        return -ENOPROTOOPT
    at = thread.memory.host(value) if value else 0
    return int(call(NUMBER["setsockopt"], host, int32(level), int32(option), at, int32(size), 0))


@served
def getsockopt(thread: Thread, fd: int, level: int, option: int, value: int, size: int) -> int:
    host = thread.process.files.host(int32(fd))
    if int32(option) not in OPTIONS.get(int32(level), ()):
        return -ENOPROTOOPT
    at = [thread.memory.host(where) if where else 0 for where in (value, size)]
    return int(call(NUMBER["getsockopt"], host, int32(level), int32(option), *at, 0))


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
