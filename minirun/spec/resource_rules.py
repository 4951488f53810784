"""The rules of /linux/resources that a schema cannot say (config-linux.md, from Allowed Device list to Unified).

They hold for config.json and for the document of ``update``.  ``CREATE`` has one more: what ``update`` can complete
from the cgroup as it is must be there in full when the cgroup is new.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.spec.check import Problems

AT = "/linux/resources"
# Files of cgroup.* that are limits; the others move, freeze or kill, and are minirun's own to write.
CORE_LIMITS = ("cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure")


def given(spec: Any, section: str) -> Any:
    return spec.get("linux", {}).get("resources", {}).get(section, {})


def device_rules(spec: Any, problems: Problems) -> None:
    for index, rule in enumerate(given(spec, "devices")):
        at = f"{AT}/devices/{index}"
        if rule.get("type") not in (None, "", "a", "b", "c", "u"):
            problems.add(f"{at}/type", f"must be one of a, b, c, u, not {rule['type']!r}")
        if set(rule.get("access", "")) - set("rwm"):
            problems.add(f"{at}/access", f"must be made of r, w and m, not {rule['access']!r}")
        for number in ("major", "minor"):
            if not -1 <= rule.get(number, -1) <= 0xFFFFFFFF:
                problems.add(f"{at}/{number}", "must be a device number, or -1 for any")


def memory(spec: Any, problems: Problems) -> None:
    """Swap is memory plus swap here (Memory): less than the memory alone cannot be meant."""
    limit, swap = given(spec, "memory").get("limit", 0), given(spec, "memory").get("swap", 0)
    if 0 < swap < limit:
        problems.add(f"{AT}/memory/swap", f"is memory plus swap, and must be at least the limit, {limit}")


def swap_alone(spec: Any, problems: Problems) -> None:
    """Memory plus swap without the memory: nobody can say how much of it is swap (runc and crun refuse it, too)."""
    if given(spec, "memory").get("swap", 0) > 0 and not given(spec, "memory").get("limit"):
        problems.add(f"{AT}/memory/swap", "is memory plus swap, and needs /linux/resources/memory/limit (-1 for none)")


def cpu(spec: Any, problems: Problems) -> None:
    """What may be saved up is part of the quota (CPU, burst); idle is a switch (cgroup-v2.rst, cpu.idle)."""
    quota, burst = given(spec, "cpu").get("quota", 0), given(spec, "cpu").get("burst", 0)
    if 0 < quota < burst:
        problems.add(f"{AT}/cpu/burst", f"must be at most the quota, {quota}")
    if given(spec, "cpu").get("idle", 0) not in (0, 1):
        problems.add(f"{AT}/cpu/idle", "must be 0 or 1")


def block_io(spec: Any, problems: Problems) -> None:
    """Weights go from 10 to 1000 (Block IO; 0 leaves them); a device has a number."""
    block = given(spec, "blockIO")
    weights = [(f"{AT}/blockIO/weight", block.get("weight", 0))]
    for index, device in enumerate(block.get("weightDevice", ())):
        weights.append((f"{AT}/blockIO/weightDevice/{index}/weight", device.get("weight", 0)))
    for pointer, weight in weights:
        if weight and not 10 <= weight <= 1000:
            problems.add(pointer, f"must be from 10 to 1000, not {weight}")
    for member, listed in block.items():
        if member.endswith("Device"):
            for index, device in enumerate(listed):
                if device["major"] < 0 or device["minor"] < 0:
                    problems.add(f"{AT}/blockIO/{member}/{index}", "must be a device: numbers from 0")


def huge_pages(spec: Any, problems: Problems) -> None:
    """64KB, 2MB, 1GB: the word becomes part of a file's name."""
    for index, page in enumerate(given(spec, "hugepageLimits")):
        size = page["pageSize"]
        if not (size[:-2].isascii() and size[:-2].isdigit() and size[-2:] in ("KB", "MB", "GB")):
            problems.add(f"{AT}/hugepageLimits/{index}/pageSize", f"must be a size such as 2MB or 1GB, not {size!r}")


def rdma(spec: Any, problems: Problems) -> None:
    for device in given(spec, "rdma"):
        if not device or set(device) & set(" \t\n="):
            problems.add(f"{AT}/rdma/{escape(device)}", "is not a device's name")


def unified(spec: Any, problems: Problems) -> None:
    """A file's name, controller and all, and nothing else (Unified): no way out of the cgroup's directory."""
    for name in given(spec, "unified"):
        controller, dot, file = name.partition(".")
        strange = not (controller and dot and file) or "/" in name or not name.isprintable() or " " in name
        if strange or (controller == "cgroup" and name not in CORE_LIMITS):
            problems.add(f"{AT}/unified/{escape(name)}", "is not a controller's file")


def escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


ALL = (device_rules, memory, cpu, block_io, huge_pages, rdma, unified)
CREATE = (*ALL, swap_alone)
