"""The doctor's part about images and networks: what is lacking is said with what to do, and trials leave nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun import facts as host_facts
from minirun.cli import doctor_images, trials_images
from minirun.cli.doctor import LIMITED, OK, Finding, summary
from minirun.linux.namespaces import NEWNET


def by_name(found: Iterator[Finding]) -> dict[str, Finding]:
    return {row.name: row for row in found}


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A host that has none of it."""
    for name in ("overlay", "mapped", "links", "nftables"):
        monkeypatch.setattr(trials_images, name, lambda *_: "Function not implemented")
    monkeypatch.setattr(doctor_images, "BUNDLES", ())
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    return monkeypatch


def test_what_is_lacking_is_said_with_what_to_do(without, tmp_path):
    facts = host_facts.probe()
    found = by_name(doctor_images.images(facts, str(tmp_path))) | by_name(doctor_images.networks(facts))
    words = {
        "overlay": "modprobe overlay", "certificates": "ca-certificates", "recipes": "busybox-static",
        "bridge": "bridge veth",
        "nftables": "nf_tables", "users' networks": "passt",
    }  # fmt: skip
    for name, word in words.items():
        assert found[name].status == LIMITED and word in found[name].hint, found[name]
    without.setattr(shutil, "which", lambda *_, **__: "/usr/bin/pasta")
    without.setattr(os, "access", lambda *_: False)
    assert "chmod 0666 /dev/net/tun" in doctor_images.passer().hint
    assert found["overlay"].found == "Function not implemented"
    assert found["forwarding"].status == OK


def test_the_storage_is_looked_at_where_it_will_be(tmp_path, monkeypatch):
    found = doctor_images.kept(str(tmp_path / "a" / "b"))
    assert found.status == OK and "(made when first needed)" in found.found and "GB free" in found.found
    assert not (tmp_path / "a").exists()
    monkeypatch.setattr(doctor_images, "ENOUGH", 1 << 60)
    assert "system prune" in doctor_images.kept(str(tmp_path)).hint
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "--storage DIR" in doctor_images.kept(str(tmp_path)).hint


def test_the_file_system_is_that_of_the_longest_mount_point():
    assert doctor_images.file_system("/proc/self") == "proc"
    assert doctor_images.file_system("/sys/kernel") in ("sysfs", "tmpfs")


def test_a_trial_is_apart_and_says_why_it_failed():
    facts = host_facts.probe()
    before = os.readlink("/proc/self/ns/net")

    def fails() -> None:
        raise OSError(2, "No such file or directory", "/nowhere")

    def other() -> None:
        raise RuntimeError(os.readlink("/proc/self/ns/net"))

    why = trials_images.apart(facts, NEWNET, fails)
    assert why == "/nowhere: No such file or directory" or "not permitted" in why
    assert trials_images.apart(facts, NEWNET, other) != before
    assert os.readlink("/proc/self/ns/net") == before


@pytest.mark.needs("root")
def test_an_overlay_is_tried_on_the_storage_itself(tmp_path):
    facts = host_facts.probe()
    assert trials_images.overlay(facts, str(tmp_path)) == ""
    assert not list(tmp_path.iterdir()) and str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert trials_images.overlay(facts, "/dev/shm") == ""


def test_the_last_line_says_what_it_comes_to():
    rows = [Finding(name="a", status="ok", found=""), Finding(name="b", status="limited", found="")]
    assert summary(rows) == "1 ok, 1 limited: containers run here"
    assert summary([*rows, Finding(name="c", status="missing", found="")]).endswith("no container runs here yet")
