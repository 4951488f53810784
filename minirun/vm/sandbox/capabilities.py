"""What execve(2) does to capabilities (capabilities(7)), for a program that was loaded and not executed.

Root's stay as they are: the host's kernel would give back what the bounding set has, which nobody else can.
"""

from __future__ import annotations

import posix

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.numbers import NUMBER

VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
KEEPCAPS, AMBIENT, IS_SET = 8, 47, 1
call = lib.host_call


def execve() -> None:
    call(NUMBER["prctl"], KEEPCAPS, 0, 0, 0, 0, 0)
    if posix.geteuid() == 0:
        return
    head, data = ffi.new("uint32_t[2]", (VERSION, 0)), ffi.new("uint32_t[6]")
    at = [int(ffi.cast("uintptr_t", room)) for room in (head, data)]
    if call(NUMBER["capget"], *at, 0, 0, 0, 0) < 0 or not data[1] | data[4]:
        return
    permitted = data[1] | data[4] << 32
    kept = sum(
        1 << number
        for number in range(permitted.bit_length())
        if permitted >> number & 1 and call(NUMBER["prctl"], AMBIENT, IS_SET, number, 0, 0, 0) == 1
    )
    for index, word in ((0, kept & 0xFFFFFFFF), (3, kept >> 32)):  # effective and permitted
        data[index] = data[index + 1] = word
    call(NUMBER["capset"], *at, 0, 0, 0, 0)
