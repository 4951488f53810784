"""minirun stats: readings as text, for any width, with and without a controller."""

from __future__ import annotations

from minirun.cli.picture import Style, block, document, picture, size, table
from minirun.runtime.live import Look, Reading, compare
from minirun.runtime.store import State

FULL = Reading(
    id="web", status="running", cpu=42.04, cpu_limit=0.5, throttled=12.0, memory=48 << 20, memory_limit=64 << 20,
    oom_kills=2, pids=3, pids_limit=20, read=0.0, written=1536.0, pressure={"cpu": (12.5, 1.0), "memory": (0.0, 0.0)},
)  # fmt: skip
BARE = Reading(id="bare", status="paused", cpu=0.0, pressure={}, missing=("memory", "pids", "io", "cpu", "pressure"))


def test_sizes_fit_five_characters() -> None:
    assert [size(n) for n in (None, 0, 999, 1000, 1536, 10**6, 5 << 30, 1 << 60)] == [
        "-", "0B", "999B", "1.0K", "1.5K", "977K", "5.0G", "1048576T",
    ]  # fmt: skip


def test_a_block_shows_each_resource_against_its_limit() -> None:
    lines = block(FULL, Style(columns=80, rows=24))
    assert lines == [
        "web  running",
        "  cpu       42.0% of 50%     [#################...]  throttled 12%",
        "  memory    48.0M of 64.0M   [###############.....]  oom kills 2",
        "  pids          3 of 20      [###.................]",
        "  io         0B/s read     1.5K/s written",
        "  waits  cpu 12.5% (1.0%)    memory 0.0% (0.0%)    io -",
        "",
    ]
    coloured = "".join(block(FULL, Style(columns=80, rows=24, coloured=True, blocks=True)))
    assert "\033[33m" in coloured and "█" in coloured and "\033[31moom kills 2" in coloured


def test_what_is_not_known_is_a_dash_and_the_reason_stands_below() -> None:
    lines = picture([BARE], ("hugetlb", "memory"), Style())
    assert lines[1].split() == ["bare", "paused", "0.0%", "-", "-", "-", "-", "-/-/-", "-", "-"]
    assert "- cpu limits: cgroup v2 does not have the cpu controller on this host" in lines
    assert "- memory: not counted for bare, whose config.json sets no limit of it" in lines
    assert "- pressure: this kernel does not measure it (psi=1 on its command line)" in lines


def test_a_narrow_terminal_loses_columns_then_the_end_of_the_id() -> None:
    long = Reading(**{**FULL.__dict__, "id": "a-very-long-name-of-a-container-indeed"})
    lines = table([long], Style(columns=80))
    assert all(len(line) <= 80 for line in lines)
    assert "STATUS" not in lines[0] and lines[1].startswith("a-very") and ".." in lines[1]
    assert all(len(line) <= 20 for line in table([long], Style(columns=20)))


def test_many_containers_become_a_table_and_no_screen_overflows() -> None:
    many = [FULL] * 50
    assert len(picture(many, (), Style(columns=100, rows=24))) == 23
    assert picture([FULL], (), Style(columns=100, rows=24))[0] == "web  running"


def test_an_id_cannot_draw() -> None:
    """Somebody else's state directory may hold anything."""
    evil = Reading(**{**FULL.__dict__, "id": "a\033[2Jb"})
    assert "\033" not in "".join(table([evil], Style()) + block(evil, Style()))


def test_the_document_tells_no_limit_from_not_known() -> None:
    free = Reading(**{**FULL.__dict__, "memory_limit": None})
    assert document(free)["memory"] == {"bytes": 48 << 20, "limit": "max", "oomKills": 2}
    assert document(BARE)["memory"] == {"bytes": None, "limit": None, "oomKills": None}
    assert document(FULL)["cpu"] == {"percent": 42.04, "limit": 50.0, "throttledPercent": 12.0}


def test_rates_are_differences_over_time() -> None:
    def look(at: float, cpu: int, periods: int, throttled: int, io: tuple[int, int]) -> Look:
        numbers = {
            "cpu": {"usage": {"total": cpu}, "throttling": {"periods": periods, "throttledPeriods": throttled}},
            "memory": {"usage": {"usage": 5}}, "pids": {"current": 1}, "blkio": {},
        }  # fmt: skip
        files = frozenset({"cpu.max", "memory.current", "pids.current", "io.stat"})
        return Look(at=at, files=files, numbers=numbers, io=io, oom_kills=0, cpu_limit=1.0)

    state = State(id="x", bundle="", created="", owner=0, rootfs="", annotations={}, cgroup="/none", cgroupRoot="/none")
    found = compare(state, "running", look(10.0, 0, 0, 0, (0, 100)), look(12.0, 10**9, 20, 5, (4096, 100)))
    assert (found.cpu, found.throttled, found.read, found.written) == (50.0, 25.0, 2048.0, 0.0)
    assert (found.memory, found.memory_limit, found.missing) == (5, None, ("pressure",))
