"""start: open the gate.  From another process than create (through the socket), or from the same one (run)."""

from __future__ import annotations

import posix

from minirun.engine.init import Failure, InitFailed, text
from minirun.engine.protocol import FAILED, LISTENER, MESSAGE, START
from minirun.errors import MinirunError
from minirun.runtime import hooks, lifecycle, status
from minirun.spec.rules import has_filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.runtime.create import Created
    from minirun.runtime.notify import Agent
    from minirun.runtime.sd_notify import Proxy
    from minirun.runtime.store import Entry, State, Store
    from minirun.spec.types import Spec


def start_here(created: Created) -> None:
    """run: the init we made ourselves.  On failure the container is destroyed."""
    init = created.site.init
    assert init is not None
    try:
        agent = agent_of(created.spec)
        if agent is not None:
            init.deliver = agent.taker(created.state, status.CREATED)
        init.send(START, hooks.state_fd(created.spec, created.state))
        init.started()
        hooks.poststart(created.spec, created.state)
    except InitFailed as error:
        destroy_failed(created.entry, created.request.warn)
        from minirun.engine.execute import from_init

        raise from_init(created.site, error) from error
    except BaseException:
        destroy_failed(created.entry, created.request.warn)
        raise


def agent_of(spec: Spec) -> Agent | None:
    """Whom SCMP_ACT_NOTIFY asks; None without such a filter."""
    if not has_filter(spec):
        return None
    from minirun.runtime import notify

    return notify.agent_of(spec)


def destroy_failed(entry: Entry, warn: Callable[[str], None]) -> None:
    lifecycle.destroy(entry, entry.load(), warn)


def listen_for_ready(entry: Entry, env: dict[str, str]) -> Proxy | None:
    """sd_notify(3), where the caller has a NOTIFY_SOCKET; before the program can say anything."""
    if "NOTIFY_SOCKET" not in env:
        return None
    from minirun.runtime import sd_notify

    return sd_notify.listen(entry, env)


def wait_until_ready(proxy: Proxy | None, state: State) -> None:
    if proxy is not None:
        from minirun.runtime import sd_notify

        sd_notify.until_ready(proxy, state, lifecycle.open_pidfd)


def start(store: Store, container_id: str, env: dict[str, str], warn: Callable[[str], None]) -> None:
    """From another process.  Raises MinirunError: not created, or what exec said."""
    entry = store.open(container_id, lock=True)
    state = entry.load()
    word = status.status(entry, state, locked=True)
    if word != status.CREATED:
        raise MinirunError(f"cannot start container {container_id}", reason=f"it is {word}, not created")
    spec: Spec = entry.config()
    agent = agent_of(spec)
    proxy = listen_for_ready(entry, env)
    gate = connect(entry, state)
    try:
        open_gate(gate, entry, state, spec)
        listen(gate, state, agent)
        hooks.poststart(spec, state)
    except InitFailed as error:
        lifecycle.wait_gone(state)
        told = in_words(entry, state, error)
        give_up(entry, state, told, warn)
        raise told from error
    except MinirunError as error:
        lifecycle.signal_process(state, 9)
        lifecycle.wait_gone(state)
        give_up(entry, state, error, warn)
        raise
    entry.close()  # others may pause, exec or kill while we wait
    wait_until_ready(proxy, state)


def give_up(entry: Entry, state: State, error: MinirunError, warn: Callable[[str], None]) -> None:
    """A failed hook ends the container altogether (runtime.md, steps 7, 9 and 12); else it is left stopped."""
    if (error.pointer or "").startswith("/hooks/"):
        lifecycle.destroy(entry, state, warn)


def connect(entry: Entry, state: State) -> int:
    """To init at the gate.  Nobody there: an earlier start was killed after it had opened it."""
    from minirun.linux import unix

    try:
        return unix.connect(entry.gate())
    except OSError as error:
        raise MinirunError(
            f"cannot start container {state.id}", reason=f"nobody waits at the gate: {error.strerror}"
        ) from error


def open_gate(gate: int, entry: Entry, state: State, spec: Spec) -> None:
    """Say START."""
    from minirun.linux import unix

    try:
        unix.send(gate, START, hooks.state_fd(spec, state))
        posix.unlink("gate", dir_fd=entry.fd)
    except OSError as error:
        raise gone(state, error) from error


def listen(gate: int, state: State, agent: Agent | None) -> None:
    """Until end of file (exec succeeded) or a report.  Raises InitFailed."""
    from minirun.linux import unix

    while True:
        try:
            data, passed = unix.receive(gate, MESSAGE.size)
        except OSError as error:
            raise gone(state, error) from error
        if not data:
            posix.close(gate)
            return
        kind, step, errno, _, _, call, detail = MESSAGE.unpack(data)
        if kind == FAILED:
            raise InitFailed(Failure(step=step, errno=errno, call=text(call), detail=text(detail)))
        if kind == LISTENER and agent is not None:
            give_listener(passed, gate, state, agent.taker(state, status.CREATED))


def give_listener(page: int, gate: int, state: State, taker: Callable[[int, int], None]) -> None:
    from minirun.engine.listener import hand_over

    pidfd = lifecycle.open_pidfd(state)
    if pidfd >= 0:  # else it was killed, and the end of file tells so
        hand_over(page, pidfd, gate, lambda listener: taker(listener, state.pid))


def gone(state: State, error: OSError) -> MinirunError:
    """Somebody killed it under our hands."""
    return MinirunError(f"cannot start container {state.id}", reason=f"init is gone: {error.strerror}")


def in_words(entry: Entry, state: State, error: InitFailed) -> MinirunError:
    """Init names a step of the plan that create made: one of the last, which are the same whatever the host is now."""
    from minirun.engine.execute import kernel_words
    from minirun.engine.report import operation_failed
    from minirun.plan.container import from_the_gate_on

    failure = error.failure
    last = from_the_gate_on(entry.config(), {})
    place = failure.step - 1 - (state.steps - len(last))
    if not 0 <= place < len(last):
        from posix import strerror

        reason = f"{failure.call}: {strerror(failure.errno)}"
        return MinirunError(f"cannot start container {state.id}", reason=reason, config=state.config)
    return operation_failed(
        last[place], failure.step, state.steps, number=failure.errno, call=failure.call, detail=failure.detail,
        config=state.config, reason=kernel_words(failure.detail),
    )  # fmt: skip
