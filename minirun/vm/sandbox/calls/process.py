"""fork(2), clone(2), execve(2), exit(2), wait4(2)'s neighbours: what processes and threads do to themselves.

fork is the host's, around which a new VM is made; a thread is another vCPU of the same VM, run by a thread of ours.
"""

from __future__ import annotations

import posix
from _struct import pack, unpack
from _thread import start_new_thread

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.memory import Fault
from minirun.vm.sandbox.numbers import NUMBER
from minirun.vm.sandbox.thread import Elsewhere, Ended, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.sandbox.process import Process

EINVAL, ENOSYS, EPERM, EAGAIN, E2BIG, ENOENT, EBUSY = 22, 38, 1, 11, 7, 2, 16
VM, FS, FILES, SIGHAND, VFORK, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID, DETACHED, CHILD_SETTID = (
    0x100, 0x200, 0x400, 0x800, 0x4000, 0x10000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400000, 0x1000000,
)  # fmt: skip
OF_A_THREAD = VM | FS | FILES | SIGHAND | THREAD
MOST_THREADS = 64
SIGCHLD = 17
MOST_WORDS = 2 << 20  # bytes of arguments and environment
call = lib.host_call


@served
def clone(thread: Thread, flags: int, stack: int, parent_tid: int, child_tid: int, tls: int) -> int:
    if flags & OF_A_THREAD == OF_A_THREAD:
        return new_thread(thread, flags, stack, parent_tid, child_tid, tls)
    known = VM | VFORK | SETTLS | PARENT_SETTID | CHILD_CLEARTID | CHILD_SETTID | DETACHED | SYSVSEM | 0xFF
    if flags & ~known:
        return -EINVAL  # namespaces are config.json's to give
    return new_process(thread, flags, stack, parent_tid, child_tid, tls)


@served
def clone3(thread: Thread, arguments: int, size: int) -> int:
    if size < 64:
        return -EINVAL
    flags, _, child, parent, exit_signal, stack, stack_size, tls = unpack("<8Q", thread.memory.read(arguments, 64))
    if flags & 0x1000 or (size > 64 and any(thread.memory.read(arguments + 64, min(size - 64, 64)))):
        return -EINVAL  # CLONE_PIDFD, set_tid, cgroup
    return clone(thread, flags | exit_signal & 0xFF, stack + stack_size if stack else 0, parent, child, tls)  # type: ignore[no-any-return]


@served
def fork(thread: Thread) -> int:
    return new_process(thread, 17, 0, 0, 0, 0)


@served
def vfork(thread: Thread) -> int:
    return new_process(thread, VM | VFORK | 17, 0, 0, 0, 0)


def copy(process: Process) -> int:
    """fork(2).  What Python and glibc do beside the call is for programs with threads, and touches pages."""
    if process.files.shared:
        return posix.fork()
    pid: int = call(NUMBER["clone"], SIGCHLD, 0, 0, 0, 0, 0)
    if pid < 0:
        raise OSError(-pid, posix.strerror(-pid), "fork")
    return pid


def new_process(thread: Thread, flags: int, stack: int, parent_tid: int, child_tid: int, tls: int) -> int:
    """The parent of a vfork waits for the child's execve or end: a pipe's end closes with either."""
    process = thread.process
    if stack >> 64 or (flags & SETTLS and tls >> 47):
        return -EPERM
    processor = thread.processor
    processor.kept = processor.xsave()
    saved = processor.save()
    prepared = processor.prepared(saved, stack, tls if flags & SETTLS else 0)
    waiting = posix.pipe2(posix.O_CLOEXEC) if flags & VFORK else None
    try:
        with process.memory.lock:  # no other thread is in the midst of a change that the copy would have half of
            pid = copy(process)
    except OSError:
        for end in waiting or ():
            posix.close(end)
        raise
    if pid:
        if flags & PARENT_SETTID:
            thread.memory.write(parent_tid, pack("<i", pid))
        if waiting is not None:
            posix.close(waiting[1])
            posix.read(waiting[0], 1)
            posix.close(waiting[0])
        return pid
    if process.vfork_end >= 0:  # whoever waits for our parent does not wait for us
        posix.close(process.vfork_end)
        process.vfork_end = -1
    if waiting is not None:
        posix.close(waiting[0])
        process.vfork_end = waiting[1]
    child = process.again(thread, saved, prepared)
    if child is not thread:  # a copy of a thread that was not the first
        if stack:
            child.processor.regs.rsp = stack
        if flags & SETTLS:
            child.processor.sregs.fs.base = tls
        child.processor.regs.rax = 0
        child.processor.touch()
    child.clear_tid = child_tid if flags & CHILD_CLEARTID else 0
    if flags & CHILD_SETTID:
        thread.memory.write(child_tid, pack("<i", posix.getpid()))
    process.files.done()
    run(child)
    raise AssertionError("a child came back")


def new_thread(thread: Thread, flags: int, stack: int, parent_tid: int, child_tid: int, tls: int) -> int:
    process = thread.process
    if stack >> 64 or (flags & SETTLS and tls >> 47):
        return -EPERM
    if len(process.threads) >= MOST_THREADS or not stack:
        return -EAGAIN if stack else -EINVAL
    thread.processor.kept = thread.processor.xsave()
    saved = thread.processor.save()
    other = process.another(thread)
    told: list[int] = []
    ready = process.lock()

    def begin() -> None:
        """The thread's whole life."""
        told.append(call(NUMBER["gettid"], 0, 0, 0, 0, 0, 0))
        other.processor.restore(saved)
        regs = other.processor.regs
        regs.rsp, regs.rax = stack, 0
        if flags & SETTLS:
            other.processor.sregs.fs.base = tls
        other.set_mask(thread.mask)
        for wanted, where in ((PARENT_SETTID, parent_tid), (CHILD_SETTID, child_tid)):
            if flags & wanted:
                try:
                    other.memory.write(where, pack("<i", told[0]))
                except Fault:
                    pass
        other.clear_tid = child_tid if flags & CHILD_CLEARTID else 0
        ready.release()
        run(other)

    try:
        start_new_thread(begin, ())
    except RuntimeError:  # no room for one more: RLIMIT_NPROC, pids.max
        process.gone(other)
        return -EAGAIN
    ready.acquire()
    return told[0]


