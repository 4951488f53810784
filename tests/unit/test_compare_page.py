"""compare's page: complete in itself, and looked at in a headless browser, narrow and wide, light and dark."""

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

from minirun.lab import page
from tests.unit.compared import invented


@pytest.fixture
def data() -> dict[str, Any]:
    return invented()


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
