"""Logs: as docker's json-file writes them, rotated, followed, and whole after a kill -9."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")


def test_a_line_is_a_record(shop: Shop) -> None:
    shop.background("sh", "-c", "echo one; echo two >&2; printf three", name="log")
    shop.until("log", "exited")
    records = [json.loads(line) for line in (shop.directory("log") / "log").read_text().splitlines()]
    assert {(record["log"], record["stream"]) for record in records} == {
        ("one\n", "stdout"), ("two\n", "stderr"), ("three", "stdout"),
    }  # fmt: skip
    done = shop("logs", "log")
    assert (done.stdout, done.stderr) == ("one\nthree", "two\n")
    assert shop.out("logs", "-t", "log").splitlines()[0].startswith(records[0]["time"][:10])


def test_tail_since_until(shop: Shop) -> None:
    shop.background("sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.3; done", name="slow")
    shop.until("slow", "exited")
    assert shop.out("logs", "-n", "2", "slow").split() == ["4", "5"]
    assert shop.out("logs", "-n", "0", "slow") == ""
    stamps = [line.split()[0] for line in shop.out("logs", "-t", "slow").splitlines()]
    assert shop.out("logs", "--since", stamps[2], "slow").split() == ["3", "4", "5"]
    assert shop.out("logs", "--until", stamps[1], "slow").split() == ["1", "2"]
    assert shop.out("logs", "--since", "1h", "slow").split() == ["1", "2", "3", "4", "5"]
    assert shop("logs", "--since", "soon", "slow").returncode == 2


def test_follow_ends_with_the_container_and_crosses_rotations(shop: Shop) -> None:
    """Twenty files' worth while only three are kept: a reader that keeps up misses nothing."""
    flags = ("--log-opt", "max-size=2k", "--log-opt", "max-file=3")
    shop.background("sh", "-c", "for i in $(seq 1 400); do echo line $i; sleep 0.002; done", name="f", flags=flags)
    done = shop("logs", "-f", "f", timeout=30)
    lines = done.stdout.splitlines()
    assert lines == [f"line {number}" for number in range(401 - len(lines), 401)] and len(lines) > 300
    names = sorted(path.name for path in shop.directory("f").glob("log*"))
    assert names == ["log", "log.1", "log.2"]
    assert all(path.stat().st_size <= 2048 for path in shop.directory("f").glob("log*"))
    kept = shop.out("logs", "f").splitlines()
    assert kept == [f"line {number}" for number in range(401 - len(kept), 401)] and 10 < len(kept) < 100


def test_a_long_line_is_cut_and_put_together_again(shop: Shop) -> None:
    shop.background("sh", "-c", "head -c 50000 /dev/zero | tr '\\0' x; echo", name="long")
    shop.until("long", "exited")
    assert len((shop.directory("long") / "log").read_text().splitlines()) == 4
    assert shop.out("logs", "long") == "x" * 50000


def test_none_and_passthrough(shop: Shop) -> None:
    shop.out("run", "-d", "--net", "none", "--log-driver", "none", "--name", "no", IMAGE, "echo", "lost")
    shop.until("no", "exited")
    assert "--log-driver none" in shop("logs", "no").stderr and not (shop.directory("no") / "log").exists()
    done = shop("run", "--rm", "--net", "none", "--log-driver", "passthrough", IMAGE, "echo", "straight")
    assert done.stdout == "straight\n"


@pytest.mark.parametrize("option", ["max-size=0", "max-size=big", "max-file=0", "mode=fast"])
def test_wrong_options_are_named(shop: Shop, option: str) -> None:
    done = shop("create", "--net", "none", "--log-opt", option, IMAGE, "true")
    assert done.returncode == 2 and option.partition("=")[0] in done.stderr
    assert not any(shop.left().values())


def test_a_slow_follower_and_attacher_stop_nobody(shop: Shop) -> None:
    """One who attaches and never reads is sent away; the log has everything."""
    program = "sleep 0.5; seq 1 200000; echo end"
    shop.background("sh", "-c", program, name="busy")
    stuck = subprocess.Popen(shop.command("attach", "busy"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    follower = subprocess.Popen(shop.command("logs", "-f", "busy"), stdout=subprocess.PIPE)
    begun = time.monotonic()
    shop.until("busy", "exited", seconds=20)
    assert time.monotonic() - begun < 15
    assert shop.out("logs", "-n", "1", "busy") == "end"
    for process in (stuck, follower):
        process.kill()
        process.communicate()
