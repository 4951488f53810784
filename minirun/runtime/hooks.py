"""Hooks around the life of the process: the host's after start and after delete, and the state they all read.

Those that are steps of create are in its plan (``plan.hooks``).
"""

from __future__ import annotations

from minirun.runtime import status
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.runtime.store import State
    from minirun.spec.types import Spec


def state_document(state: State, word: str, pid: int | None = None) -> bytes:
    """What a hook reads on its standard input (config.md, POSIX-platform Hooks)."""
    return encode(status.document(state, word, pid)).encode()


def state_fd(spec: Spec, state: State) -> int:
    """The state for startContainer hooks, which init runs; -1 when there are none."""
    if not spec.get("hooks", {}).get("startContainer"):
        return -1
    from minirun.linux.memfd import seal_bytes

    return seal_bytes("minirun-state", state_document(state, status.CREATED))


def poststart(spec: Spec, state: State) -> None:
    """After exec; a failure fails start (runtime-spec 1.3; runtime.md, step 10)."""
    if not spec.get("hooks", {}).get("poststart"):
        return
    from minirun.engine.hooks import run_hook
    from minirun.engine.report import operation_failed
    from minirun.plan.hooks import ops, outputs
    from minirun.plan.ops import HOST

    document = state_document(state, status.RUNNING)
    hooks = ops(spec, "poststart", HOST, state.bundle)
    for step, hook in enumerate(hooks, 1):
        try:
            run_hook(hook, document, outputs(state.annotations, state.bundle))  # type: ignore[arg-type]
        except OSError as error:
            raise operation_failed(
                hook, step, len(hooks), number=error.errno or 0, call="execve", detail=str(error.filename),
                config=state.config, reason=error.strerror or "",
            ) from error  # fmt: skip


def poststop(spec: Spec, state: State, warn: Callable[[str], None]) -> None:
    """After the container is gone; a failure is a warning, and the next one is run (config.md, Poststop)."""
    if not spec.get("hooks", {}).get("poststop"):
        return
    from minirun.engine.hooks import run_hook
    from minirun.plan.hooks import ops, outputs
    from minirun.plan.ops import HOST

    document = state_document(state, status.STOPPED)
    for hook in ops(spec, "poststop", HOST, state.bundle):
        try:
            run_hook(hook, document, outputs(state.annotations, state.bundle))  # type: ignore[arg-type]
        except OSError as error:
            warn(f"{hook.pointer}: {hook.describe()} failed: {error.strerror}")
