"""From samples to rows, to a table, to a page: with a container and a VM that were never run."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from minirun.lab import compare, figures, isolations, page, watch
from minirun.lab.figures import Cell, Measured, shown
from minirun.lab.runs import Look, Timed, parsed
from minirun.lab.watch import Process, descendants, system_calls
from tests.conftest import require

REPORT = """\
== /proc/sys/kernel/osrelease
6.1.0-test
== /proc/1/comm
minirun-measure
== /proc/self/status
Pid:\t1
CapEff:\t0000000020000420
Seccomp:\t2
== /proc/uptime
0.51 0.30
== /proc/
1
2
meminfo
== /dev/
tty1
tty2
null
== costs
place /tmp/.minirun-measure
cost syscall 120
cost read 2000
cost syscall 140
== ready
"""


def look(processes: list[Process], exits: dict[str, int]) -> Look:
    seen, costs = parsed(REPORT)
    return Look(seen=seen, costs=costs, processes=processes, exits=exits)


@pytest.fixture
def data() -> dict[str, Any]:
    """What ``compare`` returns, of invented samples."""
    program = [Process(pid=1, parent=0, name="minirun", pss=6000), Process(pid=2, parent=1, name="measure", pss=40)]
    machine = [program[0], Process(pid=3, parent=1, name="minirun-vmm", pss=90000, guest=80000)]
    found = [
        Measured(
            name="container", title="container: the host's kernel", looks=[look(program, {})],
            timed=[Timed(first=ms, whole=ms + 2, code=0, output=b"<hi>") for ms in (10.0, 12.0, 11.0)],
            traced={0: {"read": 900}, 2000: {"read": 900, "getppid": 2000}},
        ),
        Measured(
            name="vm", title="micro-VM: a kernel of its own", looks=[look(machine, {"io": 17, "mmio": 300})],
            timed=[Timed(first=ms, whole=ms + 90, code=0, output=b"<hi>") for ms in (500.0, 700.0, 600.0)],
            traced={0: {"ioctl": 3000}, 2000: {"ioctl": 3001}},
        ),
    ]  # fmt: skip
    return {
        "date": "2026-01-01", "bundle": "/a/bundle", "command": "echo <hi>", "runs": 3,
        "machine": {"cpu": "a CPU", "cpus": 2, "kernel": "Linux 6", "system": "Debian", "kvm": "real", "load": 0.1},
        "isolations": [compare.plain(one) for one in found],
        "rows": [compare.plain(row) for row in figures.rows(found)],
        "notes": ["A note."],
    }  # fmt: skip


def cells(data: dict[str, Any], name: str) -> dict[str, str]:
    (row,) = [row for row in compare.again(data)[1] if row.name == name]
    return {isolation: shown(cell, row.unit) for isolation, cell in row.cells.items()}


def test_rows_say_what_was_measured(data: dict[str, Any]) -> None:
    assert cells(data, "first_ms") == {"container": "11 (10-12) ms", "vm": "600 (500-700) ms"}
    assert cells(data, "program_kib") == {"container": "40 KiB", "vm": ""}
    assert cells(data, "guest_kib") == {"container": "", "vm": "78.1 MiB"}
    assert cells(data, "vmm_kib")["vm"] == "9.77 MiB"
    assert cells(data, "syscall_ns")["vm"] == "130 (120-140) ns"
    assert cells(data, "caused_calls") == {"container": "1000", "vm": "0.50"}
    assert cells(data, "exits_mmio") == {"container": "", "vm": "300"}
    assert cells(data, "capabilities")["vm"] == "3 of 41"
    assert cells(data, "processes")["vm"] == "2"
    assert cells(data, "devices")["vm"] == "3: null tty*"
    assert cells(data, "host_processes") == {"container": "1: measure", "vm": "1: minirun-vmm"}
    assert cells(data, "uptime")["vm"] == "0.51 s"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.4, "ns", "0.40 ns"), (1234, "ns", "1.23 µs"), (99.94, "ms", "99.9 ms"), (1500, "ms", "1.50 s"),
     (2048, "KiB", "2 MiB"), (7, "", "7"), (0, "KiB", "0 KiB")],
)  # fmt: skip
def test_numbers_have_three_digits_and_a_unit(value: float, unit: str, text: str) -> None:
    assert figures.number(value, unit) == text


def test_spread_is_in_the_unit_of_the_median() -> None:
    assert shown(Cell(values=(900.0, 1500.0, 2000.0)), "ms") == "1.50 (0.90-2) s"


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_the_table_keeps_to_its_columns(data: dict[str, Any], columns: int) -> None:
    text = compare.show(data, columns, coloured=False)
    assert max(len(line) for line in text.splitlines()) <= columns
    assert "x 54.5" in text and "A note." in text and "real" in text


def test_one_that_cannot_run_says_why(data: dict[str, Any]) -> None:
    found = [Measured(name="container", title="c", timed=[Timed(first=1, whole=2, code=0, output=b"")]),
             Measured(name="vm", title="v", lacking="there is no /dev/kvm")]  # fmt: skip
    rows = figures.rows(found)
    assert {row.name for row in rows} == {"first_ms", "whole_ms", "code"}
    assert rows[0].cells["vm"] == Cell()


def test_a_bare_guest_stands_in_for_linux() -> None:
    bare = [isolations.Bare(build=1.0 + n, whole=2.0 + n, exits={"io": 1}) for n in range(3)]
    found = [
        Measured(name="container", title="c"),
        Measured(name="vm", title="v", lacking="KVM is emulated", bare=bare),
    ]
    rows = {row.name: shown(row.cells["vm"], row.unit) for row in figures.rows(found)}
    assert rows == {"bare_build_ms": "2 (1-3) ms", "bare_whole_ms": "3 (2-4) ms", "bare_exits_io": "1"}


@pytest.mark.needs("kvm")
def test_the_ladders_guest_is_measured_on_any_kvm() -> None:
    found = isolations.climbs(2)
    assert len(found) == 2 and all(0 < bare.build < bare.whole and bare.exits for bare in found)


def test_isolations_are_a_table() -> None:
    assert [row.name for row in isolations.chosen(())] == ["container", "vm"]
    assert [row.name for row in isolations.chosen(["vm"])] == ["vm"]
    with pytest.raises(KeyError):
        isolations.chosen(["sandbok"])


def test_descendants_are_found_with_their_memory() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    try:
        found: list[Process] = []
        while "sleep" not in {process.name for process in found}:
            found = descendants(os.getpid())
        assert {process.pid for process in found} >= {os.getpid(), child.pid}
        assert all(process.pss > 0 and process.guest == 0 for process in found if process.name == "sleep")
    finally:
        for process in descendants(child.pid):
            os.kill(process.pid, 9)
        child.wait()


def test_guest_memory_is_told_from_the_vmm() -> None:
    program = (
        "import os, mmap, sys; fd = os.memfd_create('minirun-guest'); os.truncate(fd, 64 << 20)\n"
        "m = mmap.mmap(fd, 64 << 20); m[: 8 << 20] = bytes(8 << 20); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(["python3", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        whole, guest = watch.memory(child.pid)
    assert 8 << 10 <= guest < 9 << 10 and guest < whole


def test_straces_table_is_read() -> None:
    require("strace")
    done = subprocess.run(["strace", "-f", "-qq", "-c", "-o", "/dev/stderr", "true"], capture_output=True, text=True)
    calls = system_calls(done.stderr)
    assert calls["execve"] == 1 and "total" not in calls


# -- the page ------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """What is in a page, and which of its elements reach outside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_page_needs_nothing_else(data: dict[str, Any]) -> None:
    text = page.page(data)
    reader = Reader()
    reader.feed(text)
    assert not reader.outside and "url(" not in text and "@import" not in text
    assert "<hi>" not in text.replace("\\u003chi>", ""), "what comes from outside is escaped"
    embedded = text.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(embedded) == data


