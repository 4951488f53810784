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
        "netns": sorted(
            {os.readlink(p / "ns/net") for p in Path("/proc").iterdir() if p.name.isdigit() and readable(p / "ns/net")}
        ),
        "inits": sorted(inits),
    }


def readable(path: Path) -> bool:
    try:
        os.readlink(path)
    except OSError:
        return False
    return True
