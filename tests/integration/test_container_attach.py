"""A container in the terminal: run -it, the detach keys, attach, input that ends, several who look at once."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.shop import IMAGE, Shop
from tests.integration.terminals import Inside

pytestmark = pytest.mark.needs("root", "busybox")
NONE = ("--net", "none")
KEYS = "\x10\x11"


@contextmanager
def inside(shop: Shop, *argv: str, rows: int = 24, columns: int = 80) -> Iterator[Inside]:
    place = Inside(shop.command(*argv), rows, columns)
    try:
        yield place
    finally:
        if place.process.poll() is None:
            place.process.kill()
            place.process.wait()
        place.close()


def test_a_shell_in_the_terminal(shop: Shop) -> None:
    with inside(shop, "run", "-it", "--rm", *NONE, IMAGE, "sh", rows=33, columns=77) as place:
        before = place.terminal.modes()
        place.terminal.expect("/ # ")
        place.terminal.type("stty size; tty\n")
        place.terminal.expect("33 77\r\n/dev/pts/0\r\n")
        place.terminal.resize(50, 100)
        place.process.send_signal(signal.SIGWINCH)
        place.terminal.expect("/ # ")
        time.sleep(0.2)
        place.terminal.type("stty size\n")
        place.terminal.expect("50 100\r\n")
        place.terminal.type("sleep 100\n")
        time.sleep(0.3)
        place.terminal.type("\x03")
        place.terminal.expect("/ # ")
        place.terminal.type("exit 4\n")
        assert place.process.wait(10) == 4
        assert place.terminal.modes() == before
    assert not any(shop.left().values())


def test_detach_and_attach_again(shop: Shop) -> None:
    with inside(shop, "run", "-it", "--name", "d", *NONE, IMAGE, "sh") as place:
        place.terminal.expect("/ # ")
        place.terminal.type("echo o''ne\n")
        place.terminal.expect("one\r\n")
        place.terminal.type(KEYS)
        assert place.process.wait(10) == 0
    assert shop.status("d")["status"] == "running"
    with inside(shop, "attach", "--detach-keys", "ctrl-x,x", "d") as place:
        place.terminal.type("echo t''wo\n")
        place.terminal.expect("two\r\n")
        place.terminal.type("\x10\x11echo thr''ee\n")  # not the keys any more
        place.terminal.expect("three\r\n")
        place.terminal.type("\x18x")
        assert place.process.wait(10) == 0
    with inside(shop, "attach", "d") as place:
        place.terminal.type("exit 5\n")
        assert place.process.wait(10) == 5
    assert "one" in shop.out("logs", "d") and "two" in shop.out("logs", "d")
    assert shop("attach", "d").returncode == 1


def test_wrong_detach_keys_are_named(shop: Shop) -> None:
    shop.out("create", "--name", "k", "-it", *NONE, IMAGE, "true")
    done = shop("start", "-ai", "--detach-keys", "ctrl-alt", "k")
    assert done.returncode == 2 and "ctrl-alt" in done.stderr
    assert shop.status("k")["status"] == "created"


def test_exec_in_the_terminal(shop: Shop) -> None:
    shop.background("sleep", "100", name="e")
    with inside(shop, "exec", "-it", "e", "sh", rows=20, columns=60) as place:
        place.terminal.expect("/ # ")
        place.terminal.type("stty size; exit 6\n")
        place.terminal.expect("20 60\r\n")
        assert place.process.wait(10) == 6


def test_input_that_ends_is_seen_inside(shop: Shop) -> None:
    done = shop("run", "--rm", "-i", *NONE, IMAGE, "sh", "-c", "wc -c; echo more", input="x" * 100000)
    assert done.stdout.split() == ["100000", "more"]


def test_a_program_that_reads_nothing_is_no_hindrance(shop: Shop) -> None:
    done = shop("run", "--rm", "-i", *NONE, IMAGE, "echo", "no", input="x" * 3_000_000)
    assert done.stdout == "no\n"


def test_input_of_a_killed_foreground_ends(shop: Shop) -> None:
    process = shop.start("run", "-i", "--name", "i", *NONE, IMAGE, "sh", "-c", "echo up; cat; echo ended; exit 3")
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate()
    assert shop.until("i", "exited")["exitCode"] == 3
    assert "ended" in shop.out("logs", "i")


def test_several_look_at_one(shop: Shop) -> None:
    shop.background("sh", "-c", "sleep 1; echo now; exit 2", name="s")
    lookers = [shop.start("attach", "--no-stdin", "s") for _ in range(3)]
    for looker in lookers:
        out, _ = looker.communicate(timeout=10)
        assert (out, looker.returncode) == (b"now\n", 2)


def test_sig_proxy_can_be_left_out(shop: Shop) -> None:
    shop.background("sh", "-c", "trap 'exit 7' INT; while :; do sleep 0.05; done", name="p")
    time.sleep(0.2)
    without = shop.start("attach", "--sig-proxy=false", "p")
    time.sleep(0.3)
    without.send_signal(signal.SIGINT)
    without.communicate(timeout=10)
    assert shop.status("p")["status"] == "running"
    proxied = shop.start("attach", "p")
    time.sleep(0.3)
    proxied.send_signal(signal.SIGINT)
    proxied.communicate(timeout=10)
    assert proxied.returncode == 7


def test_the_third_interrupt_leaves_a_program_that_ignores_them(shop: Shop) -> None:
    process = shop.start("run", "--name", "deaf", *NONE, IMAGE, "sh", "-c", "trap '' INT; echo up; sleep 100")
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130 and b"the program goes on" in err
    assert shop.status("deaf")["status"] == "running"


def test_nothing_of_the_monitors_is_open_inside(shop: Shop) -> None:
    """Three descriptors and the listing's own; nothing that leads to the log, the socket, the storage."""
    names = shop.out("run", "--rm", *NONE, IMAGE, "ls", "/proc/self/fd").split()
    assert names == ["0", "1", "2", "3"]
    where = shop.out("run", "--rm", *NONE, IMAGE, "sh", "-c", "readlink /proc/$$/fd/0; readlink /proc/$$/fd/1")
    assert where.split()[0] == "/dev/null" and where.split()[1].startswith("pipe:")


def test_the_monitor_keeps_nothing_of_its_callers(shop: Shop) -> None:
    """A shell's $(...) returns when `run -d` does: no pipe of its is held open."""
    begun = time.monotonic()
    subprocess.run(shop.command("run", "-d", *NONE, IMAGE, "sleep", "100"), capture_output=True, check=True)
    assert time.monotonic() - begun < 10
