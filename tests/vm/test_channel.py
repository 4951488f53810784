"""The channel's frames: the same in Python and in C, and taken apart whatever pieces they come in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from minirun.vm import channel
from minirun.vm.channel import BadFrame, Frames, Write
from tests.conftest import ROOT

HEADER = ROOT / "native" / "init" / "channel.h"
FRAMES = st.lists(
    st.tuples(st.sampled_from(sorted(channel.KINDS.values())), st.integers(0, 0xFFFF), st.binary(max_size=300)),
    max_size=8,
)


def test_kinds_have_one_number() -> None:
    text = HEADER.read_text()
    assert {name: int(number) for name, number in re.findall(r"FRAME_([A-Z]+) = (\d+),", text)} == channel.KINDS
    for name, number in channel.KINDS.items():
        assert getattr(channel, name) == number
    for name, value in re.findall(r"#define (\w+) (\d+)u", text):
        mine = {"CHANNEL_VERSION": "VERSION", "FRAME_MOST": "MOST"}.get(name, name)
        assert getattr(channel, mine) == int(value), name
    for name, number in re.findall(r"STDIO_(\w+) = (\d)", text):
        assert getattr(channel, name) == int(number)


@pytest.mark.needs("compiler")
def test_structs_have_python_s_sizes(tmp_path: Path) -> None:
    sizes = {
        "frame_header": channel.HEADER, "spawn_head": channel.SPAWN_HEAD, "hello_head": channel.HELLO_HEAD,
        "exited_body": channel.EXITED_BODY, "answer_head": channel.ANSWER_HEAD,
    }  # fmt: skip
    source = tmp_path / "sizes.c"
    checks = [f'_Static_assert(sizeof(struct {name}) == {layout.size}, "{name}");' for name, layout in sizes.items()]
    source.write_text("\n".join([f'#include "{HEADER}"', *checks]))
    done = subprocess.run(["cc", "-std=c11", "-fsyntax-only", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@given(FRAMES, st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_frames_come_in_any_pieces(sent: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    data = b"".join(channel.frame(kind, stream, payload) for kind, stream, payload in sent)
    taker, at = Frames(), 0
    got: list[tuple[int, int, bytes]] = []
    while at < len(data):
        size = cuts[len(got) % len(cuts)]
        got += list(taker.feed(data[at : at + size]))
        at += size
    assert got == sent and not taker.held


@given(st.binary(max_size=200))
def test_garbage_is_frames_or_bad(data: bytes) -> None:
    try:
        for kind, stream, payload in Frames().feed(data):
            assert 0 <= kind < 65536 and 0 <= stream < 65536 and len(payload) <= channel.MOST
    except BadFrame:
        pass
    for decode in (channel.decode_hello, channel.decode_exited, channel.decode_answer):
        try:
            decode(data)
        except BadFrame:
            pass


def test_what_does_not_fit_into_a_frame() -> None:
    with pytest.raises(ValueError):
        channel.frame(channel.DATA, 1, bytes(channel.MOST + 1))
    whole = channel.frames(channel.BYTES, 7, bytes(channel.MOST + 1))
    assert [len(payload) for _, _, payload in Frames().feed(whole)] == [channel.MOST, 1]
    with pytest.raises(BadFrame):
        list(Frames().feed(channel.HEADER.pack(channel.MOST + 1, 1, 1)))
    with pytest.raises(ValueError):
        channel.spawn(1, flags=0, step=1, task_writes=[Write(step=1, file="a", value="b")] * 257)
