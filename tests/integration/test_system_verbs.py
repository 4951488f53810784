"""``minirun system``: df adds up, info says what there is, prune takes what nobody uses and what a crash has left."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.conftest import MINIRUN, run
from tests.integration.shop import Shop

pytestmark = pytest.mark.needs("root", "busybox")


def system(shop: Shop, *words: str, code: int = 0) -> str:
    done = run(*shop.base, "system", *words)
    assert done.returncode == code, done.stderr
    return done.stdout if not code else done.stderr


def parts(shop: Shop, *words: str) -> dict[str, dict[str, Any]]:
    lines = system(shop, "df", "--format", "json", *words).splitlines()
    return {row["Type"]: row for row in map(json.loads, lines)}


def test_df_adds_up(shop: Shop):
    before = parts(shop)
    assert before["Images"]["Total"] == 1 and before["Images"]["Active"] == 0
    blobs = sum(path.stat().st_size for path in (shop.storage / "blobs").rglob("*") if path.is_file())
    assert before["Images"]["Size"] == before["Images"]["Reclaimable"] == blobs
    shop.background("sleep", "1000", name="runs")
    shop.out("run", "--net", "none", "--name", "ended", "busybox", "sh", "-c", "head -c 300000 /dev/zero >/big")
    shop.out("run", "--rm", "--net", "none", "-v", "data:/data", "busybox", "touch", "/data/x")
    found = parts(shop, "-v")
    assert (found["Images"]["Active"], found["Images"]["Reclaimable"]) == (1, 0)
    assert (found["Layers"]["Total"], found["Layers"]["Active"], found["Layers"]["Reclaimable"]) == (1, 1, 0)
    assert (found["Containers"]["Total"], found["Containers"]["Active"]) == (2, 1)
    assert 300000 <= found["Containers"]["Reclaimable"] < 500000
    assert (found["Volumes"]["Total"], found["Volumes"]["Active"]) == (1, 0)
    users = {item["name"]: item["users"] for item in found["Images"]["Items"]}
    assert sorted(users["busybox:latest"]) == ["ended", "runs"]
    table = system(shop, "df").splitlines()
    assert table[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert [line.split()[0] for line in table[1:]] == ["Images", "Layers", "Containers", "Volumes"]
    assert "busybox:latest" in system(shop, "df", "-v")


def test_info_says_what_is_there(shop: Shop):
    shop.background("sleep", "1000")
    found = json.loads(system(shop, "info", "--format", "json"))
    assert found["Containers"]["running"] == 1 and found["Images"] == 1
    assert (found["Storage"], found["Root"]) == (str(shop.storage), str(shop.root))
    lines = system(shop, "info").splitlines()
    assert len(lines) == len(found) and len({line.index(line.split(":", 1)[1].strip()[:3]) for line in lines}) <= len(
        lines
    )


def test_prune_takes_what_nobody_uses(shop: Shop):
    runs = shop.background("sleep", "1000", name="runs", flags=("-v", "/anonymous"))
    shop.out("run", "--net", "none", "--name", "ended", "-v", "/other", "-v", "named:/n", "busybox", "true")
    said = system(shop, "prune", "-f")
    assert "ended" in said and "Total reclaimed space" in said and "busybox" not in said
    assert shop.out("ps", "-aq", "--no-trunc") == runs
    assert len(list((shop.storage / "volumes").iterdir())) == 3  # not asked to
    said = system(shop, "prune", "--force", "--volumes", "--all")
    assert said.count("\n  ") == 1 and "Deleted Volumes" in said
    volumes = {path.name for path in (shop.storage / "volumes").iterdir()}
    assert "named" in volumes and len(volumes) == 2
    assert shop.out("exec", "runs", "echo", "here") == "here"  # what runs keeps its image
    shop.out("rm", "-f", "-v", "runs")
    said = system(shop, "prune", "-af")
    assert "untagged: busybox:latest" in said and "layers: 1" in said
    assert not [path for path in (shop.storage / "blobs").rglob("*") if path.is_file()]
    assert [path.name for path in (shop.storage / "layers").iterdir() if path.name[0] != "."] == []


def test_prune_mends_what_a_crash_has_left(shop: Shop):
    shop.background("sleep", "1000", name="lost")
    os.kill(shop.status("lost")["monitor"], signal.SIGKILL)
    (shop.storage / "tmp").mkdir(exist_ok=True)
    (shop.storage / "tmp" / "build-killed").mkdir()
    (shop.storage / "ingest" / ("0" * 64 + ".part")).write_bytes(b"half")
    said = system(shop, "prune", "-f")
    assert "container lost" in said and "unfinished: build-killed" in said
    assert not list((shop.storage / "ingest").iterdir()) and not list((shop.storage / "tmp").iterdir())
    assert shop.out("ps", "-aq") == ""
    assert system(shop, "prune", "-f") == "Total reclaimed space: 0B\n"


def test_prune_asks_and_does_not_without_a_terminal(shop: Shop):
    assert "there is nobody to ask" in system(shop, "prune", code=2)
    assert "--format must be table or json" in system(shop, "df", "--format", "xml", code=2)


def test_prune_says_that_the_storage_is_in_use(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """In process, with less patience."""
    from minirun.cli import system_prune
    from minirun.container.life import Place
    from minirun.container.shelf import Shelf
    from minirun.images.store import Images

    exclusive = Images.exclusive
    monkeypatch.setattr(Images, "exclusive", lambda self: exclusive(self, 0.1))
    place = Place(storage=str(shop.storage), root=str(shop.root), env={}, warn=print)
    with Images(str(shop.storage)).shared():
        report = system_prune.run(Shelf(str(shop.storage)), place, every=False, volumes=False)
    assert [error.message for error in report.failed] == ["the storage is in use"]


def test_a_storage_that_is_not_there_takes_nothing():
    done = run(MINIRUN, "--storage", "/nonexistent/x", "system", "df")
    assert done.returncode == 0 and done.stdout.count(" 0B ") == 4, done.stderr
