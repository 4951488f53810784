"""Fixtures of the integration tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, run
from tests.integration import people, shop as shop_of
from tests.integration.boxes import boxed
from tests.integration.mapping import rows
from tests.integration.net_world import World, world
from tests.integration.shop import Shop
from tests.needs import require


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody can reach: pytest's own lie below one that is closed to others."""
    path = Path(tempfile.mkdtemp(prefix="minirun-test-"))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def open_bundle(open_place: Path, rootfs_master: Path) -> Bundle:
    """A bundle that other users, mapped ones too, can reach."""
    (open_place / "bundle").mkdir()
    return Bundle(open_place / "bundle", rootfs_master)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[World]:
    """A host of its own, for networks."""
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def mapped(open_bundle: Bundle) -> Bundle:
    """A bundle with a user namespace: root inside is 100000 outside."""
    linux = open_bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux.update(uidMappings=rows(0, 100000), gidMappings=rows(0, 100000))
    return open_bundle


@pytest.fixture
def volume(open_place: Path) -> Path:
    """A directory of the host's root with files of 0:0, 5:6 and 7:8."""
    folder = open_place / "volume"
    folder.mkdir()
    for name, uid, gid in (("root", 0, 0), ("five", 5, 6), ("seven", 7, 8)):
        (folder / name).write_text(name)
        os.chown(folder / name, uid, gid)
    return folder


@pytest.fixture(scope="session")
def account() -> Iterator[people.Account]:
    """A user of /etc/passwd with ranges in /etc/subuid and /etc/subgid, for as long as the tests run."""
    require("root", "uidmap", "userns")
    with people.account() as made:
        yield made


@pytest.fixture
def somebody(account: people.Account, open_place: Path, open_bundle: Bundle) -> Iterator[people.Person]:
    """That user at the command line, mapped with the range."""
    someone = people.Person(open_place, open_bundle, account.uid, account.gid)
    someone.bundle.config["linux"].update(uidMappings=account.rows(), gidMappings=account.rows())
    yield someone
    someone.leave()


@pytest.fixture(scope="session")
def busybox_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with the busybox image: to be copied, never used."""
    require("root", "busybox")
    return shop_of.stock(tmp_path_factory.mktemp("stock") / "storage")


@pytest.fixture(scope="session")
def debian_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a`` and ``b``, two storages with an image of Debian that was built in each, and ``lock``: to be read only."""
    require("root", "mmdebstrap")
    place = tmp_path_factory.mktemp("debian")
    words = ["image", "build-rootfs", "debian", "--suite", "bookworm", "-q"]
    with subprocess.Popen([MINIRUN, "--storage", place / "b", *words], stdout=subprocess.DEVNULL) as second:
        first = run(MINIRUN, "--storage", place / "a", *words, "--write-lock", place / "lock", timeout=300)
    assert first.returncode == 0, first.stderr
    assert second.returncode == 0
    return place


@pytest.fixture
def shop(tmp_path: Path, busybox_storage: Path) -> Iterator[Shop]:
    """The ``container`` verbs on a storage of one's own; nothing may be left of its containers."""
    made = Shop(shop_of.copy(busybox_storage, tmp_path / "storage"), tmp_path / "root")
    yield made
    made.close()


@pytest.fixture
def box(shop: Shop) -> Shop:
    """The same with a container "box" that has files of every kind, running."""
    return boxed(shop)
