"""Limits on a command line -> /linux/resources of config.json.  PURE.

What cgroup v2 cannot do, or this host has no controller for, is the runtime's own clear error.
"""

from __future__ import annotations

from minirun.container.units import LARGEST, billionths, number, pair, size, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.cli.parse import Values

PERIOD = 100_000  # microseconds: the kernel's default
LEAST_MEMORY = 6 << 20  # docker's least: less does not start a program
THROTTLES = {
    "device_read_bps": ("throttleReadBpsDevice", True),
    "device_write_bps": ("throttleWriteBpsDevice", True),
    "device_read_iops": ("throttleReadIOPSDevice", False),
    "device_write_iops": ("throttleWriteIOPSDevice", False),
}


def resources(values: Values, numbers: Callable[[str], tuple[int, int]]) -> dict[str, Any]:
    """``numbers``: a block device's path -> major, minor."""
    every: dict[str, Any] = {
        "cpu": cpu(values), "memory": memory(values), "blockIO": block(values, numbers), "unified": unified(values)
    }  # fmt: skip
    made = {member: given for member, given in every.items() if given}
    if values.text("pids_limit"):
        limit = number("--pids-limit", values.text("pids_limit"), -1, 1 << 30)
        made["pids"] = {"limit": limit if limit > 0 else -1}
    return made


def cpu(values: Values) -> dict[str, Any]:
    made: dict[str, Any] = {}
    given = values.text("cpus")
    if given and (values.text("cpu_quota") or values.text("cpu_period")):
        raise wrong("--cpus", given, "neither --cpu-quota nor --cpu-period beside it")
    if given:
        quota = billionths("--cpus", given) * PERIOD // 1_000_000_000
        if given.strip("0.") and quota < 1000:
            raise wrong("--cpus", given, "at least 0.01")
        if quota:
            made |= {"quota": quota, "period": PERIOD}
    if values.text("cpu_period"):
        made["period"] = number("--cpu-period", values.text("cpu_period"), 1000, 1_000_000)
    if values.text("cpu_quota"):
        quota = number("--cpu-quota", values.text("cpu_quota"), -1, LARGEST)
        if 0 < quota < 1000:
            raise wrong("--cpu-quota", values.text("cpu_quota"), "at least 1000 microseconds")
        made |= {"quota": quota} if quota else {}
    if values.text("cpu_shares"):
        shares = number("--cpu-shares", values.text("cpu_shares"), 0, 262144)
        made |= {"shares": max(shares, 2)} if shares else {}
    for option in ("cpuset_cpus", "cpuset_mems"):
        if text := values.text(option):
            made[option[7:]] = listed(f"--{option.replace('_', '-')}", text)
    return made


def listed(option: str, text: str) -> str:
    """0-3,7 (cpuset(7), List format)."""
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not (last.isdigit() and int(last) >= int(first))):
            raise wrong(option, text, "a list", "as 0-3,7")
    return text


def memory(values: Values) -> dict[str, int]:
    made: dict[str, int] = {}
    if values.text("memory"):
        limit = size("--memory", values.text("memory"), unlimited=True)
        if 0 < limit < LEAST_MEMORY:
            raise wrong("--memory", values.text("memory"), "at least 6m")
        made |= {"limit": limit} if limit else {}
    limit = made.get("limit", -1)
    if values.text("memory_reservation"):
        kept = size("--memory-reservation", values.text("memory_reservation"), unlimited=True)
        if kept > limit > 0:
            raise wrong("--memory-reservation", values.text("memory_reservation"), "at most what --memory says")
        made |= {"reservation": kept} if kept else {}
    if values.text("memory_swap"):
        both = size("--memory-swap", values.text("memory_swap"), unlimited=True)
        if both > 0 and limit <= 0:
            raise wrong(
                "--memory-swap", values.text("memory_swap"), "--memory beside it: it is memory and swap together"
            )
        if 0 < both < limit:
            raise wrong("--memory-swap", values.text("memory_swap"), "at least what --memory says")
        made |= {"swap": both} if both else {}
    elif limit > 0:
        made["swap"] = 2 * limit  # docker's default: as much swap as memory
    return made


def block(values: Values, numbers: Callable[[str], tuple[int, int]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if values.text("blkio_weight"):
        weight = number("--blkio-weight", values.text("blkio_weight"), 0, 1000)
        if 0 < weight < 10:
            raise wrong("--blkio-weight", str(weight), "0, or from 10 to 1000")
        made |= {"weight": weight} if weight else {}
    for text in values.listed("blkio_weight_device"):
        path, word = device_value("--blkio-weight-device", text)
        major, minor = numbers(path)
        weight = number("--blkio-weight-device", word, 10, 1000)
        made.setdefault("weightDevice", []).append({"major": major, "minor": minor, "weight": weight})
    for option, (member, bytes_) in THROTTLES.items():
        spelled = f"--{option.replace('_', '-')}"
        for text in values.listed(option):
            path, word = device_value(spelled, text)
            major, minor = numbers(path)
            rate = size(spelled, word) if bytes_ else number(spelled, word, 1, LARGEST)
            made.setdefault(member, []).append({"major": major, "minor": minor, "rate": rate})
    return made


def device_value(option: str, text: str) -> tuple[str, str]:
    path, colon, word = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise wrong(option, text, "DEVICE:VALUE", "as /dev/sda:1m")
    return path, word


def unified(values: Values) -> dict[str, str]:
    made = {}
    for text in values.listed("cgroup_conf"):
        name, value = pair("--cgroup-conf", text, "FILE=VALUE")
        if "/" in name or "." not in name:
            raise wrong("--cgroup-conf", text, "a file of cgroup v2", "as memory.high=1073741824")
        made[name] = value
    return made
