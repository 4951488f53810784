"""Terminals: through a console socket, and in the foreground of a person's own."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.seen import mark, outside, wait_for
from tests.integration.terminals import ConsoleSocket, Inside

pytestmark = pytest.mark.needs("root", "busybox")

PROMPT = r"# \x1b\[6n"  # busybox asks where the cursor is, behind its prompt


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleSocket]:
    with closing(ConsoleSocket(tmp_path / "console.sock")) as listener:
        yield listener


@pytest.fixture
def shell(bundle: Bundle) -> Bundle:
    bundle.config["process"].update(terminal=True, args=["/bin/sh"])
    bundle.config["process"]["env"].append("PS1=# ")
    return bundle


def test_console_socket(minirun: Runtime, shell: Bundle, console: ConsoleSocket, clean_host: None) -> None:
    """The master arrives; a shell with job control answers on it; the size is consoleSize's."""
    shell.config["process"]["consoleSize"] = {"height": 33, "width": 101}
    name = minirun.create(shell, "--console-socket", str(console.path))
    with closing(console.take()) as terminal:
        assert minirun("start", name).returncode == 0
        terminal.expect(PROMPT)
        terminal.type("/probe isatty -- winsize -- tty-name -- stat /dev/console -- sid -- fds\n")
        said = terminal.expect(PROMPT).replace("\r", "").splitlines()
        assert said[1:5] == ["0 yes", "1 yes", "2 yes", "33 101"]
        assert said[5] == "/dev/pts/0" and said[6].startswith("char 06") and " 136:0 " in said[6]
        assert said[7] == "1"
        assert [line.split()[1] for line in said[8:11]] == ["/dev/pts/0"] * 3
        terminal.resize(10, 20)
        terminal.type("/probe winsize\n")
        assert "10 20" in terminal.expect(PROMPT)
        terminal.type("/bin/sleep 100\n")
        wait_for(lambda: "sleep" in minirun("ps", name).stdout)
        terminal.type("\x03")
        terminal.expect(PROMPT)
        terminal.type("exit 3\n")
        wait_for(lambda: minirun.state(name)["status"] == "stopped")
    minirun("delete", name)


def test_the_terminal_belongs_to_the_user(minirun: Runtime, shell: Bundle, console: ConsoleSocket) -> None:
    shell.config["process"].update(
        user={"uid": 1000, "gid": 1000}, args=["/probe", "stat", "/dev/pts/0", "--", "openrw", "/dev/tty"]
    )
    name = minirun.create(shell, "--console-socket", str(console.path))
    with closing(console.take()) as terminal:
        minirun("start", name)
        said = terminal.expect(r"ok\r\n")
    assert said.startswith("char 0620 1000 ")


@pytest.mark.parametrize("verb", ["create", "run -d"])
def test_a_terminal_without_a_taker(minirun: Runtime, shell: Bundle, clean_host: None, verb: str) -> None:
    done = minirun(*verb.split(), "-b", shell.write(), minirun.name())
    assert done.returncode == 125 and "--console-socket" in done.stderr


def test_a_taker_without_a_terminal(minirun: Runtime, bundle: Bundle, console: ConsoleSocket, clean_host: None) -> None:
    done = minirun("create", "-b", bundle.write(), "--console-socket", console.path, minirun.name())
    assert done.returncode == 125 and "/process/terminal" in done.stderr


def test_nobody_at_the_socket(minirun: Runtime, shell: Bundle, tmp_path: Path, clean_host: None) -> None:
    words = ("create", "-b", shell.write(), "--console-socket", tmp_path / "nobody", minirun.name())
    done = minirun(*words)
    assert done.returncode == 125 and "nobody" in done.stderr
    assert "does not exist" in minirun("state", minirun.used[-1]).stderr


def foreground(minirun: Runtime, *words: str | Path, **more: int) -> Inside:
    return Inside([str(minirun.program), "--root", str(minirun.root), *map(str, words)], **more)


