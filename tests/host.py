"""A picture of the host: what a container could leave behind, and the comparison of two, before and after."""

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


def changes(before: dict[str, list[str]], now: dict[str, list[str]]) -> dict[str, list[str]]:
    """What differs: mounts and cgroups that came or went; namespaces and processes that came.

    One of these that is gone belonged to an earlier test's container, whose end the kernel had not quite finished.
    """
    found = {}
    for kind, was in before.items():
        came, went = set(now[kind]) - set(was), set(was) - set(now[kind])
        if kind in ("mounts", "cgroups"):
            found[kind] = sorted(came) + sorted(f"gone: {one}" for one in went)
        else:
            found[kind] = sorted(came)
    if len(now["mounts"]) != len(before["mounts"]):  # the same line twice
        found["mounts"].append(f"{len(before['mounts'])} mounts before, {len(now['mounts'])} now")
    return {kind: lines for kind, lines in found.items() if lines}


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
