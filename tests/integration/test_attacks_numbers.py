"""Attacks by numbers that are none: whatever is not strictly one is refused, and never means 0."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.test_attacks_words import plain

pytestmark = pytest.mark.needs("root", "busybox")

NO_NUMBERS = (
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "0x0",
    "1e3",
    "1_0",
    "1.0",
    "\u0661",
    "\u00b2",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "9" * 5000,
    "root",
    "nan",
)


@pytest.fixture
def running(minirun: Runtime, bundle: Bundle) -> Iterator[str]:
    name = minirun.start(bundle.args("/probe", "pause"))
    yield name
    assert minirun.state(name)["status"] == "running"


def test_users_are_numbers(minirun: Runtime, running: str) -> None:
    """CVE-2026-30892: whatever is not one must not become user 0."""
    users = [
        *NO_NUMBERS[1:],
        *(f"0:{word}" for word in NO_NUMBERS),
        *(f"{word}:0" for word in NO_NUMBERS),
        ":",
        "0:0:0",
    ]
    for user in users:
        done = minirun("exec", "-u", user, running, "/probe", "id")
        assert (done.returncode, done.stdout) == (2, ""), (user, done)
        plain(done.stderr)
    for group in NO_NUMBERS:
        done = minirun("exec", "-g", group, running, "/probe", "id")
        assert (done.returncode, done.stdout) == (2, ""), (group, done)


def test_signals_are_known(minirun: Runtime, running: str) -> None:
    words = (
        *NO_NUMBERS,
        "65",
        "64x",
        "-9",
        "SIGFOO",
        "SIG",
        "SIGSIGKILL",
        "RTMIN+\u00b2",
        "RTMIN+--3",
        "RTMIN+31",
        "RTMAX+1",
        "KILL+1",
        "RTMIN+",
        "RTMIN+" + "9" * 5000,
    )
    for word in words:
        if word == "+1":
            continue
        done = minirun("kill", "--", running, word)
        assert done.returncode == 2, (word, done)
        plain(done.stderr)


def test_numbers_of_flags_are_numbers(minirun: Runtime, bundle: Bundle, running: str) -> None:
    for word in NO_NUMBERS[1:]:
        for argv in (
            ("run", "--preserve-fds", word, "-b", bundle.path, "never"),
            ("update", "--pids-limit", f"{word}k", running),
            ("events", "--interval", word, running),
            ("events", "--interval", f"{word}x", running),
        ):
            done = minirun(*argv)
            assert done.returncode in (2, 125), (argv, done)
            plain(done.stderr)
    for word in ("\u00b2s", "0s", "-1s", "1e3s", ".s", "1.2.3s", "s", "\u0661ms"):
        assert minirun("events", "--stats", "--interval", word, running).returncode == 2, word


@pytest.mark.parametrize("count", [1, 3, 50, 999_999])
def test_only_the_callers_descriptors_are_preserved(
    minirun: Runtime, bundle: Bundle, clean_host: None, count: int
) -> None:
    """Where the caller has none, minirun's own would pass: its state directory is a way out (CVE-2024-21626)."""
    bundle.args("/probe", "fds")
    env = {"PATH": os.environ["PATH"]}
    for flags, more in ((("--preserve-fds", str(count)), {}), ((), {"LISTEN_FDS": str(min(count, 999))})):
        done = minirun.run(bundle, *flags, env=env | more)
        assert (done.returncode, done.stdout) == (125, ""), done
        assert "descriptor 3 is not open" in done.stderr
        plain(done.stderr)
