"""The promises about machines, as ratios to qemu's microvm measured in turns: the aims of tests/bench/vm.py.

In the lab, whose load is its own, but whose two processors are this machine's: what is not reached at first is measured
once more.
"""

from __future__ import annotations

import argparse
import functools
import shutil
from typing import Any

import pytest

from tests.conftest import ROOT

BENCH = ROOT / "tests" / "bench"
ROUNDS, ATTEMPTS = 1, 2

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "guest")]


@functools.cache
def bench() -> Any:
    """tests/bench/vm.py, which finds its siblings as a script does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        import vm  # type: ignore[import-not-found]

        return vm


@functools.cache
def attempt(number: int) -> dict[str, Any]:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("no qemu-system-x86_64 here")
    if not bench().hardware():
        pytest.skip("KVM is emulated here")
    guest = bench().CACHE / "vm-guest"
    if not guest.exists():
        pytest.skip("tests/bench/vm.py --build has not been run")
    found: dict[str, Any] = bench().measure(argparse.Namespace(runs=ROUNDS, flavour="cloud"), guest)
    return found


ROWS = (
    "exec to the guest's init, vmlinux", "exec to the guest's init, bzImage",
    "VMM memory beyond the guest's, vmlinux", "VMM memory beyond the guest's, bzImage",
    "exits of a port that nobody owns", "virtio-blk, sequential, 256 KiB", "virtio-blk, random, 4 KiB",
)  # fmt: skip


def test_every_aim_is_tested() -> None:
    assert set(ROWS) == {row for row, (_, _, aim) in bench().ROWS.items() if aim}


@pytest.mark.parametrize("row", ROWS)
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