def test_foreground(minirun: Runtime, shell: Bundle, clean_host: None) -> None:
    """Raw outside while it runs, size and resizes passed on, Ctrl-C goes in, restored after, exit code out."""
    with closing(foreground(minirun, "run", "-b", shell.write(), minirun.name(), rows=30, columns=90)) as person:
        terminal = person.terminal
        terminal.expect(PROMPT)
        modes = person.modes()
        assert isinstance(modes[3], int) and not modes[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
        terminal.type("/probe winsize -- isatty\n")
        assert "30 90\r\n0 yes\r\n" in terminal.expect(PROMPT)
        terminal.resize(40, 120)
        terminal.type("/probe sleep 0.1 -- winsize\n")
        assert "40 120" in terminal.expect(PROMPT)
        terminal.type("/bin/sleep 100; echo over\n")
        wait_for(lambda: "sleep" in minirun("ps", minirun.used[-1]).stdout)
        terminal.type("\x03")
        terminal.expect(PROMPT)
        terminal.type("exit 42\n")
        assert person.wait() == 42
        assert person.modes() == person.before


def test_foreground_output_is_whole(minirun: Runtime, shell: Bundle) -> None:
    """What was written just before the end comes out too."""
    shell.args("/bin/sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo the end")
    with closing(foreground(minirun, "run", "-b", shell.write(), minirun.name())) as person:
        text = person.terminal.expect("the end\r\n")
        assert text.split("\r\n")[:3000] == [f"line {number}" for number in range(3000)]
        assert person.wait() == 0


def test_the_end_of_input(minirun: Runtime, shell: Bundle) -> None:
    with closing(foreground(minirun, "run", "-b", shell.write(), minirun.name())) as person:
        person.terminal.expect(PROMPT)
        person.terminal.type("\x04")
        assert person.wait() == 0


def test_foreground_without_a_terminal_of_ones_own(minirun: Runtime, shell: Bundle) -> None:
    """stdin a pipe, stdout a pipe: the container has a terminal all the same."""
    done = minirun.run(shell.args("/probe", "isatty"), stdin=None, input="")
    assert done.stdout.split() == ["0", "yes", "1", "yes", "2", "yes"]
    done = minirun.run(shell.args("/bin/cat"), stdin=None, input="typed\n")
    assert done.returncode == 0 and done.stdout.replace("\r", "").count("typed\n") == 2, "the echo, and cat's own"


def test_killed_from_outside(minirun: Runtime, shell: Bundle) -> None:
    """The terminal is restored, the code says which signal."""
    with closing(foreground(minirun, "run", "-b", shell.write(), minirun.name())) as person:
        person.terminal.expect(PROMPT)
        minirun("kill", minirun.used[-1], "KILL")
        assert person.wait() == 137
        assert person.modes() == person.before


@pytest.mark.parametrize("flag", ["--tty", "-t"])
def test_exec(minirun: Runtime, bundle: Bundle, flag: str) -> None:
    """A terminal of the container's own devpts, though the first process has none."""
    mark(bundle)
    name = minirun.start(bundle.args("/probe", "pause"))
    words = ("exec", flag, "-e", "PS1=# ", name, "/bin/sh")
    with closing(foreground(minirun, *words, rows=31, columns=91)) as person:
        person.terminal.expect(PROMPT)
        person.terminal.type("/probe isatty -- tty-name -- winsize\n")
        assert "0 yes\r\n1 yes\r\n2 yes\r\n/dev/pts/0\r\n31 91\r\n" in person.terminal.expect(PROMPT)
        person.terminal.type("exit 9\n")
        assert person.wait() == 9
        assert person.modes() == person.before


def test_exec_with_a_console_socket(minirun: Runtime, bundle: Bundle, console: ConsoleSocket) -> None:
    """As podman's conmon does it: --tty, --detach, --process."""
    import json

    name = minirun.start(bundle.args("/probe", "pause"))
    process = {**bundle.config["process"], "terminal": True, "args": ["/bin/sh"], "env": ["PS1=# "]}
    process["consoleSize"] = {"height": 5, "width": 6}
    (bundle.path / "p.json").write_text(json.dumps(process))
    words = ("exec", "--pid-file", bundle.path / "x.pid", "--process", bundle.path / "p.json", "--detach", "--tty",
             "--console-socket", console.path, name)  # fmt: skip
    assert minirun(*words).returncode == 0
    pid = int((bundle.path / "x.pid").read_text())
    with closing(console.take()) as terminal:
        terminal.expect(PROMPT)
        terminal.type("/probe winsize\n")
        assert "5 6" in terminal.expect(PROMPT)
        assert outside(pid, "cmdline") == "/bin/sh\0"
        terminal.type("exit\n")
        wait_for(lambda: not os.path.exists(f"/proc/{pid}/exe") or not readable(pid))
    lonely = minirun("exec", "--tty", "--detach", name, "/bin/sh")
    assert lonely.returncode == 125 and "--console-socket" in lonely.stderr


def readable(pid: int) -> bool:
    try:
        return bool(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False


def test_large_input_does_not_block(minirun: Runtime, shell: Bundle) -> None:
    """A program that answers while it reads: whoever only writes to it, and does not read, waits for ever.

    What comes back is the echo and the answer, mixed at any byte, and the kernel drops echo that finds no room
    (n_tty.c, add_echo_byte); what arrived inside is what counts, and its sum is the last line.
    """
    lines = "".join(f"line {number}\n" for number in range(40_000))
    shell.args("/bin/sh", "-c", "busybox tee /dev/tty | busybox md5sum")
    done = minirun.run(shell, stdin=None, input=lines, timeout=30)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == hashlib.md5(lines.encode()).hexdigest() + "  -"
    assert len(done.stdout) > 1.5 * len(lines)  # echo and answer


def test_end_of_input_in_the_middle_of_a_line(minirun: Runtime, shell: Bundle) -> None:
    done = minirun.run(shell.args("/bin/cat"), stdin=None, input="no newline", timeout=30)
    assert done.returncode == 0 and done.stdout.count("no newline") == 2


def test_output_that_does_not_block(minirun: Runtime, shell: Bundle) -> None:
    """The caller's standard output may be non-blocking (a program of Node's, say), and slow: nothing is lost."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    shell.args("/bin/sh", "-c", "busybox seq 60000")
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(shell.write()), minirun.name()]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs) as process:
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            select.select([pipe], [], [], 10)
            time.sleep(0.3)  # the pipe fills up meanwhile
            lines = pipe.read().split()
        assert process.wait(10) == 0
    assert lines == [b"%d" % number for number in range(1, 60001)]


def test_no_carriage_returns_for_a_pipe(minirun: Runtime, bundle: Bundle) -> None:
    """What is captured has the program's own line ends, as with runc; from the first line on."""
    bundle.config["process"]["terminal"] = True
    words = ["run", "-b", str(bundle.args("/bin/echo", "a\nb").write()), minirun.name()]
    done = subprocess.run(
        [str(minirun.program), "--root", str(minirun.root), *words],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == b"a\nb\n"
