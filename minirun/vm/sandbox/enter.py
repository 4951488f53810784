"""The process that becomes a sandbox: a copy of minirun in the container's place.

A container's first process is ``minirun-init``, which carries out the plan's in-container half and executes the
program.  Here that half is carried out by the same C (native/init, linked into us) in a fork of minirun's, and where
the program would be executed it is loaded into a VM instead.  What the host sees is the same: the same messages, the
same pid, the same cgroup; so no verb needs to know.

Everything is imported before: from the first mount on the container's files are all there is.
"""

from __future__ import annotations

import posix
from fcntl import F_DUPFD_CLOEXEC, fcntl

from minirun.engine.init import Init
from minirun.linux import confine, memfd, unix
from minirun.linux.kvm import Kvm, ffi, lib
from minirun.plan.ops import Exec
from minirun.plan.sandbox import limits_of
from minirun.plan.wire import encode
from minirun.record import Record
from minirun.vm.sandbox import confine as cell
from minirun.vm.sandbox.calls import everything, files
from minirun.vm.sandbox.calls.process import run
from minirun.vm.sandbox.descriptors import MOST, Files
from minirun.vm.sandbox.numbers import NUMBER
from minirun.vm.sandbox.process import PROC_SUPER_MAGIC, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.engine.execute import Site
    from minirun.plan.ops import Spawn

FAILED = 125
RLIMIT_NOFILE = 7
PR_SET_DUMPABLE = 4
KVM_REQUESTS = (
    "KVM_RUN", "KVM_CREATE_VM", "KVM_CREATE_VCPU", "KVM_SET_USER_MEMORY_REGION", "KVM_SET_CPUID2", "KVM_GET_SREGS",
    "KVM_SET_SREGS", "KVM_SET_XCRS", "KVM_SET_MSRS", "KVM_GET_XSAVE", "KVM_SET_XSAVE", "KVM_GET_SUPPORTED_CPUID",
    "KVM_GET_VCPU_MMAP_SIZE",
)  # fmt: skip


class Parts(Record):
    """What the copy needs to know; descriptors are open in it."""

    plan: int
    sync: int
    gate: int
    target: int
    preserve: int
    stdio: tuple[int, int, int]
    kvm: Kvm
    trace: int
    dumpable: bool
    cell: bytes  # our own filter
    filter: bytes  # the program's
    limits: dict[int, tuple[int, int]]
    program: Exec


def spawner(trace: bool = False) -> Callable[[Site, Spawn], Init]:
    """For ``Site.spawner``."""
    return lambda site, op: spawn(site, op, trace)


def spawn(site: Site, op: Spawn, trace: bool) -> Init:
    """clone3 of ourselves."""
    everything()
    if trace:
        from minirun.vm.sandbox import trace as _trace  # noqa: F401 (there is nothing to import later)
    try:
        kvm = Kvm()
    except OSError as error:
        from minirun.vm import probe  # many modules, for the words of this error alone

        raise probe.explain(error) from error
    ours, theirs = unix.pair()
    plan = memfd.seal_bytes("minirun-plan", encode(site.ops, trace=site.trace, dumpable=site.dumpable, program=b""))
    requests = [getattr(lib, name) for name in KVM_REQUESTS] + list(files.IOCTLS)
    parts = Parts(
        plan=plan, sync=theirs, gate=site.gate_fd, target=site.target_fd, preserve=site.preserve, stdio=site.stdio,
        kvm=kvm, trace=2 if trace else -1, dumpable=site.dumpable,
        cell=cell.compiled(requests, site.filter_cache), filter=site.program, limits=limits(op.machine),
        program=next(each for each in site.ops if isinstance(each, Exec)),
    )  # fmt: skip
    cgroup = -1
    if op.into_cgroup:
        cgroup = posix.open(site.cgroup_root + site.cgroup, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    pidfd = ffi.new("int *", -1)
    pid: int = lib.sandbox_clone(op.flags, cgroup, pidfd)
    if pid == 0:
        live(parts)
    for fd in (theirs, plan, cgroup):
        if fd >= 0:
            posix.close(fd)
    kvm.close()
    if pid < 0:
        posix.close(ours)
        raise OSError(-pid, posix.strerror(-pid), "clone3")
    return Init(pid, pidfd[0], ours)


def limits(words: list[str]) -> dict[int, tuple[int, int]]:
    """Of "limit RESOURCE SOFT HARD" in the plan's words."""
    rows = [[int(number) for number in word.split()[1:]] for word in words if word.startswith("limit ")]
    return limits_of([(row[0], row[1], row[2]) for row in rows])


def live(parts: Parts) -> None:
    """The copy's whole life.  Nothing of minirun's own way may run on in it."""
    code = FAILED
    try:
        if not parts.dumpable:  # those in a container that we come into must not look into us
            lib.host_call(NUMBER["prctl"], PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
        code = become(parts)
    except BaseException as error:
        try:
            posix.write(2, f"minirun: the sandbox ended: {error.__class__.__name__}: {error}\n".encode())
        except OSError:
            pass
    finally:
        posix._exit(code)


def place(parts: Parts) -> int:
    """Descriptors where init expects them: stdio, the caller's, ours, then sync, plan, gate, target; returns sync's."""
    import sys

    for number, fd in enumerate(parts.stdio):
        if fd >= 0 and fd != number:
            posix.dup2(fd, number)
    first = 3 + parts.preserve
    base = first + 1
    wanted = [parts.kvm.fd, parts.sync, parts.plan, parts.gate, parts.target]
    high = [fcntl(fd, F_DUPFD_CLOEXEC, base + 8) if fd >= 0 else -1 for fd in wanted]
    for number, fd in enumerate(high):
        if fd >= 0:
            posix.dup2(fd, first + number, False)
        else:
            try:
                posix.close(first + number)
            except OSError:
                pass
    parts.kvm.fd = first
    sys.meta_path[:] = [finder for finder in sys.meta_path if not hasattr(finder, "fd")]  # its file is not for here
    return base


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


def become(parts: Parts) -> int:
    """The plan's half, then the program; returns only what went wrong."""
    base = place(parts)
    code: int = lib.init_carry_out(base)
    if code:
        return code
    files = Files(open_numbers(3 + parts.preserve))
    posix.closerange(base + 3, MOST)  # what init has needed: its procfs, the directory of the root, the target
    posix.closerange(base + 1, base + 2)
    process = Process(parts.kvm, own_proc(), files)
    if parts.trace >= 0:
        from minirun.vm.sandbox.trace import Trace

        process.trace = Trace(fcntl(parts.trace, F_DUPFD_CLOEXEC, 3))
    process.limits.update(parts.limits)
    process.filter = parts.filter
    files.most = min(parts.limits.get(RLIMIT_NOFILE, (MOST, MOST))[0], MOST)
    env = [word.encode("utf-8", "surrogateescape") for word in parts.program.env]
    home = lib.init_home()
    if home != ffi.NULL:
        env.append(ffi.string(home))
    args = [word.encode("utf-8", "surrogateescape") for word in parts.program.args]
    thread = process.begin()
    try:
        process.execute(thread, ffi.string(lib.init_program()), args, env)
    except OSError as error:
        lib.init_cannot_execute(error.errno or 5)
        return 127 if error.errno == 2 else 126
    lib.init_has_executed()
    confine.load_filter(parts.cell)
    run(thread)
    return FAILED
