"""The systemd driver's half of a plan: which unit, where its cgroup lies, and the properties it gets.  No bus here.

``cgroupsPath`` is then SLICE:PREFIX:NAME, as runc has it: unit PREFIX-NAME.scope in SLICE; any part may be empty.
A slice's place follows from its name (systemd.slice(5)): a-b.slice lies in a.slice.  The properties say what the
limits say (systemd.resource-control(5), org.freedesktop.systemd1(5)), so that systemd, which writes them again
whenever it reloads, agrees with the files that minirun writes.  What has no property is in the files only.

A property is a string NAME=VALUE, the value in the notation of ``gvariant``.
"""

from __future__ import annotations

from minirun.plan import gvariant
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minirun.plan.container import Problems
    from minirun.plan.limits import Limit

ANNOTATION = "org.systemd.property."
INFINITY = (1 << 64) - 1
NAME_LONGEST = 255
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")
BYTES = {
    "memory.max": "MemoryMax",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.high": "MemoryHigh",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
    "cpu.weight": "CPUWeight",
    "io.weight": "IOWeight",
}
SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
ACCOUNTING = ("CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting")


class Unit(Record):
    """``path`` is the cgroup's, below the place where the manager's units are."""

    name: str
    slice: str
    path: str

    @property
    def is_slice(self) -> bool:
        return self.name.endswith(".slice")


def unit_of(cgroups_path: str, container_id: str, rootless: bool) -> Unit:
    """SLICE:PREFIX:NAME -> unit.  Raises ValueError with what is wrong with it."""
    parts = (cgroups_path or f":minirun:{container_id}").split(":")
    if len(parts) != 3:
        raise ValueError("with --systemd-cgroup it is SLICE:PREFIX:NAME, such as system.slice:web:1")
    place, prefix, name = parts
    place = place or ("user.slice" if rootless else "system.slice")
    name = name or container_id
    if not name.endswith(".slice"):
        name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
        path = f"{expand(place)}/{name}"
    else:
        path = expand(name)
    if len(name) > NAME_LONGEST or not set(name) <= NAME_CHARACTERS:
        raise ValueError(f"{name!r} is not the name of a unit (systemd.unit(5))")
    return Unit(name=name, slice=place, path=path)


def expand(name: str) -> str:
    """a-b.slice -> /a.slice/a-b.slice; the root slice "-.slice" -> "".  Raises ValueError."""
    stem = name.removesuffix(".slice")
    if stem == "-":
        return ""
    words = stem.split("-")
    if stem == name or "" in words or not set(name) <= NAME_CHARACTERS:
        raise ValueError(f"{name!r} is not the name of a slice (systemd.slice(5))")
    return "".join(f"/{'-'.join(words[: count + 1])}.slice" for count in range(len(words)))


def unit_properties(unit: Unit, container_id: str) -> list[str]:
    """What every container's unit has: a scope's cgroup is ours to divide (Delegate), and goes with us alone."""
    found = [f"Description={gvariant.quote(f'minirun container {container_id}')}"]
    if unit.is_slice:
        found.append(f"Wants=[{gvariant.quote(unit.slice)}]")
    else:
        found += [f"Slice={gvariant.quote(unit.slice)}", "Delegate=true"]
    found.append("DefaultDependencies=false")
    return found + [f"{name}=true" for name in ACCOUNTING]


def limit_properties(writes: Iterable[Limit]) -> list[str]:
    """The properties that say the same as ``writes``; for create and for update."""
    found: list[str] = []
    idle = any(write.file == "cpu.idle" and write.value == "1" for write in writes)
    for write in writes:
        file, value = write.file, write.value.strip()
        if file in BYTES and not (file == "cpu.weight" and idle):
            if value == "max" or value.isdigit():
                found.append(f"{BYTES[file]}=uint64 {INFINITY if value == 'max' else value}")
        elif file == "cpu.idle" and idle:
            found.append("CPUWeight=uint64 0")  # systemd's word for idle, since version 252
        elif file == "cpu.max":
            found += quota(value)
        elif file in SETS:
            bits = bitmap(value)
            if bits:
                found.append(f"{SETS[file]}=[{', '.join(f'byte {byte:#04x}' for byte in bits)}]")
        elif file == "io.bfq.weight" and value.isdigit():
            found.append(f"IOWeight=uint64 {io_weight(int(value))}")
    return found


