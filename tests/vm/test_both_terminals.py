"""Terminals under every isolation: sizes, control characters, and the end."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.integration.seen import wait_for
from tests.integration.terminals import ConsoleSocket, Terminal
from tests.vm.both import PATIENCE, Isolated

pytestmark = pytest.mark.needs("root", "busybox", "compiler")


def test_a_terminal(isolated: Isolated, bundle: Bundle, tmp_path: Path) -> None:
    """Its master goes to the console socket; sizes, control characters and the end are a terminal's."""
    bundle.config["process"]["terminal"] = True
    bundle.config["process"]["consoleSize"] = {"height": 30, "width": 90}
    loop = "while read line; do echo got $line; /probe winsize; done; exit 5"
    bundle.args("/bin/sh", "-c", f"trap 'echo interrupted' INT; /probe isatty -- winsize; {loop}")
    socket = ConsoleSocket(tmp_path / "console")
    name = isolated.create(bundle, "--console-socket", str(socket.path))
    terminal = socket.take()
    isolated("start", name)
    terminal.expect("2 yes\r\n30 90\r\n", 20)
    terminal.type("hello\n")
    terminal.expect("hello\r\ngot hello\r\n30 90\r\n", 20)
    terminal.resize(40, 100)
    time.sleep(1)
    terminal.type("again\n")
    terminal.expect("got again\r\n40 100\r\n", 20)
    terminal.type("\x03")
    terminal.expect("interrupted\r\n", 20)
    terminal.type("\x04")
    wait_for(lambda: isolated.state(name)["status"] == "stopped", 20)
    terminal.close()


def test_exec_with_a_terminal_of_ours(isolated: Isolated, running: str) -> None:
    """exec -t from a shell: what is typed arrives, and the exit code comes back."""
    master, slave = pty.openpty()
    argv = isolated.words("exec", "-t", running, "/bin/sh", "-c", "/probe isatty; read x; echo [$x]; exit 4")
    with subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        os.close(slave)
        terminal = Terminal(master)
        terminal.expect("2 yes\r\n", 30)
        terminal.type("word\n")
        terminal.expect(r"\[word\]\r\n", 30)
        assert process.wait(PATIENCE) == 4
    terminal.close()
