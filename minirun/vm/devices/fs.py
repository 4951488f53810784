"""virtio-fs (virtio 1.2, section 5.11): directories of the host in the guest, by FUSE requests on virtqueues.

The share's root is a directory that does not exist anywhere; its entries are the *exports*: the bundle's rootfs, the
sources of bind mounts.  The guest mounts it once, and takes from it what it needs.

    FileSystem("minirun", [Export(name="root", fd=rootfs), Export(name="0", fd=data, read_only=True)])

Read on in ``fs_wire`` (the protocol's numbers), ``fs_nodes`` (what a guest holds), ``fs_names``, ``fs_files``,
``fs_directories``, ``fs_attributes`` (what it can do), native/vm/share.c (how the host is asked).

A thread of its own waits for the queues' kicks, so a slow disk holds up neither the console nor a vCPU; ``lock`` keeps
it and ``reset`` apart.  Whatever the guest sends, there is a reply, or an empty chain if it left no room for one.

To be made in the VMM's own process while /proc can still be reached: ``/proc/self/fd`` is kept open (O_PATH).  Of
capabilities it uses CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD and CAP_SETFCAP, and does with less.
"""

from __future__ import annotations

import posix
import select
from _thread import allocate_lock, start_new_thread
from errno import EINVAL, EIO, ENOSYS, EPROTO, ERANGE

from minirun.linux.mountfd import open_tree
from minirun.vm.devices import fs_attributes, fs_directories, fs_files, fs_names, fs_wire as wire
from minirun.vm.devices.fs_nodes import Export, Nodes, failed
from minirun.vm.devices.fs_request import Request
from minirun.vm.devices.mmio import drain, eventfd
from minirun.vm.devices.virtio import ONE, VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from struct import error as malformed

    from minirun.vm.devices.virtio import Chain, Queue
else:
    from _struct import error as malformed

__all__ = ["Export", "FileSystem"]

HIPRIO, REQUESTS = 0, 1
SILENT = frozenset((wire.FORGET, wire.BATCH_FORGET, wire.INTERRUPT))  # no reply
RESERVE = 1280  # descriptors: the VMM's other ones, and what one request may open above the limit
FDS_MOST = 8192  # each keeps an inode in the host's memory; a node without one is opened again in 10 us
TAG = 36


