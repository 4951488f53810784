"""The promises about machines, as ratios to qemu's microvm measured in turns: the aims of ``vm.py``.

In the lab, whose load is its own, but whose two processors are this machine's: what is not reached at first is measured
once more.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROUNDS, ATTEMPTS = 1, 2

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "guest")]


def bench() -> Any:
    """The script, with its siblings."""
    sys.path.insert(0, str(HERE))
    try:
        import vm
    finally:
        sys.path.remove(str(HERE))
    return vm


@functools.cache
def attempt(number: int) -> dict[str, Any]:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("no qemu-system-x86_64 here")
    guest = bench().CACHE / "vm-guest"
    if not guest.exists():
        pytest.skip("tests/bench/vm.py --build has not been run")
    found: dict[str, Any] = bench().measure(argparse.Namespace(runs=ROUNDS, flavour="cloud"), guest)
    return found


@pytest.mark.parametrize("row", [row for row, (_, _, aim) in bench().ROWS.items() if aim])
def test_beside_qemu(row: str) -> None:
    _, less, aim = bench().ROWS[row]
    seen = []
    for number in range(ATTEMPTS):
        seen.append(bench().ratio(attempt(number)["samples"], row))
        if seen[-1] <= aim if less else seen[-1] >= aim:
            return
    pytest.fail(
        f"{row}: {', '.join(f'{ratio:.2f}' for ratio in seen)} of qemu's, {'at most' if less else 'at least'} {aim}"
    )
