"""What README and the tutorial show is what happens: tests/console.py runs their commands."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT, run
from tests.console import USER, matches, play
from tests.reach import MINIRUN

PAGES = ("README.md", "docs/tutorial.md")


@pytest.mark.needs("root", "userns", "busybox")
@pytest.mark.parametrize("page", PAGES)
def test_commands_print_what_the_page_says(page, clean_host):
    if run(MINIRUN, "--version", user=USER, group=USER).returncode != 0:
        pytest.skip("an ordinary user cannot reach this checkout")
    wrong = [(step.command, step.expected, got) for step, got in play(ROOT / page) if not matches(step.expected, got)]
    assert not wrong, f"python -m tests.console {page} rewrites it; read the diff"


def test_matching():
    assert matches("a ... c\n", "a b c\n")
    assert matches("a\n...\nz\n", "a\nb\nc\nz\n")
    assert not matches("a\n", "a\nb\n")
    assert not matches("a.c", "abc")
