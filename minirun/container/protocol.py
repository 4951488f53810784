"""What is said over ``monitor.sock``, in SOCK_SEQPACKET records: one letter, then its data.

To the monitor                                  From it
    A letters   I am here and want these           O data   standard output (a terminal's all)
    I data      for standard input                 R data   standard error
    E           its end                            Y        the program runs
    W rows cols the terminal's size ("<HH")        w text   a warning of the start's
    S number    a signal for the program           F json   the start failed: the error, for ``unpack``
    T           no restart after this              K        understood (T)
    D           I leave, the program goes on       L        the log has grown
                                                   X code   it ended, and all is cleared up

Letters of A: o (output), e (errors), i (may give input), l (tell me when the log grows), p (I am patient: wait for
me when I do not read, for I am a pipe's end).  X comes to everybody.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.linux import unix
from minirun.spec.decode import decode, encode

CHUNK = 32768  # bytes of data in one record
LARGEST = CHUNK + 64
SOCKET = "monitor.sock"


def address(fd: int) -> str:
    """Through the directory's descriptor, because sockets allow 108 bytes only (unix(7))."""
    return f"/proc/self/fd/{fd}/{SOCKET}"


def connect(directory: str, letters: str) -> int:
    """To the monitor of the container in ``directory``.  Raises OSError: there is none."""
    fd = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        link = unix.connect(address(fd))
    finally:
        posix.close(fd)
    try:
        unix.send(link, b"A" + letters.encode())
    except OSError:
        posix.close(link)
        raise
    return link


def pack(error: MinirunError) -> bytes:
    """An error for F; what is too long for a record is cut."""
    told = {
        "message": error.message, "reason": error.reason, "pointer": error.pointer, "config": error.config,
        "step": error.step, "hint": error.hint, "errno_name": error.errno_name, "exit_code": error.exit_code,
        "problems": [list(pair) for pair in error.problems],
    }  # fmt: skip
    text = encode(told).encode("utf-8", "surrogateescape")
    if len(text) > CHUNK:
        text = encode(told | {"reason": error.reason[:1000], "problems": [], "hint": ""}).encode("utf-8", "replace")
    return b"F" + text


def unpack(data: bytes) -> MinirunError:
    told = decode(data, "what the monitor said")
    message = told.pop("message")
    told["problems"] = [(pointer, text) for pointer, text in told["problems"]]
    return MinirunError(message, **told)
