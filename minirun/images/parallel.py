"""Several things at once, in threads: the first failure, or ctrl-C, ends all of them.

The workers are daemons and are told by an event: one that waits for a silent host does not keep the rest waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")

WORKERS = 4
GRACE = 2.0  # seconds for the others to notice


class Stopped(Exception):
    """Raised in a worker whose work nobody wants any more."""


def each(act: Callable[[T], object], things: Iterable[T], stop: threading.Event, workers: int = WORKERS) -> None:
    """``act(thing)`` for each; raises the first failure.  ``act`` has to look at ``stop`` now and then."""
    waiting = deque(things)
    failures: list[BaseException] = []

    def work() -> None:
        while not stop.is_set():
            try:
                thing = waiting.popleft()
            except IndexError:
                return
            try:
                act(thing)
            except Stopped:
                return
            except BaseException as error:
                failures.append(error)
                stop.set()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(waiting)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive() and not failures:
                thread.join(0.2)
    finally:
        if failures or any(thread.is_alive() for thread in threads):  # the latter: ctrl-C
            stop.set()
            end = time.monotonic() + GRACE
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
    if failures:
        raise failures[0]
