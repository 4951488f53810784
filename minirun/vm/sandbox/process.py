"""A process of the program's is a process of the host's: this one.

Its memory, its file table, its signals; user, umask, limits, working directory, group and session are the host
process's own.  fork(2) is the host's, and a new VM around the copied memory; an end by a signal is the host's.
"""

from __future__ import annotations

import posix
from _thread import LockType, allocate_lock

from minirun.linux.kvm import Kvm, ffi, lib
from minirun.vm.sandbox import capabilities, load, signals
from minirun.vm.sandbox.calls import everything
from minirun.vm.sandbox.descriptors import Files
from minirun.vm.sandbox.first import First
from minirun.vm.sandbox.layout import THREADS
from minirun.vm.sandbox.memory import Memory
from minirun.vm.sandbox.numbers import NUMBER
from minirun.vm.sandbox.processor import Processor, Saved
from minirun.vm.sandbox.signals import Actions
from minirun.vm.sandbox.thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from minirun.vm.sandbox.trace import Trace

PROC_SUPER_MAGIC = 0x9FA0
EACCES, EAGAIN = 13, 11
call = lib.host_call


class Process:
    """``proc``: O_PATH of a procfs; ``exe``: what /proc/self/exe leads to, for the program."""

    def __init__(self, kvm: Kvm, proc: int, files: Files, first: First) -> None:
        self.first = first
        self.kvm = kvm
        self.proc = proc
        self.files = files
        self.trace: Trace | None = None
        self.memory = Memory(self.first.native.base)
        self.actions = Actions()
        self.lacking: dict[str, int] = {}
        self.limits: dict[int, tuple[int, int]] = {}
        self.filter = b""  # of /linux/seccomp: struct sock_filter, 8 bytes each
        self.vfork_end = -1
        self.whole = False
        self.awaited = False  # by minirun, which will be gone soon after us
        self.timers: set[int] = set()  # timer_create(2)
        self.dumpable = True
        self.wake = self.lock()  # for the first thread, when it has ended before the others
        self.heritage: tuple[load.Image, list[bytes], int]  # what it finds then
        self.exe = b""
        self.args: list[bytes] = []
        self.env: list[bytes] = []
        self.listed: dict[int, tuple[str, int]] = {}  # calls/proc.py: open directories that are listed there
        self.threads: list[Thread] = []
        self.idle: list[Processor] = []
        self.making = allocate_lock()  # for whoever makes a thread
        self.memory.limits = self.limits

    def complete(self) -> None:
        """Before there is a second thread or process: every call's module is there, once and for all of them."""
        if not self.whole:
            everything()
            self.whole = True

    def begin(self) -> Thread:
        """The VM with its first vCPU; nothing is loaded yet."""
        processor = Processor(self.memory, self.kvm, first=self.first)
        processor.furnish()
        processor.begin()
        self.threads = [Thread(self, processor)]
        return self.threads[0]

    def again(self, old: Thread, saved: Saved | None, prepared: Any) -> Thread:
        """After fork(2), in the child: a VM of our own around the copied memory, the registers as they were.

        ``prepared``: of the first processor; ``saved``: of another one.
        """
        if self.timers:
            self.timers = set()
        self.awaited = False
        first = old.processor.index == 0
        if len(self.threads) > 1 or self.idle or not first:
            for left in (*[thread.processor for thread in self.threads], *self.idle):
                if not first or left is not old.processor:
                    left.leave()
            self.idle = []
        if self.files.shared:  # by threads that are not here any more
            self.making, self.wake = allocate_lock(), self.lock()
            for dying in self.files.dying:
                posix.close(dying)
            self.files.alone()
        if first:
            held = old.processor.native.pending  # the parent's
            old.processor.again(prepared)
            if held:
                old.set_mask(old.mask)
            self.threads = [old]
            return old
        assert saved is not None
        processor = Processor(self.memory, self.kvm)
        processor.begin()
        processor.restore(saved)
        thread = Thread(self, processor)
        thread.mask, thread.alternate = old.mask, old.alternate
        self.threads = [thread]
        return thread

    def another(self, old: Thread) -> Thread:
        """A thread more: one more vCPU of the same VM."""
        self.files.shared = True
        with self.making:
            if len(self.threads) >= THREADS:
                raise OSError(EAGAIN, "threads")
            if self.idle:
                processor = self.idle.pop()
            else:
                processor = Processor(self.memory, self.kvm, old.processor.vm, len(self.threads))
                processor.begin()
            thread = Thread(self, processor)
            self.threads.append(thread)
        return thread

    def gone(self, thread: Thread) -> bool:
        """A thread has ended; was it the last?"""
        with self.making:
            if len(self.threads) == 1:
                return True
            self.threads.remove(thread)
            self.idle.append(thread.processor)  # a vCPU lives as long as its VM: the next thread has it
        return False

    @staticmethod
    def lock() -> LockType:
        """One that is taken already."""
        made = allocate_lock()
        made.acquire()
        return made

    # -- execve(2) --------------------------------------------------------------------------------------------------

    def opener(self, path: bytes) -> int:
        """An executable file.  Raises OSError."""
        from minirun.vm.sandbox.calls.paths import open_host
        from minirun.vm.sandbox.calls.plain import AT_FDCWD

        room = ffi.new("char[]", path)
        fd = open_host(self.threads[0], AT_FDCWD, int(ffi.cast("uintptr_t", room)), posix.O_RDONLY | posix.O_NONBLOCK)
        if fd < 0:
            raise OSError(-fd, posix.strerror(-fd), path.decode("utf-8", "surrogateescape"))
        return self.executable(fd, path)

    def executable(self, fd: int, path: bytes) -> int:
        """``fd``, if it may be executed: an ordinary file with the right to, on a mount with it.  Raises OSError."""
        mode = posix.fstat(fd).st_mode
        empty = ffi.new("char[]", b"")
        allowed = call(NUMBER["faccessat2"], fd, int(ffi.cast("uintptr_t", empty)), 1, 0x1200, 0, 0)  # AT_EACCESS
        if mode & 0o170000 != 0o100000 or not mode & 0o111 or allowed < 0 or self.is_proc(fd):
            posix.close(fd)
            raise OSError(EACCES, posix.strerror(EACCES), path.decode("utf-8", "surrogateescape"))
        return fd

    def find(self, path: bytes, args: list[bytes], fd: int = -1) -> load.Image:
        """What execve(2) would load; ``fd``: it is open already.  Raises OSError."""
        return load.find(self.opener, path, args, self.executable(fd, path) if fd >= 0 else fd)

    def execute(self, thread: Thread, path: bytes, args: list[bytes], env: list[bytes]) -> None:
        """The new program in place of the old; up to the point of no return an OSError leaves the old one as it was."""
        self.install(thread, self.find(path, args), env)

    def install(self, thread: Thread, image: load.Image, env: list[bytes]) -> None:
        """From here on there is no way back: what goes wrong is the end."""
        exe = self.where(image.program.fd).encode("utf-8", "surrogateescape") or image.path
        self.release()
        if self.memory.clear():
            thread.processor.furnish()
        ids = (posix.getuid(), posix.geteuid(), posix.getgid(), posix.getegid())
        try:
            entry, stack = load.load(self.memory, image, env, ids)
        except OSError:
            if not self.exe:
                raise
            signals.die(thread, signals.SIGKILL)
        finally:
            posix.close(image.program.fd)
            if image.interpreter is not None:
                posix.close(image.interpreter.fd)
        self.exe, self.args, self.env, self.dumpable = exe, image.args, env, True
        name = ffi.new("char[]", image.path.rpartition(b"/")[2][:15])
        call(NUMBER["prctl"], 15, int(ffi.cast("uintptr_t", name)), 0, 0, 0, 0)  # PR_SET_NAME, as execve(2) does
        self.files.execve()
        capabilities.execve()
        for timer in self.timers:
            call(NUMBER["timer_delete"], timer, 0, 0, 0, 0, 0)
        self.timers = set()
        self.actions.execve()
        thread.alternate, thread.clear_tid, thread.robust = (0, 2, 0), 0, 0
        thread.processor.start(entry, stack)

    def release(self) -> None:
        """Whoever waits after vfork(2) goes on, and finds what we have written."""
        if self.vfork_end >= 0:
            if self.memory.guard is not None:
                self.memory.guard.tell(self.vfork_end)
            posix.close(self.vfork_end)
            self.vfork_end = -1

    def alone(self, processor: Processor) -> Thread:
        """A thread on this vCPU is all there is."""
        with self.making:
            self.idle = [each.processor for each in self.threads] + [one for one in self.idle if one is not processor]
            thread = Thread(self, processor)
            self.threads = [thread]
        return thread

    # -- procfs -----------------------------------------------------------------------------------------------------

    def is_proc(self, fd: int) -> bool:
        """Of a thread's own room: what is asked for another thread must not answer this one."""
        room = ffi.new("uint64_t[15]")
        done = call(NUMBER["fstatfs"], fd, int(ffi.cast("uintptr_t", room)), 0, 0, 0, 0)
        return done < 0 or int(room[0]) == PROC_SUPER_MAGIC

    def where(self, fd: int) -> str:
        """A descriptor's path, as the kernel says it."""
        try:
            return posix.readlink(f"self/fd/{fd}", dir_fd=self.proc)
        except OSError:
            return ""

    def exit(self, thread: Thread, code: int) -> NoReturn:
        if self.awaited:
            lib.vm_outlives(thread.processor.fd)
        posix._exit(code & 0xFF)

    def last_words(self, thread: Thread, number: int, text: str = "") -> None:
        if self.trace is not None:
            self.trace.end(thread, number, text)
        elif text and self.files.table.get(2) == 2:  # else the program has closed it, and it may be anything
            posix.write(2, f"minirun: the sandbox ended: {text}\n".encode("utf-8", "replace"))
