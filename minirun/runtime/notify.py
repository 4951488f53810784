"""SCMP_ACT_NOTIFY: the agent at listenerPath gets the filter's listener (config-linux.md, Containerprocessstate).

The agent is connected to before the filter is loaded: as long as he lets us wait, nothing of the container's does.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.linux import unix
from minirun.runtime import status
from minirun.runtime.store import OCI_VERSION
from minirun.spec.decode import encode
from minirun.spec.seccomp_rules import AT, listener_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.runtime.store import State
    from minirun.spec.types import Spec

CHUNK = 65536  # bytes in one sendmsg(2)
SOCKET, KIND = 0o140000, 0o170000  # stat's formats
HINT = (
    "the agent that answers for SCMP_ACT_NOTIFY must listen there (AF_UNIX, SOCK_STREAM) before the container is made"
)


def refused(path: str, why: str, config: str = "") -> MinirunError:
    return MinirunError(
        "cannot hand over the filter's listener", reason=f"{path}: {why}", pointer=f"{AT}/listenerPath", config=config,
        hint=HINT,
    )  # fmt: skip


def find_agent(spec: Spec, config: str) -> None:
    """A filter that asks somebody needs him: that he is missing is create's error."""
    path = listener_of(spec)
    if not path:
        return
    try:
        kind = posix.stat(path).st_mode & KIND
    except OSError as error:
        raise refused(path, str(error.strerror), config) from error
    if kind != SOCKET:
        raise refused(path, "it is no socket", config)


def agent_of(spec: Spec) -> Agent | None:
    """Who answers, connected to; None where nobody is asked."""
    path = listener_of(spec)
    return Agent(path, spec["linux"].get("seccomp", {}).get("listenerMetadata")) if path else None


class Agent:
    """A connection to the agent: one document and one descriptor, then it is closed."""

    def __init__(self, path: str, metadata: str | None) -> None:
        self.path = path
        self.metadata = metadata
        try:
            self.link = unix.connect(self.path, stream=True)
        except OSError as error:
            raise refused(self.path, str(error.strerror)) from error

    def taker(self, state: State, word: str) -> Callable[[int, int], None]:
        """What takes the listener, and the pid of the process with the filter."""
        return lambda listener, pid: self.send(document(state, word, pid, self.metadata), listener)

    def send(self, text: bytes, listener: int) -> None:
        """The descriptor goes with the first bytes."""
        try:
            while text:
                unix.send(self.link, text[:CHUNK], listener)
                text, listener = text[CHUNK:], -1
        except OSError as error:
            raise refused(self.path, str(error.strerror)) from error
        self.close()

    def close(self) -> None:
        if self.link >= 0:
            posix.close(self.link)
            self.link = -1


def document(state: State, word: str, pid: int, metadata: str | None) -> bytes:
    found: dict[str, Any] = {"ociVersion": OCI_VERSION, "fds": ["seccompFd"], "pid": pid}
    if metadata is not None:
        found["metadata"] = metadata
    return encode({**found, "state": status.document(state, word)}).encode()
