"""PURE parts of a sandbox: how a trace spells things, what vfork's child has changed, names and numbers of calls."""

from __future__ import annotations

import ctypes
import os

from minirun.vm.sandbox import trace_words as words
from minirun.vm.sandbox.numbers import NAMES, NUMBER


def test_flags_are_named_and_what_is_left_is_hexadecimal() -> None:
    assert words.opened(0o2001101) == "O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC"
    assert words.opened(0) == "O_RDONLY"
    assert words.flags(3, words.PROTECTION) == "PROT_READ|PROT_WRITE"
    assert words.flags(0x80000001, words.MAP) == "MAP_SHARED|0x80000000"
    assert words.flags(0, words.PROTECTION, "PROT_NONE") == "PROT_NONE"


def test_strings_are_quoted_as_in_c() -> None:
    assert words.quoted(b'a "b"\\\n\0\xff', 32) == '"a \\"b\\"\\\\\\n\\0\\377"'
    assert words.quoted(b"abcdef", 3) == '"abc"...'


def test_shapes_are_of_calls_that_exist() -> None:
    assert not [name for name in words.SHAPES if name not in NUMBER]
    assert all(len(shape) <= 6 for shape in words.SHAPES.values())


def test_numbers_are_the_kernel_s() -> None:
    assert len(NAMES) == len(NUMBER)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(NUMBER["getpid"]) == os.getpid() and libc.syscall(NUMBER["getppid"]) == os.getppid()
    assert (NUMBER["statx"], NUMBER["rseq"], NUMBER["pidfd_send_signal"], NUMBER["openat2"]) == (332, 334, 424, 437)
