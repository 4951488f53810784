"""exec into a machine: a process of the host's that stands for one of the guest's.

The engine spawns it as it would spawn init, and talks to the init in the guest through the same kind of socket, which
the VMM holds.  The process itself only waits: signals that it gets are the program's, its exit code is the program's,
and if it is killed, so is the program.  conmon and containerd, who want a pid for every exec, have one.
"""

from __future__ import annotations

import posix

from minirun.engine.init import Init
from minirun.errors import FAILED
from minirun.linux import memfd, unix
from minirun.linux.descriptors import close_others
from minirun.plan.wire import encode
from minirun.vm.stdio import own_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.engine.execute import Site
    from minirun.plan.ops import Spawn

# All but those that cannot be caught, SIGCHLD, and glibc's own.
SIGNALS = tuple(number for number in range(1, 65) if number not in (9, 17, 19, 32, 33))


def spawner(control: int) -> Callable[[Site, Spawn], Init]:
    """``control``: a connection to the VMM."""
    return lambda site, op: visit(site, op, control)


def visit(site: Site, op: Spawn, control: int) -> Init:
    ours, theirs = unix.pair()
    plan = memfd.seal_bytes("minirun-plan", encode(site.ops, trace=site.trace, program=site.program))
    passed = {"plan": plan, "sync": theirs}
    if any(each.KIND == "console" for each in site.ops):
        from minirun.vm.pty import open_pty

        passed["master"], passed["slave"] = open_pty()
    first, second, third = [given if given >= 0 else fd for fd, given in enumerate(site.stdio)]
    stdio = own_all((first, second, third))
    passed |= {str(number): fd for number, fd in enumerate(stdio) if fd >= 0}
    try:
        for name, fd in passed.items():
            unix.send(control, f"fd {name}".encode(), fd)
    except BaseException:
        close_all(passed)
        raise
    directory = site.cgroup_root + site.cgroup if site.cgroup else ""
    pid = posix.fork()
    if pid == 0:
        stand_for(control, f"exec {op.flags} {site.ops.index(op) + 1}".encode(), directory, passed.get("slave", -1))
    close_all(passed)
    posix.close(control)
    return Init(pid, posix.pidfd_open(pid), ours)


def close_all(passed: dict[str, int]) -> None:
    for fd in passed.values():
        posix.close(fd)


def stand_for(control: int, order: bytes, directory: str, terminal: int) -> None:
    """The child: its whole life."""
    code = FAILED
    try:
        code = wait(control, order, directory, terminal)
    except BaseException:  # nothing of the parent's may run here
        code = FAILED
    finally:
        posix._exit(code)


def wait(control: int, order: bytes, directory: str, terminal: int) -> int:
    """``terminal``: the slave of the program's, which becomes our session's, so that we hear of its new sizes."""
    import select

    from minirun.linux.signalfd import read_signal, signalfd

    posix.setsid()
    signals = signalfd(SIGNALS)
    if directory:
        with open(f"{directory}/cgroup.procs", "wb", buffering=0) as file:
            file.write(b"0")
    kept = [control, signals]
    if terminal >= 0:
        from minirun.vm.pty import control as take_control

        take_control(terminal)
        kept.append(terminal)
    close_others(sorted(kept))
    unix.send(control, order)
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(signals, select.POLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd == signals:
                while number := read_signal(signals):
                    unix.send(control, b"signal %d" % number)
                continue
            data, _ = unix.receive(control, 64)
            if data.startswith(b"exited "):
                return int(data[7:])
            if not data:
                return 128 + 9  # the machine is gone, and with it the program
            return FAILED  # "errno 22": the VMM could not begin it
