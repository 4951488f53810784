"""The walk through a plan.

Host operations are carried out here, each with its undo on a stack; init does its own by itself.  Where the actor
changes the two wait for each other: the list alone decides where, nobody writes synchronisation by hand.  On any
failure the stack is unwound, and the host is as if nothing had been attempted.
"""

from __future__ import annotations

import time
from posix import close

from minirun.engine import host
from minirun.engine.init import InitFailed
from minirun.engine.protocol import GO
from minirun.errors import MinirunError
from minirun.plan.ops import INIT
from minirun.plan.wire import sync_points
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cgroups.systemd import Manager
    from minirun.engine.init import Init
    from minirun.plan.ops import Op, Spawn


class Site(Record):
    """Where a plan is carried out: what the host's operations need beyond the plan, and what came of them."""

    ops: list[Op]
    config: str  # the file the pointers point into
    cgroup_root: str
    cgroup: str
    state_document: Callable[[int], bytes]  # pid -> what hooks read
    hook_outputs: tuple[str, str] = ("", "")  # files that take what the host's hooks print
    gate_fd: int = -1
    target_fd: int = -1
    preserve: int = 0
    stdio: tuple[int, int, int] = (-1, -1, -1)
    trace: bool = False
    dumpable: bool = False
    filter_cache: str = ""  # the directory of compiled system call filters; "": none is kept
    deliver: Callable[[int, int], None] | None = None  # takes the listener of a filter that asks somebody
    program: bytes = b""  # the filter for this container
    meanwhile: Callable[[], None] | None = None  # something useful to do while init works
    terminal: Callable[[int], None] | None = None  # takes the pty's master
    warn: Callable[[str], None] | None = None
    made_mount: int = -1  # a detached mount that waits for init to take it
    claim: str = ""  # the name that the cgroup is claimed with
    cgroup_made: str = ""  # the topmost directory to remove with it
    spawner: Callable[[Site, Spawn], Init] | None = None  # who makes init, where it is not clone3 here: a machine's
    systemd: Manager | None = None  # who makes the cgroup, where it is not we
    init: Init | None = None
    undo: list[Callable[[], None]]
    times: dict[int, int]  # step -> nanoseconds


def carry_out(site: Site) -> Init:
    """Do everything up to READY; returns the waiting init.  Raises MinirunError, with everything undone."""
    try:
        walk(site)
    except BaseException:
        unwind(site)
        raise
    finally:
        if site.made_mount >= 0:
            close(site.made_mount)
            site.made_mount = -1
    assert site.init is not None
    return site.init


def walk(site: Site) -> None:
    ops = site.ops
    points = sync_points(ops)
    total = len(ops)
    reached = False
    step = 0
    try:
        for index, op in enumerate(ops):
            step = index + 1
            init = site.init
            if op.actor == INIT:
                if index in points and init is not None:
                    if not reached:
                        init.reach()
                    give_go(site, init, op)
                    reached = False
                if op.KIND == "wait":
                    break
                continue
            if init is not None and ops[index - 1].actor == INIT:
                init.reach()
                reached = True
            began = time.perf_counter_ns() if site.trace else 0
            host.HANDLERS[op.KIND](site, op)
            if site.trace:
                site.times[step] = time.perf_counter_ns() - began
        if site.meanwhile is not None:
            site.meanwhile()
        if site.init is not None:
            site.init.ready()
    except InitFailed as error:
        raise from_init(site, error) from error
    except OSError as error:
        from minirun.engine.report import operation_failed

        op = ops[step - 1]
        path = str(error.filename or "")
        call = getattr(error, "call", "") or host.CALLS.get(op.KIND, op.KIND)
        raise operation_failed(
            op, step, total, number=error.errno or 0, call=call, detail=path, config=site.config,
            reason=error.strerror or "",
        ) from error  # fmt: skip


def give_go(site: Site, init: Init, op: Op) -> None:
    """GO, with what ``op`` needs: the hooks' state document, or the mount that was just made for it."""
    passed = site.made_mount
    if op.KIND == "hook":
        passed = state_fd(site)
    try:
        init.send(GO, passed)
    finally:
        if passed >= 0:
            close(passed)
        site.made_mount = -1


def from_init(site: Site, error: InitFailed) -> MinirunError:
    """Init's report in words."""
    from minirun.engine.report import operation_failed

    failure = error.failure
    total = len(site.ops)
    if not 1 <= failure.step <= total:
        return MinirunError("cannot start init", reason=f"{failure.call}: errno {failure.errno}")
    op = site.ops[failure.step - 1]
    return operation_failed(
        op, failure.step, total, number=failure.errno, call=failure.call, detail=failure.detail, config=site.config,
        reason=kernel_words(failure.detail),
    )  # fmt: skip


def kernel_words(detail: str) -> str:
    """The kernel's own complaint about a mount ("tmpfs: Bad value for 'size'") says more than strerror."""
    return detail if ": " in detail and not detail.startswith(("/", "script ", "elf ")) else ""


def state_fd(site: Site) -> int:
    """The hooks' state document, in a memfd that init reads."""
    from minirun.linux.memfd import seal_bytes

    assert site.init is not None
    return seal_bytes("minirun-state", site.state_document(site.init.pid))


def unwind(site: Site) -> None:
    """Undo in reverse; an undo that fails must not hide the failure that brought us here, nor stop the others."""
    while site.undo:
        try:
            site.undo.pop()()
        except OSError:
            continue
