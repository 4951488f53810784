"""Many at once: 200 containers, 16 at a time; races for one id; and the host is as it was before."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Runtime

pytestmark = pytest.mark.needs("root", "busybox")

CONTAINERS, AT_ONCE = 200, 16
Done = subprocess.CompletedProcess[str]


def call(root: Path, *argv: str | Path, output: Path | None = None) -> Done:
    """minirun with files for stdio where a container would hold a pipe open."""
    if output is None:
        return subprocess.run(
            [MINIRUN, "--root", root, *argv], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
    with open(output, "w+") as file:
        done = subprocess.run(
            [MINIRUN, "--root", root, *argv],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=60,
            check=False,
        )
        file.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, "", file.read())


def sane(done: Done) -> Done:
    """Whatever came of a race: no defect, no traceback, an exit code of minirun's."""
    assert "a case it does not know" not in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 125), (done.args, done.returncode, done.stderr)
    return done


def whole_life(root: Path, bundle: Path, name: str) -> None:
    for argv in (("create", "-b", bundle, name), ("start", name)):
        done = call(root, *argv, output=root.parent / f"{name}.out")
        assert done.returncode == 0, (argv, done.stderr)
    done = call(root, "exec", name, "/probe", "hostname")
    assert (done.returncode, done.stdout) == (0, "minirun\n"), done.stderr
    assert json.loads(call(root, "state", name).stdout)["status"] == "running"
    done = call(root, "kill", name, "KILL")
    assert done.returncode == 0, done.stderr
    done = call(root, "delete", "--force", name)
    assert done.returncode == 0, done.stderr


def probes() -> set[str]:
    """Processes of containers: whose program is the probe."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "exe") == "/probe":
                found.add(entry.name)
        except OSError:
            continue
    return found


def test_two_hundred(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    path = bundle.args("/probe", "pause").write()
    before, running = set(os.listdir("/proc/self/fd")), probes()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        lives = [pool.submit(whole_life, minirun.root, path, f"many-{number}") for number in range(CONTAINERS)]
        for life in lives:
            life.result(timeout=120)
    assert os.listdir(minirun.root) == []
    assert set(os.listdir("/proc/self/fd")) == before
    assert probes() <= running


def test_one_hundred_runs(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    path = bundle.args("/bin/true").write()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in pool.map(lambda number: call(minirun.root, "run", "-b", path, f"run-{number}"), range(100)):
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(minirun.root) == []


def test_one_id_has_one_winner(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    path = bundle.args("/probe", "pause").write()
    for turn in range(3):
        name = minirun.name()

        def create(number: int, turn: int = turn, name: str = name) -> Done:
            return sane(call(minirun.root, "create", "-b", path, name, output=bundle.path / f"{turn}-{number}"))

        with ThreadPoolExecutor(16) as pool:
            done = list(pool.map(create, range(16)))
        assert sorted(one.returncode for one in done) == [0] + [125] * 15
        assert all(f"container {name} exists already" in one.stderr for one in done if one.returncode)
        assert minirun.state(name)["status"] == "created"
        assert minirun("delete", "--force", name).returncode == 0


def test_one_id_from_all_sides(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """create, start, state, kill, exec, pause, list and delete of one id, all at once, over and over."""
    path = bundle.args("/probe", "pause").write()
    name = minirun.name()
    verbs: list[tuple[str | Path, ...]] = [
        ("create", "-b", path, name),
        ("start", name),
        ("state", name),
        ("kill", name, "KILL"),
        ("exec", name, "/bin/true"),
        ("delete", "--force", name),
        ("delete", name),
        ("list",),
        ("pause", name),
        ("resume", name),
        ("ps", "-f", "json", name),
    ]

    def storm(number: int) -> None:
        argv = verbs[number * 7 % len(verbs)]
        done = call(minirun.root, *argv, output=bundle.path / f"storm-{number}")
        if argv[0] == "exec" and done.returncode == 137:
            return  # killed with its container
        sane(done)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(storm, range(220)))
    sane(minirun("resume", name))
    assert minirun("delete", "--force", name).returncode == 0
    assert os.listdir(minirun.root) == []


def test_one_container_deleted_by_many(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Without --force exactly one deletes; the others learn that there is nothing (any more)."""
    name = minirun.start(bundle.args("/probe", "pause"))
    assert minirun("kill", name, "KILL").returncode == 0

    def delete(number: int) -> Done:
        while True:  # until the killed process is gone
            done = sane(call(minirun.root, "delete", name))
            if "not stopped" not in done.stderr:
                return done

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(delete, range(8)))
    assert sorted(one.returncode for one in done) == [0] + [125] * 7
    assert all("does not exist" in one.stderr for one in done if one.returncode)


def test_siblings_in_one_new_cgroup(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """The parent is made by whoever comes first and must outlive everybody, then go."""
    path = bundle.path

    def live(number: int) -> None:
        name = f"sibling-{number}"
        document = {**bundle.config, "linux": {**bundle.config["linux"], "cgroupsPath": f"/minirun/pod/{name}"}}
        config = path / f"{name}.json"
        config.write_text(json.dumps(document))
        done = call(minirun.root, "run", "-b", path, "-f", config, name)
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr

    bundle.args("/probe", "pid").write()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(live, range(48)))
