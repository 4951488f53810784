"""The two ends of a terminal for tests: a console socket, and a pty of our own to run minirun in."""

from __future__ import annotations

import fcntl
import os
import re
import select
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path


class Terminal:
    """A pty's master: type, and read until what is awaited has come."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str, seconds: float = 5) -> str:
        """Everything up to and with the match, taken off; AssertionError with what came instead."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            ready, _, _ = select.select([self.master], [], [], max(end - time.monotonic(), 0))
            assert ready, f"no {pattern!r} in {self.text!r}"
            try:
                data = os.read(self.master, 65536)
            except OSError:  # EIO: the last slave was closed
                data = b""
            assert data, f"the end instead of {pattern!r}: {self.text!r}"
            self.text += data.decode("utf-8", "replace")
        before = self.text[: found.end()]
        self.text = self.text[found.end() :]
        return before

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("<4H", rows, columns, 0, 0))

    def modes(self) -> list[object]:
        return termios.tcgetattr(self.master)

    def close(self) -> None:
        os.close(self.master)


class ConsoleSocket:
    """What containerd and conmon listen on (runc's docs/terminals.md): one connection, the master as SCM_RIGHTS."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(10)

    def take(self) -> Terminal:
        link, _ = self.listener.accept()
        with link:
            name, fds, _, _ = socket.recv_fds(link, 4096, 4)
        assert len(fds) == 1 and name
        return Terminal(fds[0])

    def close(self) -> None:
        self.listener.close()


class Inside:
    """A command whose terminal is a pty of ours, as a person's shell has it."""

    def __init__(self, argv: list[str], rows: int = 24, columns: int = 80, **more: object) -> None:
        master, slave = os.openpty()
        self.terminal = Terminal(master)
        self.terminal.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            **more,  # type: ignore[call-overload]
        )

    def wait(self, seconds: float = 10) -> int:
        code: int = self.process.wait(seconds)
        return code

    def modes(self) -> list[object]:
        return termios.tcgetattr(self.slave)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.terminal.close()
        os.close(self.slave)
