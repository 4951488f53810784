"""``--isolation vm container``: the verbs that people use, on a machine of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import shop as shops
from tests.integration.shop import IMAGE, Shop

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox", "guest", "nftables")]
PROGRAM = "echo begun; echo made > /made; trap 'echo bye; exit 5' TERM; while :; do sleep 0.2; done"


class Machines(Shop):
    """The ``container`` verbs, where a container is a machine."""

    def command(self, *argv: str | Path) -> list[str]:
        return [*self.base, "--isolation", "vm", "container", *map(str, argv)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(shops.stock(tmp_path / "storage"), tmp_path / "root")
    yield made
    made.close()


def test_run_is_the_programs_output_and_exit_code(shop: Machines) -> None:
    words = ("sh", "-c", "cat; uname -r | cut -d. -f1; cat /srv/file; exit 7")
    (shop.storage / "file").write_text("bound\n")
    flags = ("--rm", "-i", "--net", "none", "-v", f"{shop.storage / 'file'}:/srv/file:ro")
    done = shop("run", *flags, IMAGE, *words, input="in\n", timeout=60)
    assert (done.returncode, done.stdout.split()) == (7, ["in", "6", "bound"]), done.stderr
    assert not any(shop.left().values())


def test_a_machine_on_a_bridge_from_run_to_stop(shop: Machines) -> None:
    shop.out("run", "-d", "--name", "box", IMAGE, "sh", "-c", PROGRAM, timeout=60)
    follower = subprocess.Popen(shop.command("logs", "-f", "box"), stdout=subprocess.PIPE, text=True)
    assert shop.out("exec", "box", "cat", "/made") == "made"
    (shop.storage / "file").write_text("copied")
    shop.out("cp", shop.storage / "file", "box:/copied")
    script = (
        "cat /copied; grep -c box /etc/hosts; ping -c 1 -W 5 $(ip route | awk '/default/ { print $3 }') | grep -c ttl"
    )
    assert shop.out("exec", "box", "sh", "-c", script).split() == ["copied1", "1"]
    assert shop.out("diff", "box").split() == ["A", "/copied", "A", "/made"]
    terminal = subprocess.run(
        ["script", "-qec", " ".join(shop.command("exec", "-it", "box", "tty")), "/dev/null"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert "/dev/pts/0" in terminal.stdout
    begun = time.monotonic()
    shop.out("stop", "box")
    assert time.monotonic() - begun < 8, "the program heard of it"
    assert follower.communicate(timeout=10)[0] == "begun\nbye\n"
    assert shop.status("box")["exitCode"] == 5
