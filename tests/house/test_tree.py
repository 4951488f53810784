"""Nothing in the tree names a place that only one machine has, or a host that a build would have to reach."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT, run

# Names are put together here, so that this file does not find itself.
HOSTS = [".".join(words) for words in (
    ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io"), ("registry", "k8s", "io"), ("pypi", "org"),
    ("pythonhosted", "org"), ("crates", "io"), ("npmjs", "org"), ("deb", "debian", "org"),
    ("githubusercontent", "com"),
)]  # fmt: skip
# Not hosts: Debian's package of docker is called so; and what a name without a registry means, in one place.
PACKAGES = {f"{place}: {HOSTS[0]}" for place in ("Makefile", "minirun/images/reference.py")}
# A Debian image names Debian's own archive, whatever mirror it was made from.
PACKAGES |= {f"{place}/debian.toml: {HOSTS[9]}" for place in ("rootfs", "minirun/images/rootfs/recipes")}
PLACES = [r"(?<![\w})])/" + "work/", r"/Users/\w+"]


def tracked() -> list[Path]:
    """What is in the repository (or will be: new files that are not ignored)."""
    listed = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", cwd=ROOT)
    assert listed.returncode == 0, listed.stderr
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def hits(patterns: list[str]) -> list[str]:
    found = []
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        text = path.read_bytes().decode("utf-8", "replace")
        for pattern in patterns:
            found += [f"{name}: {match.group()}" for match in re.finditer(pattern, text)]
    return found


def test_no_host_of_a_registry() -> None:
    assert not set(hits([re.escape(host) + r"\b" for host in HOSTS])) - PACKAGES


def test_no_place_of_one_machine() -> None:
    assert not hits(PLACES)


def test_nothing_built_is_tracked() -> None:
    bad = [
        p.name for p in tracked() if p.suffix in (".so", ".o", ".pyc") or p.name in ("minirun-init", "minirun-measure")
    ]
    assert not bad


def test_no_two_test_files_share_a_name() -> None:
    """pytest imports them by their name alone, and stops at the second."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
