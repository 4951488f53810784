"""Volumes that several want at the same moment, and what a new one gets of the image."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from minirun.container.copy_up import copy_directory
from minirun.container.volumes import Volumes
from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")


def test_rm_waits_for_a_create_that_has_looked_it_up(shop: Shop) -> None:
    """Whoever holds the volumes is between the look-up and the record: rm sees the record."""
    volumes = Volumes(str(shop.storage))
    volumes.create("mine")
    told: list[str] = []
    with volumes.alone():
        removal = threading.Thread(target=lambda: told.append(remove(shop)))
        removal.start()
        removal.join(0.4)
        assert removal.is_alive() and volumes.exists("mine")
        (shop.storage / "volumes/mine/volume.json").rename(shop.storage / "volumes/away")  # what rm may have done
        (shop.storage / "volumes/away").rename(shop.storage / "volumes/mine/volume.json")
    removal.join(10)
    assert told == [""] and not volumes.exists("mine")


def remove(shop: Shop) -> str:
    from tests.conftest import run

    return run(*shop.base, "volume", "rm", "mine").stderr


def test_create_and_rm_in_turns(shop: Shop) -> None:
    """A container that was made has its volume, whoever removes it all the time."""
    stop = threading.Event()

    def remover() -> None:
        while not stop.is_set():
            remove(shop)

    thread = threading.Thread(target=remover)
    thread.start()
    try:
        for number in range(4):
            shop.out("create", "--name", f"c{number}", "--net", "none", "-v", "mine:/data", IMAGE, "true")
            assert (shop.storage / "volumes/mine/volume.json").exists(), "a record names it"
            shop.out("rm", f"c{number}")
    finally:
        stop.set()
        thread.join()


def test_a_file_with_several_names_keeps_them(tmp_path: Path) -> None:
    source, target = tmp_path / "image", tmp_path / "volume"
    (source / "deep").mkdir(parents=True)
    target.mkdir()
    (source / "a").write_text("one file")
    os.link(source / "a", source / "deep/b")
    os.symlink("a", source / "link")
    os.link(source / "link", source / "deep/link", follow_symlinks=False)
    (tmp_path / "outside").write_text("o")
    os.link(tmp_path / "outside", source / "alone")
    opened = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    try:
        copy_directory(*opened)
    finally:
        for fd in opened:
            os.close(fd)
    assert (target / "a").samefile(target / "deep/b") and (target / "a").stat().st_nlink == 2
    assert os.lstat(target / "link").st_ino == os.lstat(target / "deep/link").st_ino
    assert (target / "alone").stat().st_nlink == 1 and (target / "deep/b").read_text() == "one file"
