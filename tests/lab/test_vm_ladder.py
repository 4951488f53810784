"""The ladder, the ioctls and the machine on a KVM of hardware (the lab's processor shows svm): tests/vm, once more."""

from __future__ import annotations

import json

import pytest

from minirun.vm import ladder, probe
from tests.conftest import MINIRUN, run as command
from tests.vm.test_kvm_layer import *  # noqa: F403 (pytest collects what a module has, wherever it was written)
from tests.vm.test_machine import *  # noqa: F403

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "kvm")]


@pytest.mark.parametrize("rung", ladder.RUNGS, ids=lambda rung: rung.name)
def test_every_rung(rung: ladder.Rung) -> None:
    result = ladder.climb(rung, 60)
    assert result.ok(), (result.why(), result.registers, result.exits)


def test_this_kvm_is_of_hardware() -> None:
    """Said at once, by the processor's flags; counting agrees."""
    assert probe.look() == probe.Probe(kind=probe.REAL)
    assert probe.look(measure=True).rate >= probe.SLOW
    rows = {row["name"]: row for row in json.loads(command(MINIRUN, "doctor", "-f", "json").stdout)["findings"]}
    assert rows["KVM"]["found"].startswith("of hardware: ")
    assert (rows["KVM"]["status"], rows["KVM"]["hint"]) == ("ok", "")
