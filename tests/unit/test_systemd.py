"""The pure half of the systemd driver: names, places, properties, and values in GVariant's notation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from minirun.plan import gvariant, systemd
from minirun.plan.container import Problems
from minirun.plan.limits import Limit, limits


@pytest.mark.parametrize(
    ("given", "rootless", "name", "place", "path"),
    [
        ("", False, "minirun-web.scope", "system.slice", "/system.slice/minirun-web.scope"),
        ("", True, "minirun-web.scope", "user.slice", "/user.slice/minirun-web.scope"),
        ("::", False, "web.scope", "system.slice", "/system.slice/web.scope"),
        ("machine.slice:libpod:1", False, "libpod-1.scope", "machine.slice", "/machine.slice/libpod-1.scope"),
        (
            "kubepods-besteffort-pod1_2.slice:cri-containerd:ab", False, "cri-containerd-ab.scope",
            "kubepods-besteffort-pod1_2.slice",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-ab.scope",
        ),
        ("-.slice:p:q", False, "p-q.scope", "-.slice", "/p-q.scope"),
        ("x.slice:p:a-b.slice", False, "a-b.slice", "x.slice", "/a.slice/a-b.slice"),
    ],
)  # fmt: skip
def test_units(given: str, rootless: bool, name: str, place: str, path: str) -> None:
    unit = systemd.unit_of(given, "web", rootless)
    assert (unit.name, unit.slice, unit.path) == (name, place, path)
    assert unit.is_slice == name.endswith(".slice")


@pytest.mark.parametrize(
    "given",
    ["/a/b", "a", "a:b", "a:b:c", "a.slice:b:c:d", "a--b.slice:p:q", "-a.slice:p:q", ".slice:p:q", "a/b.slice:p:q",
     "::a/b", ":p:q r", f"::{'x' * 255}", "a-.slice::x", "::-a.slice"],
)  # fmt: skip
def test_what_is_no_unit(given: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        systemd.unit_of(given, "web", False)


@given(st.lists(st.text("ab_:.", min_size=1, max_size=5), min_size=1, max_size=5))
def test_a_slice_lies_in_those_its_name_begins_with(words: list[str]) -> None:
    parts = systemd.expand("-".join(words) + ".slice").split("/")[1:]
    assert len(parts) == len(words) and parts[-1] == "-".join(words) + ".slice"
    assert all(deep.startswith(above.removesuffix(".slice") + "-") for above, deep in pairwise(parts))


def write(file: str, value: str) -> Limit:
    return Limit(file=file, value=value, pointer="")


@pytest.mark.parametrize(
    ("file", "value", "expected"),
    [
        ("memory.max", "67108864", ["MemoryMax=uint64 67108864"]),
        ("memory.max", "max", [f"MemoryMax=uint64 {2**64 - 1}"]),
        ("memory.high", "junk", []),
        ("pids.max", "0", ["TasksMax=uint64 0"]),
        ("cpu.weight", "79", ["CPUWeight=uint64 79"]),
        ("cpu.idle", "1", ["CPUWeight=uint64 0"]),
        ("cpu.idle", "0", []),
        ("cpu.max", "50000 100000", ["CPUQuotaPeriodUSec=uint64 100000", "CPUQuotaPerSecUSec=uint64 500000"]),
        ("cpu.max", "1 100000", ["CPUQuotaPeriodUSec=uint64 100000", "CPUQuotaPerSecUSec=uint64 10000"]),
        ("cpu.max", "33333 100000", ["CPUQuotaPeriodUSec=uint64 100000", "CPUQuotaPerSecUSec=uint64 340000"]),
        ("cpu.max", "max 50000", ["CPUQuotaPeriodUSec=uint64 50000", f"CPUQuotaPerSecUSec=uint64 {2**64 - 1}"]),
        ("cpu.max", "1 0", []),
        ("cpuset.cpus", "0-1,9", ["AllowedCPUs=[byte 0x03, byte 0x02]"]),
        ("cpuset.mems", "0", ["AllowedMemoryNodes=[byte 0x01]"]),
        ("cpuset.cpus", "3-1", []),
        ("io.bfq.weight", "100", ["IOWeight=uint64 100"]),
        ("io.bfq.weight", "1000", ["IOWeight=uint64 10000"]),
        ("io.bfq.weight", "8:0 50", []),
        ("io.max", "8:0 rbps=1", []),
    ],
)
def test_limits_as_properties(file: str, value: str, expected: list[str]) -> None:
    assert systemd.limit_properties([write(file, value)]) == expected


def test_idle_wins_over_the_weight() -> None:
    """systemd has one number for both; the file cpu.weight cannot be written while cpu.idle is 1."""
    assert systemd.limit_properties(limits({"cpu": {"shares": 512, "idle": 1}})) == ["CPUWeight=uint64 0"]


def allow(*rules: str) -> list[str]:
    return systemd.device_properties(["deny a *:* rwm", *rules])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["allow c 1:3 rwm"], "[('/dev/char/1:3', 'rwm')]"),
        (["allow b 8:* r"], "[('block-8', 'r')]"),
        (["allow c *:5 w"], "[('char-*', 'w')]"),
        (["allow a *:* m"], "[('char-*', 'm'), ('block-*', 'm')]"),
        (["allow c 1:3 rw", "allow c 1:3 m"], "[('/dev/char/1:3', 'rwm')]"),
        (["allow c 1:3 rwm", "deny c 1:* w"], "[('/dev/char/1:3', 'rm')]"),
        (["allow c 1:* rwm", "deny c 1:3 w"], "[('char-1', 'rwm')]"),  # wider: our own filter takes it out
        (["allow c 1:3 rwm", "deny a *:* rwm"], "@a(ss) []"),
    ],
)
def test_devices_as_properties(rules: list[str], expected: str) -> None:
    assert allow(*rules) == ["DevicePolicy='strict'", f"DeviceAllow={expected}"]
    assert gvariant.parse(expected)[0] == "a(ss)"


def test_all_devices() -> None:
    assert allow("allow a *:* rwm") == ["DevicePolicy='auto'", "DeviceAllow=@a(ss) []"]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("TimeoutStopUSec", "uint64 5", "TimeoutStopUSec=uint64 5"),
        ("TimeoutStopSec", "1.5", "TimeoutStopUSec=uint64 1500000"),
        ("CollectMode", "'inactive'", "CollectMode='inactive'"),
        ("After", "['a.service']", "After=['a.service']"),
    ],
)
def test_annotations(key: str, text: str, expected: str) -> None:
    problems = Problems()
    assert systemd.annotated({f"org.systemd.property.{key}": text, "else": "x"}, problems) == [expected]
    assert not problems.found


@pytest.mark.parametrize(
    ("key", "text"),
    [("A", "1"), ("Bad-Name", "1"), ("Word", "word"), ("StopSec", "'x'"), ("StopSec", "-1"), ("Abc", "")],
)
def test_wrong_annotations(key: str, text: str) -> None:
    problems = Problems()
    assert systemd.annotated({f"org.systemd.property.{key}": text}, problems) == []
    assert [pointer for pointer, _ in problems.found] == [f"/annotations/org.systemd.property.{key}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", ("b", True)),
        (" 5 ", ("i", 5)),
        ("-0x10", ("i", -16)),
        ("uint64 18446744073709551615", ("t", 2**64 - 1)),
        ("2.5", ("d", 2.5)),
        ('"it\'s"', ("s", "it's")),
        (r"'it\'s'", ("s", "it's")),
        ("objectpath '/a'", ("o", "/a")),
        ("[byte 1, 2]", ("ay", b"\x01\x02")),
        ("[uint32 1, 2]", ("au", [1, 2])),
        ("@as []", ("as", [])),
        ("('a', 1,)", ("(si)", ("a", 1))),
        ("[('a', true)]", ("a(sb)", [("a", True)])),
    ],
)
def test_gvariant(text: str, expected: tuple[str, Any]) -> None:
    assert gvariant.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "word", "'open", "[", "[1", "[1,", "(1", "[]", "[1, 'a']", "1 2", "byte 256", "uint32 -1", "5000000000",
     "@s 'x'", "@as ['x']", "@as", r"'\x'", "--5", "uint32", "[1 2]", "(" * 20, "٣", "0x", "1e", "{}"],
)  # fmt: skip
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        gvariant.parse(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20))
def test_quoting(text: str) -> None:
    assert gvariant.parse(gvariant.quote(text)) == ("s", text)


@given(st.text("[]()'\",@ as01uint64byte\\", max_size=30))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    try:
        gvariant.parse(text)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("env", "euid", "expected"),  # None: the host's root; the others are in a user namespace
    [
        ({}, None, "unix:path=/run/dbus/system_bus_socket"),
        ({"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/x"}, None, "unix:path=/x"),
        ({"XDG_RUNTIME_DIR": "/run/user/1"}, 1, "unix:path=/run/user/1/bus"),
        ({"XDG_RUNTIME_DIR": "/run/user/1"}, 0, "unix:path=/run/user/1/bus"),
        ({"XDG_RUNTIME_DIR": "/run/user/1", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/y"}, 1, "unix:path=/y"),
        ({"XDG_RUNTIME_DIR": "relative"}, 1, ""),
        ({}, 1, ""),
        ({}, 0, "unix:path=/run/dbus/system_bus_socket"),
    ],
)
def test_where_the_bus_is(env: dict[str, str], euid: int | None, expected: str) -> None:
    assert systemd.address_of(env, euid is not None, euid or 0) == expected