class FileSystem(VirtioDevice):
    """``most_fds``: how many descriptors the guest's nodes and files may hold; from RLIMIT_NOFILE if not given."""

    ID = 26
    QUEUES = (128, 1024)
    WORKER = True

    def __init__(self, tag: str, exports: list[Export], most_fds: int | None = None) -> None:
        if len(tag.encode()) > TAG:
            raise ValueError(f"the tag {tag!r} is longer than {TAG} bytes")
        self.tag = tag.encode()
        if most_fds is None:
            limit = posix.sysconf("SC_OPEN_MAX")
            most_fds = min(limit - min(RESERVE, limit // 2), FDS_MOST)
        self.nodes = Nodes(exports, own_descriptors(), most_fds)
        self.agreed = False  # INIT has been answered
        self.defect: Exception | None = None  # the last error that was our own fault
        self.lock = allocate_lock()
        self.ended = allocate_lock()  # held by the thread while it lives
        self.stopping = eventfd()
        self.running = False  # the thread is
        self.alive = False  # the driver is: between activate and reset the queues do not change under us
        self.operations: dict[int, Callable[[Nodes, Request], bytes]] = {
            **fs_names.OPERATIONS, **fs_files.OPERATIONS, **fs_directories.OPERATIONS, **fs_attributes.OPERATIONS,
            wire.INIT: self.init, wire.DESTROY: self.destroy,
        }  # fmt: skip

    def config(self) -> bytes:
        return self.tag.ljust(TAG, b"\0") + (1).to_bytes(4, "little")

    # -- its life

    def activate(self) -> None:
        with self.lock:
            self.alive = True
        if self.WORKER and not self.running:
            self.running = True
            self.ended.acquire()
            start_new_thread(self.serve, ())

    def reset(self) -> None:
        with self.lock:
            self.alive = False
            self.forget_everything()

    def close(self) -> None:
        if self.running:
            posix.write(self.stopping, ONE)
            with self.ended:
                self.running = False
        self.forget_everything()
        posix.close(self.nodes.proc)
        posix.close(self.stopping)

    def forget_everything(self) -> None:
        self.nodes.clear()
        self.agreed = False

    def serve(self) -> None:
        """The thread: until ``close``."""
        poll = select.epoll(flags=select.EPOLL_CLOEXEC)
        by_fd = {queue.kick_fd: queue for queue in self.queues}
        for fd in (self.stopping, *by_fd):
            poll.register(fd, select.EPOLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self.stopping in ready:
                break
            for fd in ready:
                drain(fd)
                self.work(by_fd[fd])
        poll.close()
        self.ended.release()

    def kick(self, index: int) -> None:
        """By hand, in tests: there is no thread then."""
        self.work(self.queues[index])

    def work(self, queue: Queue) -> None:
        for _ in range(queue.size):
            with self.lock:
                chain = queue.pop() if self.alive else None
                if chain is None:
                    return
                self.answer(chain)
                queue.notify()
        queue.kick()  # one round at a time: the other queue, or the end, may be waiting

    # -- one request

    def answer(self, chain: Chain) -> None:
        """Nothing is raised, whatever it holds."""
        length = chain.unread
        if length < wire.IN_HEADER.size:
            chain.push(0)
            return
        request = Request(chain)
        if request.opcode in SILENT:
            self.forget(request)
            chain.push(0)
            return
        if chain.writable < wire.OUT_HEADER.size:
            chain.push(0)
            return
        error, result, behind = 0, b"", 0
        try:
            if request.length != length:
                raise failed(EINVAL)
            if request.opcode == wire.READ:
                behind = fs_files.read(self.nodes, request)
            else:
                result = self.carry_out(request)
        except OSError as problem:
            error = problem.errno or EIO
        except (malformed, OverflowError, ValueError):
            error = EINVAL
        except Exception as problem:  # ours; the guest gets an error instead of waiting for ever
            self.defect, error = problem, EIO
        self.nodes.trim()
        reply(chain, request.unique, error, result, behind)

    def carry_out(self, request: Request) -> bytes:
        opcode = request.opcode
        operation = self.operations.get(opcode)
        if operation is None:
            # FLUSH, too: then the guest does not ask at every close; ACCESS, locks, ioctl, poll, bmap are its own
            raise failed(ENOSYS)
        if not self.agreed and opcode != wire.INIT:
            raise failed(EIO)
        result = operation(self.nodes, request)
        if len(result) > request.chain.writable - wire.OUT_HEADER.size:
            raise failed(ERANGE)
        return result

    def forget(self, request: Request) -> None:
        body = request.body
        try:
            if request.opcode == wire.FORGET:
                self.nodes.forget(request.node, *wire.FORGET_IN.unpack_from(body))
            elif request.opcode == wire.BATCH_FORGET:
                count, _ = wire.BATCH_FORGET_IN.unpack_from(body)
                at, step = wire.BATCH_FORGET_IN.size, wire.FORGET_ONE.size
                for place in range(at, min(at + count * step, len(body) - step + 1), step):
                    self.nodes.forget(*wire.FORGET_ONE.unpack_from(body, place))
        except malformed:
            pass  # shorter than it must be: nobody waits for an answer

    def init(self, nodes: Nodes, request: Request) -> bytes:
        """What both can; a guest of another major version gets ours, and asks again."""
        major, minor, readahead, flags = wire.INIT_IN.unpack_from(request.body)
        if major < wire.MAJOR or (major == wire.MAJOR and minor < wire.OLDEST_MINOR):
            raise failed(EPROTO)
        self.forget_everything()
        self.agreed = major == wire.MAJOR
        return wire.INIT_OUT.pack(
            wire.MAJOR, min(minor, wire.MINOR) if self.agreed else wire.MINOR, readahead, flags & wire.WANTED,
            64, 48, wire.MAX_WRITE, 1, wire.MAX_WRITE // wire.PAGE, 0, 0,
        )  # fmt: skip

    def destroy(self, nodes: Nodes, request: Request) -> bytes:
        self.forget_everything()
        return b""


def own_descriptors() -> int:
    """/proc/self/fd, as a mount of its own where that can be: so that no ``..`` leads to other processes."""
    fd = posix.open("/proc/self/fd", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        alone = open_tree(fd, 0)
    except OSError:  # no right to: but then none over other users' processes either
        return fd
    posix.close(fd)
    return alone


def reply(chain: Chain, unique: int, error: int, result: bytes, behind: int) -> None:
    """The header and what it speaks of; ``behind``: so many bytes of data have been written behind it already."""
    size = wire.OUT_HEADER.size + (0 if error else len(result) + behind)
    chain.write_at = 0
    chain.write(wire.OUT_HEADER.pack(size, -error, unique) + result)
    chain.push(size)
