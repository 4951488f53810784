"""The container verbs stay lean: what they import is their start-up time (HACKING.md, section 8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.test_imports import NEVER
from tests.installed import Installed
from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")
ROOMS = {"minirun.vm", "minirun.lab", "minirun.images.pull", "minirun.images.registry", "minirun.network.attach"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


@pytest.mark.parametrize(
    "words",
    [
        f"run --rm --net none {IMAGE} true", f"run -d --net none {IMAGE} true", "ps -a", "stop -t 0 one",
        "exec one true", "logs one", "rm -f one",
    ],
    ids=lambda words: words.split()[0],
)  # fmt: skip
def test_nothing_heavy_is_imported(installed: Installed, shop: Shop, tmp_path: Path, words: str) -> None:
    shop.background("sleep", "100", name="one")
    modules, active = installed.modules(*shop.base[1:], "container", *words.split())
    assert active
    assert not sorted(modules & (NEVER | ROOMS))
