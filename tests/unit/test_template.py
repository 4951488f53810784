"""What ``minirun spec`` writes: valid by our own rules, and runc's and crun's apart from what is listed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minirun.spec.template import template
from tests.conftest import require, run
from tests.unit.documents import checked

# Where we differ from runc 1.1 (Debian 12's) and crun 1.8, and why.
DIFFERENT = {
    "/ociVersion": "we speak a newer specification",
    "/hostname": "a name of our own",
    "/process/capabilities/ambient": "runc 1.2 dropped it too (CVE-2022-29162's lesson)",
    "/process/capabilities/inheritable": "the same",
    "/linux/namespaces": "a cgroup namespace as well, as runc has it on cgroup v2 hosts",
}


def differences(theirs: Any, ours: Any, pointer: str = "") -> list[str]:
    """The pointers at which two documents are not the same."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = []
        for name in sorted({*theirs, *ours}):
            at = f"{pointer}/{name}"
            found += differences(theirs[name], ours[name], at) if name in theirs and name in ours else [at]
        return found
    return [] if theirs == ours else [pointer]


@pytest.mark.parametrize("rootless", [False, True])
def test_the_template_is_valid(rootless: bool) -> None:
    document = template(rootless=rootless, uid=1000, gid=1000)
    assert checked(document) == document


@pytest.mark.parametrize(("peer", "rootless"), [("runc", False), ("runc", True), ("crun", False)])
def test_the_template_is_a_peer_s(peer: str, rootless: bool, tmp_path: Path) -> None:
    """Not crun's --rootless: crun 1.8 writes resources there that an ordinary user cannot have."""
    require(peer)
    done = run(peer, "spec", *(["--rootless"] if rootless else []), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    theirs = json.loads((tmp_path / "config.json").read_text())
    found = differences(theirs, template(rootless=rootless))
    assert not [pointer for pointer in found if pointer not in DIFFERENT]


def test_namespaces_are_a_peer_s_and_one_more() -> None:
    names = [entry["type"] for entry in template()["linux"]["namespaces"]]
    assert names == ["pid", "network", "ipc", "uts", "mount", "cgroup"]


def test_templates_share_nothing() -> None:
    """A caller may change one without changing the next."""
    first = template()
    first["process"]["capabilities"]["bounding"].append("CAP_SYS_ADMIN")
    first["linux"]["maskedPaths"].clear()
    assert template()["process"]["capabilities"]["bounding"] != first["process"]["capabilities"]["bounding"]
    assert template()["process"]["capabilities"]["effective"] == first["process"]["capabilities"]["effective"]
    assert template()["linux"]["maskedPaths"]
