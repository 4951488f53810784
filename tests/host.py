"""A picture of the host: what a container could leave behind. Two pictures, before and after, must be equal."""

from __future__ import annotations

import os
from pathlib import Path


def host_picture() -> dict[str, list[str]]:
    """What a container could leave behind: mounts, cgroups, network namespaces, processes of ours."""
    from minirun.cgroups.tree import subtree
    from minirun.facts import find_cgroup_root

    cgroups = subtree(find_cgroup_root() or "/nonexistent")
    inits = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and "minirun" in (entry / "exe").readlink().name:
                inits.append(entry.name)
        except OSError:
            continue
    return {
        "mounts": sorted(
            line.split(" ", 1)[1].split(" - ")[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "cgroups": sorted(cgroups),
        "netns": sorted(network_namespaces()),
        "inits": sorted(inits),
    }


def network_namespaces() -> set[str]:
    """Of all processes; one that ends while we look is not there any more."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                found.add(os.readlink(entry / "ns/net"))
        except OSError:
            continue
    return found
