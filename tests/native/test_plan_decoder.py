"""The plan decoder in C (native/init/plan.c) under ASan and UBSan: thousands of damaged plans in one process."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

from minirun.plan import wire
from minirun.plan.ops import OPS, Exec, Wait
from native import build
from native.fuzz import corpus
from tests.conftest import require, run

SANITIZERS = {
    **os.environ,
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=0",
    "UBSAN_OPTIONS": "exitcode=99:print_stacktrace=1",
}
SEED, MUTATIONS = 20, 6000


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("compiler")
    return build.build_fuzz(tmp_path_factory.mktemp("decoder"), alone=True)


def accepted(decoder: Path, tmp_path: Path, plans: list[bytes]) -> int:
    """How many the decoder takes; a report of a sanitizer fails the test."""
    file = tmp_path / "plans"
    file.write_bytes(b"".join(struct.pack("<I", len(plan)) + plan for plan in plans))
    done = run(decoder, file, env=SANITIZERS)
    assert done.returncode == 0, done.stderr
    count, good = map(int, done.stdout.split())
    assert count == len(plans)
    return good


def damaged(plan: bytes, chance: random.Random) -> bytes:
    """A few bits flipped, a word replaced, a piece cut out or doubled."""
    data = bytearray(plan)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        what = chance.randrange(5)
        if what == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            word = chance.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(plan), len(plan) - 1, chance.getrandbits(32)])
            at = min(at & ~3, len(data) - 4)
            data[at : at + 4] = struct.pack("<I", word)
        elif what == 2:
            del data[at : at + chance.randint(1, 200)]
        elif what == 3:
            data[at:at] = data[at : at + chance.randint(1, 200)]
        else:
            data[at] = 0
        if len(data) < 8:
            break
    if chance.random() < 0.7 and len(data) >= wire.HEADER.size:  # sizes that are right let the damage get further
        filtered = struct.unpack_from("<I", data, 24)[0] * 8
        struct.pack_into("<I", data, 28, len(data))
        if filtered <= len(data):
            struct.pack_into("<I", data, 20, len(data) - filtered)
    return bytes(data)


def test_whole_plans_are_taken(decoder: Path, tmp_path: Path) -> None:
    plans = [*corpus.seeds().values(), wire.encode([])]
    assert accepted(decoder, tmp_path, plans) == len(plans)


def test_no_truncation_is_taken(decoder: Path, tmp_path: Path) -> None:
    plan = corpus.seeds()["plain"]
    cuts = [plan[:size] for size in range(0, len(plan), 7)] + [plan + b"\0", plan + plan]
    assert accepted(decoder, tmp_path, cuts) == 0


def header(plan: bytes, **other: int) -> bytes:
    names = ("magic", "version", "count", "flags", "strings", "filter", "instructions", "size")
    values = dict(zip(names, wire.HEADER.unpack_from(plan), strict=True)) | other
    return wire.HEADER.pack(*values.values()) + plan[wire.HEADER.size :]


@pytest.mark.parametrize(
    "other",
    [
        {"magic": 0}, {"version": 0}, {"version": 1}, {"count": 0}, {"count": 3}, {"count": 0xFFFFFFFF}, {"strings": 0},
        {"strings": 31}, {"strings": 32}, {"strings": 0xFFFFFFFF}, {"size": 0}, {"size": 32}, {"size": 0xFFFFFFFF},
        {"count": 0x27627628, "strings": 32 + 104 * 0x27627628 & 0xFFFFFFFF},
        {"filter": 0}, {"filter": 32}, {"filter": 0xFFFFFFF8}, {"instructions": 0}, {"instructions": 3},
        {"instructions": 0x20000002}, {"instructions": 0xFFFFFFFF},
    ],
)  # fmt: skip
def test_headers(decoder: Path, tmp_path: Path, other: dict[str, int]) -> None:
    plan = wire.encode([Wait(), Exec(args=["a", "b"], env=["c=d"], flags=0)], program=bytes(16))
    assert accepted(decoder, tmp_path, [plan]) == 1
    assert accepted(decoder, tmp_path, [header(plan, **other)]) == 0


def test_records(decoder: Path, tmp_path: Path) -> None:
    """An unknown operation, an offset outside the strings, a list that is longer than they are."""
    plan = wire.encode([Exec(args=["a", "b"], env=["c=d"], flags=0)])
    record = list(wire.RECORD.unpack_from(plan, wire.HEADER.size))
    block = plan[wire.HEADER.size + wire.RECORD.size :]
    strings = 2 + wire.NUMBERS

    def changed(index: int, value: int) -> bytes:
        new = record[:index] + [value] + record[index + 1 :]
        return plan[: wire.HEADER.size] + wire.RECORD.pack(*new) + block

    bad = [changed(0, len(OPS) + 1), changed(0, 0xFFFFFFFF)]
    bad += [changed(strings + slot, value) for slot in range(wire.STRINGS) for value in (len(block), 0xFFFFFFFF)]
    bad += [changed(2 + slot, value) for slot in (0, 1) for value in (len(block) + 1, 1 << 32, (1 << 64) - 1)]
    assert accepted(decoder, tmp_path, bad) == 0
    assert accepted(decoder, tmp_path, [plan[:-1] + b"x", plan[: -len(block)] + b"x" + block[1:]]) == 0


def test_a_filter_of_any_length_that_the_kernel_takes(decoder: Path, tmp_path: Path) -> None:
    plans = [wire.encode([Wait()], program=bytes(8 * count)) for count in (0, 1, 4096, 4097)]
    assert [accepted(decoder, tmp_path, [plan]) for plan in plans] == [1, 1, 1, 0]


def test_damage_is_survived(decoder: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    seeds = list(corpus.seeds().values())
    plans = [damaged(chance.choice(seeds), chance) for _ in range(MUTATIONS)]
    good = accepted(decoder, tmp_path, plans)
    assert MUTATIONS // 100 < good < MUTATIONS, "damage that is always seen, or never, tests nothing"


@pytest.mark.needs("clang")
def test_a_short_run_of_the_fuzzer(tmp_path: Path) -> None:
    """``make fuzz`` goes on for a minute; here only that it works and finds nothing at once."""
    try:
        program = build.build_fuzz(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("clang has no libFuzzer here (package libclang-rt-*-dev)")
    corpus.main(tmp_path / "corpus")
    flags = ["-max_total_time=5", "-seed=1", "-max_len=20000", f"-artifact_prefix={tmp_path}/"]
    done = run(program, *flags, tmp_path / "corpus")
    assert done.returncode == 0, done.stderr[-3000:]