# In the page: elements that are wider than the window, and chart texts that leave their chart.
LOOK = """<script>
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
const cut = [...document.querySelectorAll("svg text")].filter(t => {
  const box = t.getBBox(), room = t.ownerSVGElement.viewBox.baseVal;
  return box.x < 0 || box.x + box.width > room.width || box.y + box.height > room.height + 1;
}).map(t => t.textContent);
const bars = document.querySelectorAll("svg rect").length;
document.body.dataset.seen = JSON.stringify({wide, cut, bars});
</script></body>"""


@pytest.mark.parametrize("width", [420, 1100])
def test_a_browser_finds_room_for_everything(data: dict[str, Any], width: int, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page.page(data).replace("</body>", LOOK))
    dom = browse(file, tmp_path, f"--window-size={width},900", "--dump-dom").decode()
    seen = json.loads(dom.partition('data-seen="')[2].partition('"')[0].replace("&quot;", '"'))
    assert seen["bars"] > 10 and not seen["wide"] and not seen["cut"], seen


@pytest.mark.parametrize(
    ("scheme", "card", "bar"), [("light", (255, 255, 255), (42, 111, 219)), ("dark", (30, 30, 32), (110, 165, 255))]
)
def test_a_browser_shows_the_bars_in_light_and_dark(
    data: dict[str, Any], scheme: str, card: Any, bar: Any, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(page.page(data))
    dark = (
        ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else ["--blink-settings=preferredColorScheme=1"]
    )
    browse(file, tmp_path, "--window-size=1100,900", f"--screenshot={tmp_path / 'shot.png'}", *dark)
    pixels = png(tmp_path / "shot.png")
    assert pixels.get(card, 0) > 50_000, "the cards have the colour of the scheme"
    assert pixels.get(bar, 0) > 50, "the first isolation's bars are there"


def browse(file: Path, folder: Path, *flags: str) -> bytes:
    """Chromium's standard output.  No network: whatever it asks for beside the file is nowhere."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium here (package chromium)")
    done = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
         f"--user-data-dir={folder / 'profile'}", "--proxy-server=127.0.0.1:1", *flags, file.as_uri()],
        capture_output=True, timeout=120, env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def png(path: Path) -> dict[tuple[int, ...], int]:
    """How often each colour (of 8 bits a channel) is in a picture: png 1.2, filters of section 6."""
    data, at, packed, width, channels = path.read_bytes(), 8, b"", 0, 0
    while at < len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, _, depth, colour = struct.unpack_from(">IIBB", body)
            assert depth == 8
            channels = {2: 3, 6: 4}[colour]
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    raw, step = zlib.decompress(packed), width * channels
    above, counts = bytearray(step), dict[tuple[int, ...], int]()
    for start in range(0, len(raw), step + 1):
        above = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + step]), above, channels)
        for x in range(0, step, channels):
            colour = tuple(above[x : x + 3])
            counts[colour] = counts.get(colour, 0) + 1
    return counts


def unfiltered(kind: int, row: bytearray, above: bytearray, back: int) -> bytearray:
    for x in range(len(row) if kind else 0):
        left, up = row[x - back] if x >= back else 0, above[x]
        corner = above[x - back] if x >= back else 0
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda value: abs(guess - value))
        row[x] = (row[x] + (0, left, up, (left + up) // 2, paeth)[kind]) & 0xFF
    return row
