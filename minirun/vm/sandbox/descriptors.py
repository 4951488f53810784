"""The program's file table: its numbers, and the host's behind them.

The program never sees a number of the host's: what it has not opened, or was not given, does not exist for it.

A thread that is in a call of the host's holds on to its descriptor there, as the kernel does: if another thread closes
it meanwhile, the host's is closed when the call is over.  Otherwise its number might be that of something of ours
by the time the call begins.  So ``host`` first writes down what it has found and then looks whether it is still there,
and ``close`` first takes it away and then looks who has written it down.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident

from minirun.linux.kvm import lib

CLOSE, DUP = 3, 32
EBADF, EMFILE = 9, 24
MOST = 1 << 20
call = lib.host_call


class Files:
    """``table``: number -> the host's; ``closing``: numbers that execve(2) closes; ``most``: RLIMIT_NOFILE."""

    def __init__(self, table: dict[int, int]) -> None:
        self.table = table
        self.closing: set[int] = set()
        self.most = MOST
        self.free = 0  # no number below it is
        self.alone()

    def alone(self) -> None:
        """There is one thread: at the beginning, and in a child after fork(2)."""
        self.lock = allocate_lock()
        self.shared = False
        self.using: dict[int, list[int]] = {}  # by threads of ours: the host's that a call has in its hands
        self.dying: list[int] = []  # the host's that are to be closed when nobody uses them

    def host(self, number: int) -> int:
        """Raises OSError EBADF."""
        found = self.table.get(number)
        if found is not None and self.shared:
            self.using.setdefault(get_ident(), []).append(found)
            if self.table.get(number) != found:
                found = None
        if found is None:
            raise OSError(EBADF, "descriptor")
        return found

    def done(self) -> None:
        """The call is over."""
        self.using.pop(get_ident(), None)
        if self.dying:
            with self.lock:
                used = self.used()
                over = [host for host in self.dying if host not in used]
                self.dying = [host for host in self.dying if host in used]
            for host in over:
                call(CLOSE, host, 0, 0, 0, 0, 0)

    def used(self) -> set[int]:
        return {host for hosts in list(self.using.values()) for host in list(hosts)}

    def add(self, host: int, *, closing: bool = False, lowest: int = 0) -> int:
        """The lowest free number for a descriptor of the host's; a negative one is an error, and stays it."""
        if host < 0:
            return host
        with self.lock:
            number = max(lowest, self.free)
            while number in self.table:
                number += 1
            if number < self.most:
                if lowest <= self.free:
                    self.free = number + 1
                self.table[number] = host
                (self.closing.add if closing else self.closing.discard)(number)
                return number
        call(CLOSE, host, 0, 0, 0, 0, 0)
        return -EMFILE

    def close(self, number: int) -> int:
        with self.lock:
            host = self.table.pop(number, None)
            if host is None:
                return -EBADF
            self.closing.discard(number)
            self.free = min(self.free, number)
            if self.shared and host in self.used():
                self.dying.append(host)
                return 0
        done: int = call(CLOSE, host, 0, 0, 0, 0, 0)
        return done

    def duplicate(self, number: int, lowest: int, *, closing: bool = False) -> int:
        return self.add(call(DUP, self.host(number), 0, 0, 0, 0, 0), closing=closing, lowest=lowest)

    def replace(self, number: int, target: int, *, closing: bool = False) -> int:
        """dup2(2): ``target`` becomes another name of ``number``."""
        host = call(DUP, self.host(number), 0, 0, 0, 0, 0)
        if host < 0:
            return int(host)
        with self.lock:
            before = self.table.get(target)
            self.table[target] = host
            (self.closing.add if closing else self.closing.discard)(target)
            if before is not None and self.shared and before in self.used():
                self.dying.append(before)
                before = None
        if before is not None:
            call(CLOSE, before, 0, 0, 0, 0, 0)
        return target

    def execve(self) -> None:
        for number in list(self.closing):
            self.close(number)
