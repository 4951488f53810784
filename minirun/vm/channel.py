"""The words between the VMM and the agent, which is ``minirun-init`` as the guest's first process.

One virtio-console port named ``minirun`` carries all of it: frames of a header {length of what follows, kind, stream}
and at most 64 KiB.  A program in the guest is a *task*, whose number the host chooses; its stream 4 * task + n is its
descriptor n (0, 1, 2), and n = 3 is the task itself.

    host -> guest   BYTES     what follows a SPAWN or ORDER: a plan, a document; as many as it takes
                    SPAWN     clone3(2), then minirun-init with the plan (``spawn``)
                    ORDER     GO or START (engine/protocol.py), with the document if there were BYTES
                    SIGNAL    a number
                    RESIZE    the terminal: rows, columns, and both in pixels
                    READ      a request's number, a path of the guest's: a file, or a directory's names
                    WRITE     a request's number, a path, NUL, what to write in one write(2)
                    POWEROFF  sync(2), and off
    guest -> host   HELLO     version, times of the start in ns, kernel release
                    SPAWNED   the task's pid in the guest
                    REPORT    init's sync message, as it is
                    CLOSED    its end of file: execve(2) has succeeded, or it died
                    EXITED    wait status, user and system time in µs, most memory in KiB; all output has been sent
                    ANSWER    a request's number, errno, what was read
                    LOG       a line for people
    both            DATA      of a stream
                    END       of a stream: no more will come (stdin, output), or nobody reads it any more
                    CREDIT    so many bytes more may be sent on the stream

Credit: a stream starts with WINDOW bytes, and whoever reads gives back what he has passed on.  So a slow reader
stops its own stream only, and neither side ever holds more than WINDOW bytes of it.

The agent's half is native/init/channel.h; tests/vm/test_channel.py compares the two.
"""

from __future__ import annotations

from _struct import Struct

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
MOST = 65536  # bytes of a frame's payload
WINDOW = 65536
HEADER = Struct("<IHH")

KINDS = {
    "BYTES": 1, "SPAWN": 2, "ORDER": 3, "SIGNAL": 4, "RESIZE": 5, "READ": 6, "WRITE": 7, "POWEROFF": 8,
    "HELLO": 16, "SPAWNED": 17, "REPORT": 18, "CLOSED": 19, "EXITED": 20, "ANSWER": 21, "LOG": 22,
    "DATA": 32, "END": 33, "CREDIT": 34,
}  # fmt: skip
BYTES, SPAWN, ORDER, SIGNAL, RESIZE, READ, WRITE, POWEROFF = 1, 2, 3, 4, 5, 6, 7, 8
HELLO, SPAWNED, REPORT, CLOSED, EXITED, ANSWER, LOG = 16, 17, 18, 19, 20, 21, 22
DATA, END, CREDIT = 32, 33, 34
WHOLE = 3  # the task itself, beside its descriptors 0, 1, 2

NUMBER = Struct("<I")
SPAWN_HEAD = Struct("<QIHHH3BB")  # clone flags, step, target task, cgroup writes, task writes, stdio, nothing
WRITE_HEAD = Struct("<I")  # step; two strings follow, each with its NUL
HELLO_HEAD = Struct("<I4xQQQQ")  # version; ns since boot: begun, modules loaded, share mounted, now
EXITED_BODY = Struct("<i4xQQQ")
ANSWER_HEAD = Struct("<Ii")
SIZE = Struct("<4H")

# What a descriptor of the program is (SAME: as stdout); a terminal takes their place if the plan makes one.
NULL, PIPE, SAME = 0, 1, 2
STEP_FILES = 256  # writes of a SPAWN, at most of each sort
TASKS = 32  # at the same time


class BadFrame(Exception):
    """The other end does not speak this protocol."""


class Write(Record):
    """A file to be written on behalf of step ``step``: below the cgroup, or below /proc/PID of the new process."""

    step: int
    file: str
    value: str


