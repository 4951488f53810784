"""Completion of groups: their verbs and options in every shell, and the names that are asked from the storage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minirun.cli import completion
from minirun.cli.completion import script
from minirun.cli.completion_words import KINDS
from minirun.cli.groups import NAMES, every_verb
from minirun.container.record import RUNNING, Container, Status
from minirun.container.shelf import Shelf
from minirun.container.volumes import Volumes
from minirun.images.media import MANIFEST, Descriptor
from minirun.images.store import Images
from tests.conftest import MINIRUN, run
from tests.needs import has

BASH = """
compopt() { :; }
source /dev/stdin <<< "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _minirun; echo "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two containers, one of which has a living process; two names of images; a network, a volume."""
    place = tmp_path_factory.mktemp("storage")
    shelf = Shelf(str(place))
    for name in ("web", "worker"):
        making = shelf.new(name)
        making.complete(Container(id=making.id, name=name, created="2024-01-01T00:00:00Z"))
        if name == "web":
            shelf.save_status(making.id, Status(status=RUNNING, pid=os.getpid()))
    target = Descriptor(mediaType=MANIFEST, digest="sha256:" + "0" * 64, size=2)
    for name in ("docker" + ".io/library/busybox:latest", "localhost:5000/own:1"):
        Images(str(place)).tag(name, target)
    (place / "networks").mkdir()
    (place / "networks" / "front.json").write_text("{}")
    Volumes(str(place)).create("data")
    return place


def asked(storage: Path, *words: str) -> list[str]:
    done = run(MINIRUN, "--storage", storage, "--root", storage / "root", "completion", "--words", *words)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["containers"], ["web", "worker"]),
        (["running"], ["web"]),
        (["stopped"], ["worker"]),
        (["containers", "wo"], ["worker"]),
        (["images"], ["busybox:latest", "localhost:5000/own:1"]),
        (["networks"], ["bridge", "front", "host", "none"]),
        (["volumes"], ["data"]),
        (["recipes", "b"], ["busybox"]),
        (["ids"], []),
        (["nonsense"], []),
    ],
)
def test_names_are_those_of_the_storage(words, offered, storage):
    assert asked(storage, *words) == offered


def test_the_beginning_of_an_id_is_completed_too(storage):
    shelf = Shelf(str(storage))
    one = shelf.id_of("web")
    assert one[:12] in asked(storage, "containers", one[:4])


def test_nothing_there_is_nothing_offered(tmp_path):
    assert [asked(tmp_path / "none", kind) for kind in KINDS[:5]] == [[]] * 5


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["container", "st"], "start stop stats"),
        (["container", "start", ""], "worker"),
        (["container", "stop", ""], "web"),
        (["container", "rm", "-f", "web", "w"], "web worker"),
        (["container", "run", "-it", "--rm", "-e", "A=b", "b"], "busybox:latest"),
        (["container", "run", "busybox", ":", "la"], "latest"),
        (["image", "rm", "localhost", ":", "5000/"], "5000/own:1"),
        (["container", "run", "--network", "f"], "front"),
        (["container", "run", "--pull", "m"], "missing"),
        (["container", "run", "--ephe"], "--ephemeral"),
        (["volume", "rm", ""], "data"),
        (["image", "build-rootfs", "d"], "debian"),
        (["image", "build-rootfs", "--with", "py"], "python"),
        (["system", "prune", "--v"], "--volumes"),
    ],
)
def test_bash_completes_groups(words, offered, storage, tmp_path):
    link = tmp_path / "minirun"
    link.write_text(f'#!/bin/sh\nexec {MINIRUN} "$@"\n')
    link.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SCRIPT": script("bash")}
    done = run("bash", "-c", BASH, "bash", "minirun", "--storage", storage, *words, env=env)
    assert (sorted(done.stdout.split()), done.stderr) == (sorted(offered.split()), "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_option_of_a_group_is_offered(shell):
    text = script(shell)
    for name, verb in every_verb().items():
        assert verb.name in text
        for option in completion.offered(verb):
            assert f"--{option.long}" in text or f"-l {option.long} " in text, (name, option.long)
    for kind in KINDS:
        assert kind in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_read_it(shell, tmp_path):
    if why := has(shell):
        pytest.skip(why)
    (tmp_path / "script").write_text(script(shell))
    done = run(shell, "-n", tmp_path / "script")
    assert (done.returncode, done.stderr) == (0, "")


def test_fish_completes(storage, tmp_path):
    if why := has("fish"):
        pytest.skip(why)
    (tmp_path / "script").write_text(script("fish"))
    (tmp_path / "minirun").write_text(f'#!/bin/sh\nexec {MINIRUN} "$@"\n')
    (tmp_path / "minirun").chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    for line, offered in (
        (f"minirun --storage {storage} container stop ", ["web"]),
        ("minirun container run --pull a", ["always"]),
        ("minirun run --de", ["--detach"]),
        ("minirun netw", ["network"]),
    ):
        done = run("fish", "--no-config", "-c", f"source {tmp_path}/script; complete -C '{line}'", env=env)
        assert [row.split("\t")[0] for row in done.stdout.splitlines()] == offered, done.stderr


def test_groups_are_verbs_to_complete():
    assert all(completion.is_group(name) for name in NAMES)
