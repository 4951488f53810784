"""A counter of a cgroup's events file, waited for without looking at it again and again.

The kernel wakes who polls such a file (memory.events, pids.events, cgroup.events) for POLLPRI when it changes, since
the last read through the same descriptor (cgroup-v2.rst, File notification; fs/kernfs/file.c, kernfs_notify).
"""

from __future__ import annotations

import posix


class Watch:
    """``fd`` is what to poll; -1 where there is no such file (no controller).

    The cgroup may be removed meanwhile: then ``gone`` is true, and the descriptor is ready for ever.
    """

    def __init__(self, directory: str, name: str, counter: str) -> None:
        self.counter = counter
        self.seen = 0
        self.gone = False
        try:
            self.fd = posix.open(f"{directory}/{name}", posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            self.fd = -1
        self.grown()

    def grown(self) -> bool:
        """Is the counter above what it was when last asked?  Asking makes the descriptor wait for the next change."""
        if self.fd < 0 or self.gone:
            return False
        try:
            lines = posix.pread(self.fd, 4096, 0).decode().splitlines()
        except OSError:  # ENODEV
            self.gone = True
            return False
        before = self.seen
        for line in lines:
            name, _, count = line.partition(" ")
            if name == self.counter:
                self.seen = int(count)
        return self.seen > before
