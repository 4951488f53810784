"""Virtqueues and the devices in C behind them (native/vm) under ASan and UBSan: damaged inputs in one process."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest

from native import build
from native.fuzz import queues
from tests.conftest import require, run
from tests.native.test_plan_decoder import SANITIZERS, damaged

SEED, MUTATIONS = 20, 6000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("compiler")
    return build.build_fuzz(tmp_path_factory.mktemp("queues"), "queues", alone=True)


def served(program: Path, tmp_path: Path, inputs: list[bytes]) -> int:
    """How many requests were served; a report of a sanitizer fails the test."""
    file = tmp_path / "inputs"
    file.write_bytes(b"".join(struct.pack("<I", len(data)) + data for data in inputs))
    done = run(program, file, env=SANITIZERS)
    assert done.returncode == 0, done.stderr
    count, good = map(int, done.stdout.split())
    assert count == len(inputs)
    return good


def test_the_first_inputs_are_served(program: Path, tmp_path: Path) -> None:
    """All that are right reach a device: the fuzzer begins behind the first checks."""
    for name, data in queues.seeds().items():
        refused = name in ("raw-outside", "net-short")
        assert (served(program, tmp_path, [data]) > 0) is not refused, name


def test_damage_is_survived(program: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    seeds = list(queues.seeds().values())
    good = served(program, tmp_path, [damaged(chance.choice(seeds), chance) for _ in range(MUTATIONS)])
    assert good > MUTATIONS // 10, "damage that is always seen tests nothing"


@pytest.mark.needs("clang")
def test_a_short_run_of_the_fuzzer(tmp_path: Path) -> None:
    """``make fuzz`` goes on for a minute; here only that it works and finds nothing at once."""
    try:
        fuzzer = build.build_fuzz(tmp_path, "queues")
    except subprocess.CalledProcessError:
        pytest.skip("clang has no libFuzzer here (package libclang-rt-*-dev)")
    queues.main(tmp_path / "corpus")
    flags = ["-max_total_time=5", "-seed=1", "-max_len=4096", "-timeout=5", f"-artifact_prefix={tmp_path}/"]
    done = run(fuzzer, *flags, tmp_path / "corpus")
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_worker_and_driver_never_miss_each_other(compiler: str, tmp_path: Path) -> None:
    """Under ThreadSanitizer: no race on what is ours, no kick and no interrupt lost, resets under load."""
    program = tmp_path / "stress"
    names = ("memory", "virtq", "virtq_data", "worker", "blk")
    sources = [build.NATIVE / "fuzz" / "stress.c", *(build.NATIVE / "vm" / f"{name}.c" for name in names)]
    done = run(compiler, "-std=gnu11", "-O1", "-g", "-fsanitize=thread", "-o", program, *sources)
    if done.returncode:
        pytest.skip(f"{compiler} has no ThreadSanitizer here")
    done = run(program, env={**SANITIZERS, "TSAN_OPTIONS": "exitcode=99"}, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    requests = int(done.stdout.split()[0])
    assert requests > 500_000
