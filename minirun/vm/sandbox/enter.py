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
from minirun.vm.sandbox.descriptors import Files
from minirun.vm.sandbox.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.engine.execute import Site
    from minirun.plan.ops import Spawn

FAILED = 125
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
    proc: int
    trace: int
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
        kvm=kvm, proc=posix.open("/proc", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC), trace=2 if trace else -1,
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
    for fd in (theirs, plan, parts.proc, cgroup):
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
    finders = [finder for finder in sys.meta_path if hasattr(finder, "fd")]
    ours = [parts.kvm.fd, parts.proc, *[finder.fd for finder in finders]]
    first = 3 + parts.preserve
    base = first + len(ours)
    wanted = [*ours, parts.sync, parts.plan, parts.gate, parts.target]
    high = [fcntl(fd, F_DUPFD_CLOEXEC, base + 8) if fd >= 0 else -1 for fd in wanted]
    for number, fd in enumerate(high):
        if fd >= 0:
            posix.dup2(fd, first + number, False)
        else:
            try:
                posix.close(first + number)
            except OSError:
                pass
    parts.kvm.fd, parts.proc = first, first + 1
    for number, finder in enumerate(finders):
        finder.fd = first + 2 + number
    return base


def become(parts: Parts) -> int:
    """The plan's half, then the program; returns only what went wrong."""
    base = place(parts)
    code: int = lib.init_carry_out(base)
    if code:
        return code
    table = {number: number for number in range(3 + parts.preserve)}
    process = Process(parts.kvm, parts.proc, Files(table))
    if parts.trace >= 0:
        from minirun.vm.sandbox.trace import Trace

        process.trace = Trace(parts.trace)
    process.limits.update(parts.limits)
    process.filter = parts.filter
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
