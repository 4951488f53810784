"""A container's life by the verbs people use: start, stop, kill, wait, restart, rm, pause, exec, and what is left."""

from __future__ import annotations

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.shop import IMAGE, Shop

pytestmark = pytest.mark.needs("root", "busybox")
NONE = ("--net", "none")


def test_run_prints_ends_and_leaves_nothing(shop: Shop) -> None:
    done = shop("run", "--rm", *NONE, IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr.splitlines()[-1]) == (7, "out\n", "err")
    assert not any(shop.left().values())


@pytest.mark.parametrize(("program", "code"), [("/nonexistent", 127), ("nothing", 127), ("/etc", 126)])
def test_what_cannot_run_has_its_exit_code_and_leaves_nothing(shop: Shop, program: str, code: int) -> None:
    for flags in ((), ("-d",)):
        done = shop("run", "--rm", *NONE, *flags, IMAGE, program)
        assert done.returncode == code
        assert done.stderr.startswith("minirun: cannot find") and done.stdout == ""
        assert "config   /process/args/0 in what run --explain=json prints\n" in done.stderr, "the file is gone"
    assert not any(shop.left().values())


def test_a_program_that_a_signal_killed_is_128_and_the_signal(shop: Shop) -> None:
    assert shop("run", "--rm", *NONE, "--init", IMAGE, "sh", "-c", "kill -TERM $$").returncode == 143


def test_a_failed_start_is_written_down(shop: Shop) -> None:
    shop.out("create", "--name", "bad", *NONE, IMAGE, "/nonexistent")
    assert shop("start", "bad").returncode == 127
    found = shop.status("bad")
    assert found["status"] == "exited" and found["exitCode"] == 127 and "nonexistent" in found["error"]


def test_found_by_name_id_and_the_beginning_of_an_id(shop: Shop) -> None:
    one = shop.background("sleep", "100", name="one")
    two = shop.background("sleep", "100", name="two")
    for word in (one, one[:12], one[:6], "one"):
        assert shop.out("exec", word, "hostname") == one[:12]
    assert two != one and shop("stop", "").returncode == 1
    assert "no such container: nobody" in shop("stop", "nobody").stderr


def test_stop_asks_then_kills(shop: Shop) -> None:
    shop.background("sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done", name="polite")
    shop.background("sleep", "100", name="deaf")
    time.sleep(0.2)
    assert shop.out("stop", "polite") == "polite" and shop.status("polite")["exitCode"] == 5
    begun = time.monotonic()
    shop.out("stop", "-t", "1", "deaf")
    assert 0.9 < time.monotonic() - begun < 5 and shop.status("deaf")["exitCode"] == 137
    assert shop.out("stop", "deaf") == "deaf", "one that has ended is stopped already"


def test_several_are_stopped_together(shop: Shop) -> None:
    for name in ("a", "b", "c"):
        shop.background("sleep", "100", name=name)
    begun = time.monotonic()
    done = shop("stop", "-t", "1", "a", "nobody", "b", "c")
    assert done.returncode == 1 and done.stdout.split() == ["a", "b", "c"] and "nobody" in done.stderr
    assert time.monotonic() - begun < 2.5


def test_the_stop_signal_is_the_containers_own(shop: Shop) -> None:
    program = "trap 'exit 6' USR1; while :; do sleep 0.05; done"
    shop.background("sh", "-c", program, name="own", flags=("--stop-signal", "USR1"))
    time.sleep(0.2)
    shop.out("stop", "own")
    assert shop.status("own")["exitCode"] == 6


def test_kill_sends_what_is_asked(shop: Shop) -> None:
    shop.background("sh", "-c", "trap 'exit 9' HUP; while :; do sleep 0.05; done", name="hup")
    time.sleep(0.2)
    shop.out("kill", "-s", "SIGHUP", "hup")
    assert shop.out("wait", "hup") == "9"
    assert shop("kill", "hup").returncode == 1
    for _ in range(3):  # a script's next command finds it ended
        shop.out("start", "hup")
        shop.out("kill", "hup")
        assert shop.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "hup") == "exited 137"


def test_wait_tells_every_code(shop: Shop) -> None:
    for code in ("3", "4"):
        shop.background("sh", "-c", f"sleep 0.3; exit {code}", name=f"w{code}")
    assert shop.out("wait", "w4", "w3").split() == ["4", "3"]


def test_restart_keeps_what_was_written(shop: Shop) -> None:
    shop.background("sh", "-c", "cat /mark; echo x >> /mark; sleep 100", name="again")
    time.sleep(0.2)
    first = shop.status("again")["pid"]
    shop.out("restart", "-t", "0", "again")
    time.sleep(0.2)
    assert shop.status("again")["pid"] != first
    assert shop.out("exec", "again", "cat", "/mark").split() == ["x", "x"]


