"""The zygote's life, and what it becomes: the container's first process (zygote.py, enter.py say who begins it).

From the first mount on the container's files are all there is: what may be imported later has been read before.
"""

from __future__ import annotations

import posix
from fcntl import F_DUPFD_CLOEXEC, fcntl
from marshal import loads

from minirun import hot
from minirun.errors import MinirunError
from minirun.linux import confine, unix
from minirun.linux.kvm import Kvm, ffi, lib
from minirun.record import Record
from minirun.vm.sandbox import confine as cell
from minirun.vm.sandbox.calls import everything, limits, looks, memory, prctl  # noqa: F401 (what every program asks)
from minirun.vm.sandbox.calls.process import run
from minirun.vm.sandbox.descriptors import MOST, Files
from minirun.vm.sandbox.first import First
from minirun.vm.sandbox.luggage import Luggage, pack
from minirun.vm.sandbox.numbers import NUMBER
from minirun.vm.sandbox.process import PROC_SUPER_MAGIC, Process
from minirun.vm.sandbox.zygote import ANSWER, FAILED, affine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RLIMIT_NOFILE, EOPNOTSUPP = 7, 95
NEEDED = ("USER_MEMORY", "IMMEDIATE_EXIT")
ROOM = 64  # descriptors that a set-up can use
PR_SET_DUMPABLE = 4


class Order(Record):
    """What to become."""

    flags: int  # of clone3(2)
    cgroup: int  # a descriptor, or -1
    dumpable: bool
    forks: bool  # does init's half go on in a child?
    trace: bool


class Part(Record):
    """What to do then."""

    preserve: int
    awaited: bool
    filter: bytes  # the program's
    limits: dict[int, tuple[int, int]]
    env: list[bytes]
    args: list[bytes]
    fds: dict[str, int]  # those there are of sync, plan, gate, target, stdin, stdout, stderr


class Tools(Record):
    """What was made meanwhile."""

    kvm: Kvm
    process: Process | None  # with a VM, and nothing in it
    cell: bytes  # our own filter
    luggage: Luggage
    few: tuple[int, int] | None  # RLIMIT_NOFILE, which the program has and we could not work with