def run(thread: Thread) -> None:
    """Serve until it ends; the last thread's end is the process's."""
    process = thread.process
    try:
        thread.serve()
    except Ended as ended:
        if process.gone(thread):
            posix._exit(int(str(ended)) & 0xFF)
        if call(NUMBER["gettid"], 0, 0, 0, 0, 0, 0) == posix.getpid():
            stay(thread)
    except BaseException as error:  # a defect of ours must not become somebody else's
        process.last_words(thread, 0, f"{error.__class__.__name__}: {error}")
        posix._exit(125)


def stay(thread: Thread) -> None:
    """The first thread has ended, others have not; it is our main thread, whose end would be the process's."""
    thread.set_mask((1 << 64) - 1)
    lib.guest_is(ffi.NULL)
    while True:
        call(NUMBER["pause"], 0, 0, 0, 0, 0, 0)


@served
def exit_(thread: Thread, code: int) -> int:
    thread.end()
    raise Ended(int32(code))


@served
def exit_group(thread: Thread, code: int) -> int:
    thread.process.last_words(thread, 0)
    posix._exit(code & 0xFF)


def strings(thread: Thread, at: int) -> list[bytes]:
    """A vector of C strings, as execve(2) has them."""
    found: list[bytes] = []
    size = 0
    while at:
        (address,) = unpack("<Q", thread.memory.read(at, 8))
        if not address:
            break
        found.append(thread.memory.string(address, 131072))
        size += len(found[-1]) + 9
        if size > MOST_WORDS:
            raise OSError(E2BIG, "execve")
        at += 8
    return found


@served
def execve(thread: Thread, pathname: int, argv: int, envp: int) -> int:
    path = thread.memory.string(pathname)
    args, env = strings(thread, argv), strings(thread, envp)
    if not path:
        return -ENOENT
    if len(thread.process.threads) > 1:
        return -EBUSY  # the other threads' vCPUs would have to be taken away first: docs/sandbox.md
    thread.process.execute(thread, path, args or [b""], env)
    raise Elsewhere


@served
def kill(thread: Thread, pid: int, number: int) -> int:
    return int(call(NUMBER["kill"], int32(pid), int32(number), 0, 0, 0, 0))


@served
def tkill(thread: Thread, tid: int, number: int) -> int:
    return int(call(NUMBER["tkill"], int32(tid), int32(number), 0, 0, 0, 0))


@served
def tgkill(thread: Thread, pid: int, tid: int, number: int) -> int:
    return int(call(NUMBER["tgkill"], int32(pid), int32(tid), int32(number), 0, 0, 0))


@served
def set_tid_address(thread: Thread, address: int) -> int:
    thread.clear_tid = address
    return int(call(NUMBER["gettid"], 0, 0, 0, 0, 0, 0))


@served
def set_robust_list(thread: Thread, head: int, size: int) -> int:
    return 0 if size == 24 else -EINVAL  # the list is not walked when a thread dies with a lock in its hands


@served
def futex(thread: Thread, word: int, operation: int, value: int, timeout: int, other: int, last: int) -> int:
    memory = thread.memory
    command = operation & 0x7F
    at = memory.host(word, 4)
    # FUTEX_REQUEUE and its sisters have a number where the others have a timeout
    fourth = int64(timeout) if command in (3, 4, 5) else memory.host(timeout, 16) if timeout else 0
    second = memory.host(other, 4) if other and command in (3, 4, 5, 11, 12) else 0
    return int(call(NUMBER["futex"], at, int32(operation), value & 0xFFFFFFFF, fourth, second, last & 0xFFFFFFFF))


@served
def arch_prctl(thread: Thread, code: int, address: int) -> int:
    sregs = thread.processor.sregs
    if code in (0x1001, 0x1002):  # ARCH_SET_GS, ARCH_SET_FS
        if address >> 47:
            return -EPERM
        segment = sregs.gs if code == 0x1001 else sregs.fs
        segment.base = address
        thread.processor.touch()
        return 0
    if code in (0x1003, 0x1004):  # ARCH_GET_FS, ARCH_GET_GS
        thread.memory.write(address, pack("<Q", sregs.fs.base if code == 0x1003 else sregs.gs.base))
        return 0
    return -EINVAL


NAME_OPTIONS: dict[int, Callable[[int], int]] = {}
PLAIN_PRCTL = (
    1,
    2,
    3,
    8,
    23,
    24,
    38,
    39,
    36,
    37,
)  # death signal, dumpable (read), keepcaps, bounding set, no_new_privs


@served
def prctl(thread: Thread, option: int, a: int, b: int, c: int, d: int) -> int:
    if option in (15, 16):  # PR_SET_NAME, PR_GET_NAME
        return int(call(NUMBER["prctl"], option, thread.memory.host(a, 16), 0, 0, 0, 0))
    if option in (2, 37):
        return int(call(NUMBER["prctl"], option, thread.memory.host(a, 4), 0, 0, 0, 0))
    if option in PLAIN_PRCTL:
        return int(call(NUMBER["prctl"], option, int64(a), int64(b), int64(c), int64(d), 0))
    return -EINVAL
