"""The limits of ``container run`` and ``update``, by what they do to a container from an image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import shop as shops
from tests.integration.shop import Shop
from tests.lab.groups import HOME, MEGA, during, value

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]
FLAGS = ("-m", "64m", "--cpus", "0.4", "--pids-limit", "20", "--blkio-weight", "300")
PROGRAM = "while [ ! -e /calm ]; do :; done; exec sleep 1000"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(shops.stock(tmp_path / "storage"), tmp_path / "root")
    yield made
    made.close()


def test_limits_in_force_and_changed_while_it_runs(shop: Shop) -> None:
    name = shop.background("sh", "-c", PROGRAM, name="box", flags=FLAGS)
    group = HOME / name
    (share,) = during(1.5, group)
    assert 0.2 < share < 0.6
    assert value(group, "io.weight", "default") == 2930, "300 of 10 to 1000, on the scale of 1 to 10000"
    shop.out("update", "--cpus", "2", "box")
    hog = ("exec", "box", "sh", "-c", "touch /calm; dd if=/dev/zero of=/dev/null bs=90M count=1")
    assert shop(*hog).returncode == 137 and value(group, "memory.events", "oom_kill") == 1
    shop.out("update", "-m", "160m", "box")
    assert value(group, "memory.max") == 160 * MEGA and (group / "cpu.max").read_text() == "200000 100000\n"
    assert shop(*hog).returncode == 0
    forks = shop("exec", "box", "sh", "-c", "for n in $(seq 30); do sleep 99 > /dev/null 2>&1 & done")
    assert forks.returncode != 0 and "can't fork" in forks.stderr
    assert value(group, "pids.max") == 20 and value(group, "pids.events", "max") > 0
