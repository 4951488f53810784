"""run: create and start in one process, then wait (or not), then delete."""

from __future__ import annotations

from minirun import hot
from minirun.runtime import foreground, interrupt
from minirun.runtime.create import Created, create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.runtime.create import Request
    from minirun.runtime.store import Store


def run(store: Store, request: Request, *, detach: bool, keep: bool) -> tuple[Created, int]:
    """The container's exit code (0 when detached)."""
    interrupt.raise_on_signals()
    request.meanwhile = the_rest
    created = create(store, request)
    created.site.undo.clear()  # with it go the descriptors that undoing would have needed
    from minirun.runtime import start

    try:
        signals = -1 if detach else foreground.watch_signals()  # what came until now was ours; what comes is passed on
        proxy = start.listen_for_ready(created.entry, request.env)
    except BaseException:
        start.destroy_failed(created.entry, request.warn)
        raise
    try:
        start.start_here(created)
    except BaseException:
        show_last_words(created, detach)
        raise
    if detach:
        interrupt.nothing_to_undo()
        created.entry.close()
        start.wait_until_ready(proxy, created.state)
        return created, 0
    init = created.site.init
    assert init is not None
    release(created)
    code = foreground.wait(init, signals, request.container_id, proxy)
    return created, ended(created, code, request, keep)


def ended(created: Created, code: int, request: Request, keep: bool) -> int:
    """The container is stopped: deleted, unless --keep."""
    from minirun.runtime import lifecycle

    entry = created.entry
    if not entry.lock():
        return code  # somebody deleted it while we waited
    if keep:
        entry.close()
    else:
        lifecycle.destroy(entry, created.state, request.warn)
    return code


def show_last_words(created: Created, detach: bool) -> None:
    """A startContainer hook's reason, say, in a terminal that nobody else reads."""
    if not detach and not created.request.console_socket:
        from minirun.runtime.terminal import last_words

        last_words(created.site.init)


def release(created: Created) -> None:
    """While we wait others may pause, exec or kill: the lock is theirs."""
    import fcntl

    fcntl.flock(created.entry.fd, fcntl.LOCK_UN)


def the_rest() -> None:
    """Import what comes after create while init is at work on the other CPU."""
    hot.board("minirun.runtime.start")
    import minirun.runtime.start  # noqa: F401 (for its effect on sys.modules)
