"""update: other limits for a running container, from a resources document or from flags."""

from __future__ import annotations

import sys

from minirun.cli.parse import usage
from minirun.cli.stores import store_of
from minirun.errors import MinirunError
from minirun.runtime.update import update as update_container
from minirun.spec import check
from minirun.spec.decode import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.cli.main import Call

# option -> (section, member of the resources document, smallest value)
NUMBERS = {
    "blkio_weight": ("blockIO", "weight", 0),
    "cpu_period": ("cpu", "period", 0),
    "cpu_quota": ("cpu", "quota", -1),
    "cpu_burst": ("cpu", "burst", 0),
    "cpu_share": ("cpu", "shares", 0),
    "cpu_idle": ("cpu", "idle", 0),
    "cpu_rt_period": ("cpu", "realtimePeriod", 0),
    "cpu_rt_runtime": ("cpu", "realtimeRuntime", -1),
    "kernel_memory": ("memory", "kernel", -1),
    "kernel_memory_tcp": ("memory", "kernelTCP", -1),
    "memory": ("memory", "limit", -1),
    "memory_reservation": ("memory", "reservation", -1),
    "memory_swap": ("memory", "swap", -1),
    "pids_limit": ("pids", "limit", -1),
}
UNITS = "\0kmgtp"  # the place in here times ten bits
WORDS = {"cpuset_cpus": ("cpu", "cpus"), "cpuset_mems": ("cpu", "mems")}
SCHEMATA = {"l3_cache_schema": ("l3CacheSchema", "L3"), "mem_bw_schema": ("memBwSchema", "MB:")}


def whole(word: str, option: str, least: int) -> int:
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19 or int(word) < least:
        raise usage(f"--{option.replace('_', '-')} wants a number of at least {least}, not {word!r}")
    return int(word)


def size(word: str, option: str) -> int:
    """Bytes, or with a unit as in runc: 64m, 64MB, 64MiB; -1 is no limit."""
    low = word.lower()
    low = low.removesuffix("ib") if low.endswith("ib") else low.removesuffix("b")
    shift = UNITS.find(low[-1:]) * 10 if low[-1:] in UNITS else 0
    digits = low[:-1] if shift else low
    if digits != "-1" and not (digits.isascii() and digits.isdigit()):
        raise usage(f"--{option.replace('_', '-')} wants a size such as 1048576 or 64m, or -1, not {word!r}")
    return whole(digits, option, 0 if shift else -1) << shift


def resources_of(call: Call) -> Any:
    """The document, then what the flags change in it."""
    source = call.values.text("resources")
    document: dict[str, Any] = {}
    if source:
        try:
            if source == "-":
                data = sys.stdin.buffer.read()
            else:
                with open(source, "rb") as file:
                    data = file.read()
        except OSError as error:
            raise MinirunError("cannot read the resources", reason=f"{source}: {error.strerror}") from error
        document = dict(check.resources(decode(data, source), source))
    for option, (section, member, least) in NUMBERS.items():
        if option in call.values:
            word = call.values.text(option)
            document.setdefault(section, {})[member] = (
                size(word, option) if section == "memory" else whole(word, option, least)
            )
    for option, (section, member) in WORDS.items():
        if option in call.values:
            document.setdefault(section, {})[member] = call.values.text(option)
    return check.resources(document, source or "the command line")


def schemata_of(call: Call) -> dict[str, str]:
    """resctrl's lines, by their member of /linux/intelRdt."""
    found = {}
    for option, (member, start) in SCHEMATA.items():
        line = call.values.text(option)
        if option in call.values and (not line.startswith(start) or "\n" in line):
            raise usage(f"--{option.replace('_', '-')} wants a line that begins with {start}, not {line!r}")
        if line:
            found[member] = line
    return found


def update(call: Call) -> int:
    source = call.values.text("resources") or "the command line"
    resources, schemata = resources_of(call), schemata_of(call)
    update_container(store_of(call), call.words[0], resources, source, schemata)
    return 0