class Hello(Record):
    """What the agent says first.  The times are ns of the guest's monotonic clock; 0: it was not so."""

    version: int
    begun: int
    modules: int
    share: int
    now: int
    release: str


class Exited(Record):
    """A task's end: wait(2)'s status, µs of processor time, KiB of memory."""

    status: int
    user: int
    system: int
    memory: int

    def code(self) -> int:
        """The exit code, or 128 + n for signal n."""
        return 128 + (self.status & 0x7F) if self.status & 0x7F else self.status >> 8 & 0xFF


def stream_of(task: int, fd: int = WHOLE) -> int:
    return task << 2 | fd


def frame(kind: int, stream: int = 0, payload: bytes = b"") -> bytes:
    if len(payload) > MOST:
        raise ValueError(f"a frame of {len(payload)} bytes")
    return HEADER.pack(len(payload), kind, stream) + payload


def frames(kind: int, stream: int, payload: bytes) -> bytes:
    """As many as it takes."""
    return b"".join([frame(kind, stream, payload[at : at + MOST]) for at in range(0, len(payload), MOST)])


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"


def spawn(
    task: int, *, flags: int, step: int, target: int = 0, stdio: tuple[int, int, int] = (NULL, NULL, NULL),
    cgroup: str = "", cgroup_writes: list[Write] | None = None, task_writes: list[Write] | None = None,
) -> bytes:  # fmt: skip
    """The frame; the plan's BYTES go before it.  ``cgroup`` is a path below /sys/fs/cgroup, made if it is not there."""
    first, second = cgroup_writes or [], task_writes or []
    if len(first) > STEP_FILES or len(second) > STEP_FILES:
        raise ValueError("too many files to write")
    head = SPAWN_HEAD.pack(flags, step, target, len(first), len(second), *stdio, 0)
    writes = [WRITE_HEAD.pack(each.step) + encode(each.file) + encode(each.value) for each in first + second]
    return frame(SPAWN, stream_of(task), head + encode(cgroup) + b"".join(writes))


def decode_hello(payload: bytes) -> Hello:
    """Raises BadFrame."""
    version, begun, modules, share, now = unpack(HELLO_HEAD, payload)
    release = payload[HELLO_HEAD.size :][:64].decode("ascii", "replace")
    return Hello(version=version, begun=begun, modules=modules, share=share, now=now, release=release)


def decode_exited(payload: bytes) -> Exited:
    """Raises BadFrame."""
    status, user, system, memory = unpack(EXITED_BODY, payload)
    return Exited(status=status, user=user, system=system, memory=memory)


def decode_answer(payload: bytes) -> tuple[int, int, bytes]:
    """(request, errno, data).  Raises BadFrame."""
    request, number = unpack(ANSWER_HEAD, payload)
    return request, number, payload[ANSWER_HEAD.size :]


def unpack(layout: Struct, payload: bytes) -> tuple[int, ...]:
    """The head of a payload.  Raises BadFrame if it is too short."""
    if len(payload) < layout.size:
        raise BadFrame(f"{len(payload)} bytes where {layout.size} are wanted")
    return layout.unpack_from(payload)


class Frames:
    """Bytes in, frames out: whatever pieces they come in."""

    def __init__(self) -> None:
        self.held = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[int, int, bytes]]:
        """(kind, stream, payload) of each that is whole.  Raises BadFrame, after which nothing is to be fed."""
        held = self.held
        held += data
        at = 0
        try:
            while len(held) - at >= HEADER.size:
                length, kind, stream = HEADER.unpack_from(held, at)
                if length > MOST:
                    raise BadFrame(f"a frame of {length} bytes")
                end = at + HEADER.size + length
                if len(held) < end:
                    return
                payload = bytes(held[at + HEADER.size : end])
                at = end
                yield kind, stream, payload
        finally:
            del held[:at]