def live(socket: int, cache: str, cpus: set[int], vm: bool) -> int:
    """Returns an exit code, when something went wrong or nobody wanted us."""
    few = room_for_descriptors()
    luggage = pack("minirun.vm.sandbox.calls")
    if not luggage.cars:
        everything()
    problem: OSError | None = None
    try:
        kvm = Kvm(NEEDED)
        process = empty(kvm) if vm else None
        program = cell.compiled(cache)
        own_exe()
    except OSError as error:
        problem = error  # for whoever orders
    except MinirunError as error:  # no filter can be compiled
        problem = OSError(EOPNOTSUPP, "", f"{error.message}: {error.reason}")
    words = receive(socket)
    if words is None:
        return 0
    order = Order(**words[0], cgroup=words[1].get("cgroup", -1))
    affine(0, cpus)
    if problem is not None:
        return refuse(socket, problem)
    if order.trace:
        from minirun.vm.sandbox import trace as _trace  # noqa: F401 (there is nothing to import later)
    if not order.dumpable:  # those in a container that we come into must not look into us
        lib.host_call(NUMBER["prctl"], PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
    pid = ffi.new("int *")
    done = lib.sandbox_become(order.flags, order.cgroup, pid)
    if done < 0:
        return refuse(socket, OSError(-done, "", "clone3"))
    unix.send(socket, ANSWER.pack(pid[0], 0, b""))
    words = receive(socket)
    if words is None:
        return FAILED
    for fd in (socket, order.cgroup, *(finder.fd for finder in hot.active)):
        if fd >= 0:
            posix.close(fd)
    tools = Tools(kvm=kvm, process=process, cell=program, luggage=luggage, few=few)
    return become(order, Part(fds=words[1], **words[0]), tools)


def empty(kvm: Kvm) -> Process:
    """A process with its VM, before it has descriptors or a program."""
    process = Process(kvm, -1, Files({}), First(kvm))
    process.begin()
    return process


def own_exe() -> None:
    """By /proc/self/exe root in the container could change the mode of the host's Python.  Raises OSError."""
    if posix.geteuid() == 0 and lib.own_exe() < 0:
        raise OSError(ffi.errno, posix.strerror(ffi.errno), "/proc/self/exe")


def receive(socket: int) -> tuple[dict[str, Any], dict[str, int]] | None:
    """Words, and descriptors by name; None: nobody is there any more."""
    fds = unix.receive_fds(socket)
    if not fds:
        return None
    words, names = loads(posix.pread(fds[0], posix.fstat(fds[0]).st_size, 0))
    posix.close(fds[0])
    return words, dict(zip(names, fds[1:], strict=True))


def refuse(socket: int, error: OSError) -> int:
    words = str(error.filename or "").encode()[:160]
    unix.send(socket, ANSWER.pack(0, error.errno or 5, words))
    return FAILED


def become(order: Order, part: Part, tools: Tools) -> int:
    """We are the container's first process: the plan's half, then the program; returns only what went wrong."""
    base = place(part, tools)
    tools.luggage.unpack()
    code: int = lib.init_carry_out(base)
    if code:
        return code
    process = tools.process
    if process is not None and order.forks:  # so our memory is a copy
        process.first.drop()
        process = None
    kept = process.threads[0].processor.descriptors() if process is not None else []
    close_from(base + 1, base + 2, *kept)  # what init has needed: its procfs, the directory of the root, the target
    process = process or empty(tools.kvm)
    process.files = Files(open_numbers(3 + part.preserve))
    process.proc = own_proc()
    if order.trace:
        from minirun.vm.sandbox.trace import Trace

        process.trace = Trace(fcntl(2, F_DUPFD_CLOEXEC, 3))
    if tools.few is not None:
        process.limits[RLIMIT_NOFILE] = tools.few
    process.limits.update(part.limits)
    process.filter = part.filter
    process.files.most = min(process.limits.get(RLIMIT_NOFILE, (MOST, MOST))[0], MOST)
    home = lib.init_home()
    env = [*part.env, ffi.string(home)] if home != ffi.NULL else part.env
    thread = process.threads[0]
    try:
        process.execute(thread, ffi.string(lib.init_program()), part.args, env)
    except OSError as error:
        lib.init_cannot_execute(error.errno or 5)
        return 127 if error.errno == 2 else 126
    process.awaited = part.awaited
    lib.init_has_executed()
    confine.load_filter(tools.cell)
    run(thread)
    return FAILED


# -- descriptors ------------------------------------------------------------------------------------------------------


def place(part: Part, tools: Tools) -> int:
    """Descriptors where init expects them: stdio, the caller's, ours, then sync, plan, gate, target; returns sync's.

    No other is open afterwards but the VM's, whatever has leaked into minirun.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if name in part.fds:
            posix.dup2(part.fds[name], number)
            posix.close(part.fds[name])
    own = 3 + part.preserve
    base = own + 1
    ours = [tools.kvm.fd, *(part.fds.get(name, -1) for name in ("sync", "plan", "gate", "target"))]
    ours = [out_of_the_way(fd, base + 4) for fd in ours]
    kept = []
    if tools.process is not None:
        processor = tools.process.threads[0].processor
        processor.moved(*(out_of_the_way(fd, base + 4) for fd in processor.descriptors()))
        kept = processor.descriptors()
    for number, fd in enumerate(ours):
        if fd >= 0:
            posix.dup2(fd, own + number, False)
        else:
            lib.host_call(NUMBER["close"], own + number, 0, 0, 0, 0, 0)
    tools.kvm.fd = own
    close_from(base + 4, *kept)
    return base


def out_of_the_way(fd: int, first: int) -> int:
    """Not where one of another number belongs."""
    if not 0 <= fd < first:
        return fd
    moved = fcntl(fd, F_DUPFD_CLOEXEC, first)
    posix.close(fd)
    return moved


def room_for_descriptors() -> tuple[int, int] | None:
    """What a caller leaves us may be too few for the set-up; returns what it was if it had to be changed."""
    room = ffi.new("uint64_t[2]")
    at = int(ffi.cast("uintptr_t", room))
    lib.host_call(NUMBER["prlimit64"], 0, RLIMIT_NOFILE, 0, at, 0, 0)
    soft, hard = int(room[0]), int(room[1])
    if soft >= ROOM:
        return None
    room[0], room[1] = ROOM, max(hard, ROOM)
    if lib.host_call(NUMBER["prlimit64"], 0, RLIMIT_NOFILE, at, 0, 0, 0) < 0:  # without the right to raise the hard one
        room[0], room[1] = hard, hard
        lib.host_call(NUMBER["prlimit64"], 0, RLIMIT_NOFILE, at, 0, 0, 0)
    return soft, hard


def close_from(first: int, *kept: int) -> None:
    """close_range(2), around those that are kept."""
    for fd in sorted(fd for fd in kept if fd >= first):
        if fd > first:
            lib.host_call(NUMBER["close_range"], first, fd - 1, 0, 0, 0, 0)
        first = fd + 1
    lib.host_call(NUMBER["close_range"], first, 0xFFFFFFFF, 0, 0, 0, 0)


def open_numbers(most: int) -> dict[int, int]:
    """Of the numbers that the program is given, those that are open: another could become one of ours."""
    found = {}
    for number in range(most):
        try:
            posix.fstat(number)
        except OSError:
            continue
        found[number] = number
    return found


def own_proc() -> int:
    """The procfs of the container, which the program can look at anyway: the host's must not be within our reach."""
    try:
        fd = posix.open("/proc", posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    except OSError:
        return -1
    room = ffi.new("uint64_t[15]")
    done = lib.host_call(NUMBER["fstatfs"], fd, int(ffi.cast("uintptr_t", room)), 0, 0, 0, 0)
    if done == 0 and int(room[0]) == PROC_SUPER_MAGIC:
        return fd
    posix.close(fd)
    return -1
