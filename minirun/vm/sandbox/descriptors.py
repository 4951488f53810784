"""The program's file table: its numbers, and the host's behind them.

The program never sees a number of the host's: what it has not opened, or was not given, does not exist for it.
"""

from __future__ import annotations

from minirun.linux.kvm import lib

CLOSE, DUP = 3, 32
EBADF, EMFILE = 9, 24
call = lib.host_call


class Files:
    """``table``: number -> the host's; ``closing``: numbers that execve(2) closes."""

    def __init__(self, table: dict[int, int]) -> None:
        self.table = table
        self.closing: set[int] = set()
        self.most = 1 << 20

    def host(self, number: int) -> int:
        found = self.table.get(number)
        if found is None:
            raise OSError(EBADF, "descriptor")
        return found

    def add(self, host: int, *, closing: bool = False, lowest: int = 0) -> int:
        """The lowest free number for a descriptor of the host's; a negative one is an error, and stays it."""
        if host < 0:
            return host
        number = lowest
        while number in self.table:
            number += 1
        if number >= self.most:
            call(CLOSE, host, 0, 0, 0, 0, 0)
            return -EMFILE
        self.table[number] = host
        if closing:
            self.closing.add(number)
        return number

    def close(self, number: int) -> int:
        host = self.table.pop(number, None)
        if host is None:
            return -EBADF
        self.closing.discard(number)
        done: int = call(CLOSE, host, 0, 0, 0, 0, 0)
        return done

    def duplicate(self, number: int, lowest: int, *, closing: bool = False) -> int:
        return self.add(call(DUP, self.host(number), 0, 0, 0, 0, 0), closing=closing, lowest=lowest)

    def replace(self, number: int, target: int, *, closing: bool = False) -> int:
        """dup2(2): ``target`` becomes another name of ``number``."""
        host = call(DUP, self.host(number), 0, 0, 0, 0, 0)
        if host < 0:
            return int(host)
        if target in self.table:
            self.close(target)
        self.table[target] = host
        if closing:
            self.closing.add(target)
        return target

    def execve(self) -> None:
        for number in list(self.closing):
            self.close(number)
