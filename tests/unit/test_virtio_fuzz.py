"""Every virtio device against a hostile driver: no exception, no hang, and a reset mends it (issue 5's device fuzz).

MINIRUN_FUZZ=SECONDS goes on for so long, with a new seed each time; the test is short otherwise.  What happens in C is
watched by ASan in tests/native/test_queue_fuzz.py.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.unit.virtio_hostile import ACTIONS, DEVICES, Action, Hostile

SECONDS = float(os.environ.get("MINIRUN_FUZZ", "0"))
EXAMPLES = 40


def attack(name: str, folder: Path, actions: list[Action]) -> None:
    hostile = Hostile(DEVICES[name](folder))
    try:
        for action in actions:
            hostile.do(action)
        hostile.still_works()
    finally:
        hostile.close()


@pytest.mark.parametrize("name", DEVICES)
def test_a_hostile_driver_breaks_only_its_device(name: str, tmp_path: Path) -> None:
    examples = steps = 0

    @settings(
        max_examples=EXAMPLES * (20 if SECONDS else 1), deadline=None, database=None,
        suppress_health_check=list(HealthCheck), derandomize=not SECONDS,
    )  # fmt: skip
    @given(st.lists(ACTIONS, min_size=20, max_size=80))
    def run(actions: list[Action]) -> None:
        nonlocal examples, steps
        examples += 1
        steps += len(actions)
        attack(name, tmp_path, actions)

    until = time.monotonic() + SECONDS / len(DEVICES)
    run()
    while time.monotonic() < until:
        run()
    print(f"{name}: {examples} drivers, {steps} steps")
