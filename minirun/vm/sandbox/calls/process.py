"""fork(2), clone(2), execve(2), exit(2), wait4(2)'s neighbours: what processes and threads do to themselves.

fork is the host's, around which a new VM is made; a thread is another vCPU of the same VM, run by a thread of ours.
"""

from __future__ import annotations

import posix
from _struct import pack, unpack
from _thread import start_new_thread

from minirun.linux.kvm import ffi, lib
from minirun.vm.sandbox import vfork
from minirun.vm.sandbox.calls import int32, int64, served
from minirun.vm.sandbox.memory import Fault
from minirun.vm.sandbox.numbers import NUMBER
from minirun.vm.sandbox.thread import Ended, Reborn, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.vm.sandbox.process import Process

EINVAL, ENOSYS, EPERM, EAGAIN, E2BIG, ENOENT, EBUSY = 22, 38, 1, 11, 7, 2, 16
VM, FS, FILES, SIGHAND, VFORK, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID, DETACHED, CHILD_SETTID = (
    0x100, 0x200, 0x400, 0x800, 0x4000, 0x10000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400000, 0x1000000,
)  # fmt: skip
OF_A_THREAD = VM | FS | FILES | SIGHAND | THREAD
PIDFD = 0x1000
MOST_THREADS = 64
SIGCHLD = 17
MOST_WORDS = 2 << 20  # bytes of arguments and environment
call = lib.host_call


@served
def clone(thread: Thread, flags: int, stack: int, parent_tid: int, child_tid: int, tls: int) -> int:
    if flags & OF_A_THREAD == OF_A_THREAD:
        return new_thread(thread, flags, stack, parent_tid, child_tid, tls)
    known = VM | VFORK | PIDFD | SETTLS | PARENT_SETTID | CHILD_CLEARTID | CHILD_SETTID | DETACHED | SYSVSEM | 0xFF
    if flags & ~known:
        return -EINVAL  # namespaces are config.json's to give
    return new_process(thread, flags, stack, parent_tid, child_tid, tls)


@served
def clone3(thread: Thread, arguments: int, size: int) -> int:
    if size < 64:
        return -EINVAL
    flags, pidfd, child, parent, exit_signal, stack, stack_size, tls = unpack("<8Q", thread.memory.read(arguments, 64))
    if size > 64 and any(thread.memory.read(arguments + 64, min(size - 64, 64))):
        return -EINVAL  # set_tid, cgroup
    parent = pidfd if flags & PIDFD else parent
    return clone(thread, flags | exit_signal & 0xFF, stack + stack_size if stack else 0, parent, child, tls)  # type: ignore[no-any-return]


@served
def fork(thread: Thread) -> int:
    return new_process(thread, 17, 0, 0, 0, 0)


@served
def vfork_(thread: Thread) -> int:
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
    process.complete()
    processor = thread.processor
    saved = prepared = None
    if processor.index == 0:
        prepared = processor.prepared(stack, tls if flags & SETTLS else 0)
    else:
        processor.kept = processor.xsave()
        saved = processor.save()
    waiting = posix.pipe2(posix.O_CLOEXEC) if flags & VFORK else None
    try:
        with process.memory.lock:  # no other thread is in the midst of a change that the copy would have half of
            pid = copy(process)
    except OSError:
        for end in waiting or ():
            posix.close(end)
        raise
    if pid:
        if flags & PIDFD:
            number = process.files.add(call(NUMBER["pidfd_open"], pid, 0, 0, 0, 0, 0), closing=True)
            thread.memory.write(parent_tid, pack("<i", number))
        elif flags & PARENT_SETTID:
            thread.memory.write(parent_tid, pack("<i", pid))
        if waiting is not None:
            posix.close(waiting[1])
            vfork.hear(waiting[0], thread.memory)
            posix.close(waiting[0])
        return pid
    if waiting is not None:
        posix.close(waiting[0])
    end = waiting[1] if waiting is not None else -1
    return in_child(thread, (saved, prepared), flags, (stack, child_tid, tls), end)


def in_child(thread: Thread, kept: tuple[Any, Any], flags: int, given: tuple[int, int, int], end: int) -> int:
    """``end``: of the pipe at which a vfork's parent waits, or -1."""
    process = thread.process
    saved, prepared = kept
    stack, child_tid, tls = given
    if process.vfork_end >= 0:  # whoever waits for our parent does not wait for us
        posix.close(process.vfork_end)
    process.vfork_end = end
    child = process.again(thread, saved, prepared)
    if child is not thread:  # a copy of a thread that was not the first
        if stack:
            child.processor.regs.rsp = stack
        if flags & SETTLS:
            child.processor.sregs.fs.base = tls
        child.processor.regs.rax = 0
        child.processor.touch()
    child.robust = 0
    child.clear_tid = child_tid if flags & CHILD_CLEARTID else 0
    if flags & CHILD_SETTID:
        thread.memory.write(child_tid, pack("<i", posix.getpid()))
    process.files.done()
    if end >= 0 and flags & VM:
        vfork.Guard(thread.memory)
    if child is thread:
        child.tid = posix.getpid()
        return 0
    raise Reborn(child)


def new_thread(thread: Thread, flags: int, stack: int, parent_tid: int, child_tid: int, tls: int) -> int:
    process = thread.process
    if stack >> 64 or (flags & SETTLS and tls >> 47):
        return -EPERM
    if len(process.threads) >= MOST_THREADS or not stack:
        return -EAGAIN if stack else -EINVAL
    process.complete()
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
    while True:
        try:
            thread.serve()
        except Reborn as reborn:
            thread = reborn.thread
        except Ended as ended:
            if not ended.handed_over and process.gone(thread):
                process.release()
                process.last_words(thread, 0)
                process.exit(thread, int(str(ended)))
            if call(NUMBER["gettid"], 0, 0, 0, 0, 0, 0) != posix.getpid():
                return
            thread = stay(thread)
        except BaseException as error:  # a defect of ours must not become somebody else's
            process.last_words(thread, 0, f"{error.__class__.__name__}: {error}")
            posix._exit(125)


def stay(thread: Thread) -> Thread:
    """The first thread has ended, others have not; it is our main thread, whose end would be the process's.

    Unless one of the others executes a program: that goes on in the first thread, whose number is the process's.
    """
    process = thread.process
    thread.set_mask((1 << 64) - 1)
    lib.guest_is(ffi.NULL)
    process.wake.acquire()
    image, env, mask = process.heritage
    thread = process.alone(thread.processor)
    process.install(thread, image, env)
    thread.set_mask(mask)
    return thread


@served
def exit_(thread: Thread, code: int) -> int:
    thread.end()
    raise Ended(int32(code))


@served
def exit_group(thread: Thread, code: int) -> int:
    process = thread.process
    for each in list(process.threads):
        each.end()
    process.release()
    process.last_words(thread, 0)
    process.exit(thread, code)


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
    if size != 24:
        return -EINVAL
    thread.robust = head
    return 0


@served
def futex(thread: Thread, word: int, operation: int, value: int, timeout: int, other: int, last: int) -> int:
    memory = thread.memory
    command = operation & 0x7F
    at = memory.host(word, 4)
    # FUTEX_REQUEUE and its sisters have a number where the others have a timeout
    fourth = int64(timeout) if command in (3, 4, 5) else memory.host(timeout, 16) if timeout else 0
    second = memory.host(other, 4) if other and command in (3, 4, 5, 11, 12) else 0
    return int(
        thread.call_host(NUMBER["futex"], at, int32(operation), value & 0xFFFFFFFF, fourth, second, last & 0xFFFFFFFF)
    )


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