def quota(value: str) -> list[str]:
    """cpu.max, "QUOTA PERIOD" in microseconds -> microseconds a second, rounded up to systemd's whole percent."""
    words = value.split()
    if not words or not all(word.isdigit() for word in words[1:]):
        return []
    period = int(words[1]) if len(words) > 1 else 100000
    if words[0] == "max":
        return [f"CPUQuotaPeriodUSec=uint64 {period}", f"CPUQuotaPerSecUSec=uint64 {INFINITY}"]
    if not words[0].isdigit() or period == 0:
        return []
    percents = -(-int(words[0]) * 1000000 // period // 10000)
    return [f"CPUQuotaPeriodUSec=uint64 {period}", f"CPUQuotaPerSecUSec=uint64 {percents * 10000}"]


def io_weight(weight: int) -> int:
    """blockIO's 1 to 1000 (default 100) -> IOWeight's 1 to 10000 (default 100): systemd's own scale, turned around.

    systemd writes io.bfq.weight = 100 - (100 - w) * 99 / 99 below 100 and 100 + (w - 100) * 900 / 9900 above.
    """
    return weight if weight <= 100 else min(100 + (weight - 100) * 11, 10000)


def bitmap(text: str) -> bytes:
    """A list such as 0-3,7 (cpuset(7), List format) -> a bit each, the lowest first; b"" if it is none."""
    bits = 0
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isdigit() and last.isdigit()) or not int(first) <= int(last) < 8192:
            return b""
        for bit in range(int(first), int(last) + 1):
            bits |= 1 << bit
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def device_properties(rules: Iterable[str]) -> list[str]:
    """Rules as ``devices.rules`` writes them -> DevicePolicy and DeviceAllow.

    systemd only knows what is allowed.  Its list may be wider than our filter, never narrower: both programs are
    attached to the cgroup and both must agree, so what a later "deny" takes out of a wider "allow" stays taken out.
    """
    allowed: dict[tuple[str, str], set[str]] = {}
    for rule in rules:
        verb, kind, numbers, access = rule.split()
        for one in "cb" if kind == "a" else kind:
            if verb == "allow":
                allowed.setdefault((one, numbers), set()).update(access)
                continue
            for key in allowed:
                if key[0] == one and covers(numbers, key[1]):
                    allowed[key] -= set(access)
    if all(allowed.get((kind, "*:*"), set()) == set("rwm") for kind in "cb"):
        return ["DevicePolicy='auto'", "DeviceAllow=@a(ss) []"]
    rows = [f"('{device(*key)}', '{''.join(c for c in 'rwm' if c in got)}')" for key, got in allowed.items() if got]
    return ["DevicePolicy='strict'", f"DeviceAllow=[{', '.join(rows)}]" if rows else "DeviceAllow=@a(ss) []"]


def covers(pattern: str, numbers: str) -> bool:
    """Is every device of ``numbers`` one of ``pattern``?"""
    pairs = zip(pattern.split(":"), numbers.split(":"), strict=True)
    return all(want in ("*", have) for want, have in pairs)


def device(kind: str, numbers: str) -> str:
    """As DeviceAllow= names it: one device, all of a major number, or all."""
    word = "char" if kind == "c" else "block"
    major, _, minor = numbers.partition(":")
    if major == "*":
        return f"{word}-*"
    return f"{word}-{major}" if minor == "*" else f"/dev/{word}/{major}:{minor}"


def annotated(annotations: dict[str, str], problems: Problems) -> list[str]:
    """``org.systemd.property.NAME`` in config.json, taken as it is; seconds (NAMESec) become microseconds (runc)."""
    found = []
    for key, text in annotations.items():
        name = key.removeprefix(ANNOTATION)
        if name == key:
            continue
        try:
            if len(name) < 3 or not (name.isascii() and name.isalnum()):
                raise ValueError(f"{name!r} is not the name of a property")
            signature, value = gvariant.parse(text)
            if name.endswith("Sec") and not name.endswith("USec"):
                if signature not in "nqiuxtd" or value < 0:
                    raise ValueError("seconds are a number")
                name, text = f"{name[:-3]}USec", f"uint64 {int(value * 1000000)}"
            found.append(f"{name}={text}")
        except ValueError as error:
            problems.add(f"/annotations/{key}", str(error), "values are written as in gvariant: uint64 5, 'word', true")
    return found


def address_of(env: dict[str, str], rootless: bool, euid: int) -> str:
    """Where the bus is: said by the environment, or the usual place; "" if an ordinary user has none.

    Root of a user namespace is a user with a manager of his own (podman), or, where nothing says so, root of a
    container that has a systemd itself.
    """
    said = env.get("DBUS_SESSION_BUS_ADDRESS") or env.get("XDG_RUNTIME_DIR")
    if not rootless or (euid == 0 and not said):
        return env.get("DBUS_SYSTEM_BUS_ADDRESS", "") or "unix:path=/run/dbus/system_bus_socket"
    if env.get("DBUS_SESSION_BUS_ADDRESS"):
        return env["DBUS_SESSION_BUS_ADDRESS"]
    directory = env.get("XDG_RUNTIME_DIR", "")
    return f"unix:path={directory}/bus" if directory.startswith("/") else ""
