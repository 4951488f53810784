"""Images that run though something is odd about them: no layers, a health check, devices that nobody may make."""

from __future__ import annotations

import pytest

from minirun.container.make import Request, left_out
from minirun.images import compose, reference
from minirun.images.store import Images
from tests.conftest import BUSYBOX
from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")


def made(shop: Shop, name: str, **config: object) -> None:
    images = Images(str(shop.storage))
    with images.shared():
        base = images.find(IMAGE) if "Healthcheck" in config else None
        compose.image_from(images, base=base, layers=[], config=config, name=reference.parse(name).name)


def test_an_image_without_layers(shop: Shop) -> None:
    """FROM scratch, and nothing else: what is mounted runs, what it writes is a layer."""
    made(shop, "nothing", Cmd=["/busybox", "sh", "-c", "echo x > /new; /busybox ls /"])
    flags = ("--net", "none", "-v", f"{BUSYBOX}:/busybox:ro")
    assert shop.out("run", "--name", "n", *flags, "nothing").split() == ["busybox", "dev", "etc", "new", "proc", "sys"]
    assert shop.out("diff", "n").splitlines() == ["A /etc", "A /new"], "/etc: where the three files are mounted"
    shop.out("commit", "n", "one")
    shop.out("run", "--rm", "--ephemeral", *flags, "one", "/busybox", "cat", "/new")
    assert shop.out("run", "--rm", *flags, "one", "/busybox", "cat", "/new") == "x"
    shop.out("cp", "n:/new", "-")
    shop.out("rm", "n")


def test_a_health_check_is_not_carried_out_and_that_is_said(shop: Shop) -> None:
    made(shop, "checked", Healthcheck={"Test": ["CMD", "true"]})
    done = shop("run", "--rm", "--net", "none", "checked", "true")
    assert done.returncode == 0 and done.stderr.count("HEALTHCHECK is not carried out") == 1
    for flag in ("--no-healthcheck", "-q"):
        assert shop("run", "--rm", "--net", "none", flag, "checked", "true").stderr == ""
    made(shop, "unchecked", Healthcheck={"Test": ["NONE"]})
    assert shop("run", "--rm", "--net", "none", "unchecked", "true").stderr == ""


def test_devices_that_are_left_out_are_named() -> None:
    told: list[str] = []
    request = Request(image="odd", members={}, warn=told.append)
    left_out([], request)
    left_out([f"dev/{letter}" for letter in "abcdefg"], request)
    (words,) = told
    assert words.startswith("odd: devices cannot be made in a user namespace, and are left out: dev/a, dev/b,")
    assert words.endswith("dev/e and 2 more")