def test_rm_refuses_what_runs_and_forgets_the_rest(shop: Shop) -> None:
    shop.background("sleep", "100", name="runs")
    done = shop("rm", "runs")
    assert done.returncode == 1 and "it is running" in done.stderr
    assert shop.out("rm", "-f", "runs", "nobody") == "runs"
    shop.out("create", "--name", "made", *NONE, IMAGE, "true")
    assert shop.out("rm", "made") == "made"
    assert not any(shop.left().values())


def test_pause_and_unpause(shop: Shop) -> None:
    shop.background("sh", "-c", "while :; do echo; sleep 0.02; done", name="p")
    shop.out("pause", "p")
    assert "(Paused)" in shop.out("ps")
    size = (shop.directory("p") / "log").stat().st_size
    time.sleep(0.2)
    assert (shop.directory("p") / "log").stat().st_size <= size + 200
    assert shop("exec", "p", "true").returncode == 1
    shop.out("unpause", "p")
    assert shop("unpause", "p").returncode == 1
    shop.out("pause", "p")
    shop.out("stop", "-t", "0", "p")
    assert shop.status("p")["status"] == "exited"


def test_exec(shop: Shop) -> None:
    shop.background("sleep", "100", name="e")
    assert shop.out("exec", "-w", "/tmp", "-e", "A=1", "e", "sh", "-c", "pwd; echo $A").split() == ["/tmp", "1"]
    assert shop.out("exec", "-u", "65534:7", "e", "id", "-u") == "65534"
    assert shop.out("exec", "-i", "e", "cat", input="words") == "words"
    assert shop.out("exec", "e", "cat", input="words") == "", "without -i there is no input"
    assert [shop("exec", "e", *words).returncode for words in (("sh", "-c", "exit 3"), ("no",), ("/etc",))] == [
        3, 127, 126,
    ]  # fmt: skip
    shop.out("exec", "-d", "e", "sh", "-c", "sleep 0.1; echo done > /mark")
    time.sleep(0.5)
    assert shop.out("exec", "e", "cat", "/mark") == "done"
    full = shop.out("exec", "--privileged", "e", "grep", "CapEff", "/proc/self/status").split()[1]
    assert int(full, 16).bit_count() > 35
    assert "unknown user" in shop("exec", "-u", "stranger", "e", "true").stderr
    shop.out("stop", "-t", "0", "e")
    assert shop("exec", "e", "true").returncode == 1


def test_signals_of_the_foreground_reach_the_program(shop: Shop) -> None:
    process = shop.start(
        "run", "--rm", *NONE, IMAGE, "sh", "-c", "trap 'exit 8' USR1; echo up; while :; do sleep 0.05; done"
    )
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGUSR1)
    assert process.wait(10) == 8


def test_a_client_that_is_killed_leaves_the_container_running(shop: Shop) -> None:
    process = shop.start("run", "--name", "on", *NONE, IMAGE, "sh", "-c", "echo up; sleep 100")
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.kill()
    process.wait()
    assert "Up" in shop.out("ps", "--filter", "name=on")
    assert shop.out("exec", "on", "echo", "there") == "there"


def test_a_pipe_that_nobody_reads_stops_no_container(shop: Shop) -> None:
    ours = " ".join(shop.command("run", "--rm", *NONE, IMAGE, "sh", "-c"))
    line = f"{ours} 'seq 1 100000; exit 4' | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["1", "4"]


def test_all_that_is_written_arrives(shop: Shop) -> None:
    """Both streams whole, megabytes of them, whatever the program does last."""
    program = "yes out | head -c 5000000; yes err | head -c 3000000 >&2"
    done = subprocess.run(shop.command("run", "--rm", *NONE, IMAGE, "sh", "-c", program), capture_output=True)
    assert len(done.stdout) == 5000000 and done.stderr.count(b"err\n") == 750000
    data = bytes(range(256)) * 4000
    done = subprocess.run(shop.command("run", "--rm", "-i", *NONE, IMAGE, "cat"), input=data, capture_output=True)
    assert done.stdout == data


def test_many_at_once(shop: Shop) -> None:
    """Forty here, because many machines have two CPUs only."""

    def one(number: int) -> tuple[int, str]:
        done = shop("run", "--rm", *NONE, IMAGE, "echo", str(number))
        return done.returncode, done.stdout.strip()

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, range(40))) == [(0, str(number)) for number in range(40)]
    assert not any(shop.left().values())


def test_names_are_unique_at_once(shop: Shop) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: shop("create", "--name", "only", *NONE, IMAGE, "true").returncode, range(8)))
    assert codes.count(0) == 1 and len(shop.left()["containers"]) == 1
