"""Who uses the storage: flock(2) on STORAGE/lock, shared for everybody, exclusive for who takes things away.

Held from before something is looked up or written until a record names it (a tag, a container): what lies below
blobs/ and layers/ without a name belongs to nobody once the lock is held exclusively.  Not to be taken twice by one
process: the exclusive one would wait for its own shared one.
"""

from __future__ import annotations

import fcntl
import posix
from errno import EACCES, EPERM

from minirun.errors import MinirunError
from minirun.images.blobs import make_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

PATIENCE = 10.0  # seconds that an exclusive lock is waited for


class Lock:
    """A context manager; ``patience`` < 0 waits for ever, and so does a shared lock."""

    def __init__(self, path: str, *, exclusive: bool, patience: float = -1) -> None:
        self.path = path
        self.exclusive = exclusive
        self.patience = patience
        self.fd = -1

    def __enter__(self) -> Lock:
        if not self.acquire():
            waited = f" after {self.patience:.0f} seconds" if self.patience > 0 else ""
            raise MinirunError(
                "the storage is in use", reason=f"{self.path} is still locked{waited}",
                hint="a pull, load, build or commit is under way, and holds it until it ends: try again then",
            )  # fmt: skip
        return self

    def acquire(self) -> bool:
        """Take it; False if somebody else still has it when patience ends."""
        make_directory(self.path.rpartition("/")[0])
        try:
            self.fd = posix.open(self.path, posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o600)
        except OSError as error:
            hint = "another user's: --storage names one of yours" if error.errno in (EACCES, EPERM) else ""
            raise MinirunError(f"cannot open {self.path}", reason=error.strerror or "", hint=hint) from error
        taken = False
        try:
            taken = self.wait()
        finally:
            if not taken:
                self.release()
        return taken

    def wait(self) -> bool:
        operation = fcntl.LOCK_EX if self.exclusive else fcntl.LOCK_SH
        if self.patience < 0:
            fcntl.flock(self.fd, operation)
            return True
        from time import monotonic, sleep

        end = monotonic() + self.patience
        while True:
            try:
                fcntl.flock(self.fd, operation | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if monotonic() >= end:
                    return False
            sleep(0.02)

    def release(self) -> None:
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
