"""Attacks by words: names that climb, bytes for the terminal, directories of somebody else."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Runtime

pytestmark = pytest.mark.needs("root", "busybox")

ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\u202e\u009b31m"
BAD_IDS = (
    "",
    ".",
    "..",
    "../x",
    "/x",
    "x/y",
    "x/../../y",
    "..x",
    "x..y",
    ".x",
    "x y",
    " x",
    "x\n",
    "x\ty",
    "\x1b[31m",
    "\u00fc",
    "x\u202e",
    "\uff0e\uff0e",
    "x" * 200,
    "x" * 100_000,
    "~",
    "$HOME",
    "%s",
    "x;y",
    "x\\y",
    "\udcff",
)


def plain(text: str) -> None:
    """Nothing in it moves a cursor; one error, no defect."""
    assert all(line.isprintable() for line in text.split("\n")), repr(text)
    assert "a case it does not know" not in text and "Traceback" not in text, text


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", ["create", "run", "start", "state", "kill", "delete", "exec", "pause", "events", "ps", "update"]
)
def test_ids_cannot_climb(minirun: Runtime, bundle: Bundle, clean_host: None, verb: str) -> None:
    path = bundle.write()
    minirun.root.mkdir(mode=0o700)
    (minirun.root.parent / "x").mkdir()
    for name in BAD_IDS:
        flags = ["-b", path] if verb in ("create", "run") else ["--force"] if verb == "delete" else []
        words = ["/bin/true"] if verb == "exec" else []
        done = minirun(verb, *flags, "--", name, *words, errors="backslashreplace")
        assert done.returncode == 125, (name, done)
        plain(done.stderr)
        assert len(done.stderr) < 500
        assert os.listdir(minirun.root) == [] and (minirun.root.parent / "x").is_dir()


@pytest.mark.parametrize(
    "path", ["..", "/..", "/../x", "a/../../b", "/minirun/../../x", "a\nb", "a\0b", "x" * 300, "y/" * 3000]
)
def test_cgroups_path_cannot_climb(minirun: Runtime, bundle: Bundle, clean_host: None, path: str) -> None:
    bundle.config["linux"]["cgroupsPath"] = path
    done = minirun.run(bundle)
    assert done.returncode == 125 and "config   /linux/cgroupsPath in " in done.stderr, done
    plain(done.stderr)


@pytest.mark.parametrize("path", ["..", "/..", "a/../..", "./../x", "memory:/../..", "nowhere", "x" * 300, "a\nb"])
def test_the_cgroup_of_exec_is_below_the_containers(minirun: Runtime, bundle: Bundle, path: str) -> None:
    name = minirun.start(bundle.args("/probe", "pause"))
    done = minirun("exec", "--cgroup", path, name, "/bin/true")
    assert done.returncode in (2, 125), done
    plain(done.stderr)
    assert minirun.state(name)["status"] == "running"


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/linux/devices/0", {"type": "c", "path": "/dev/../../x", "major": 1, "minor": 3}),
        ("/linux/devices/0", {"type": "c", "path": "dev/x", "major": 1, "minor": 3}),
        ("/linux/devices/0", {"type": "c", "path": "/dev/x\0y", "major": 1, "minor": 3}),
        ("/linux/maskedPaths/0", "relative"),
        ("/linux/maskedPaths/0", "/x\0y"),
        ("/linux/readonlyPaths/0", "../x"),
        ("/hooks/createRuntime/0", {"path": "relative/hook"}),
        ("/hooks/createRuntime/0", {"path": "/bin/true\0/evil"}),
        ("/process/cwd", "/a/../../b"),
        ("/process/cwd", "relative"),
        ("/linux/sysctl/net...kernel.core_pattern", "|/evil"),
        ("/linux/sysctl/net.~1..~1kernel~1core_pattern", "|/evil"),
        ("/linux/sysctl/kernel.core_pattern", "|/evil"),
        ("/linux/resources/unified/..~1..~1cgroup.procs", "1"),
        ("/linux/resources/unified/cgroup.procs", "1"),
    ],
)
def test_paths_of_the_configuration_are_strict(
    minirun: Runtime, bundle: Bundle, clean_host: None, pointer: str, value: object
) -> None:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    at = bundle.config
    for part, following in itertools.pairwise(parts):
        at = at.setdefault(part, [] if following == "0" else {})
    if isinstance(at, list):
        at[:] = [value]
    else:
        at[parts[-1]] = value
    done = minirun.run(bundle)
    assert done.returncode == 125 and f"config   {pointer}" in done.stderr, done
    plain(done.stderr)


def test_hugepage_sizes_are_no_paths(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    for size in ("2MB/../..", "../../x", "2MB\n", ""):
        bundle.config["linux"]["resources"]["hugepageLimits"] = [{"pageSize": size, "limit": 1}]
        done = minirun.run(bundle)
        assert done.returncode == 125 and "config   /linux/resources/hugepageLimits/0" in done.stderr, done
        plain(done.stderr)


# -- the terminal of who reads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_hostile_input_says_is_escaped(minirun: Runtime, bundle: Bundle, form: str) -> None:
    bundle.config["annotations"] = {ESCAPES: 1}
    bundle.config["process"]["cwd"] = f"/{ESCAPES}/.."
    bundle.write()
    hostile = bundle.path / ESCAPES.replace("/", "")
    for argv in (
        ("create", "-b", bundle.path, "x"),
        ("create", "-b", hostile, "x"),
        ("state", ESCAPES),
        ("--root", hostile, "state", "x"),
        ("kill", "x", ESCAPES),
        ("exec", "-u", ESCAPES, "x", "y"),
        (ESCAPES,),
        (f"--{ESCAPES}",),
        ("state", f"--{ESCAPES}"),
        ("create", "--pid-file", hostile / "x", "-b", hostile, "x"),
        ("run", f"-{ESCAPES}", "x"),
    ):
        done = minirun("--log-format", form, *argv)
        assert done.returncode != 0
        plain(done.stderr)
        if form == "json" and done.stderr.startswith("{"):
            assert json.loads(done.stderr.splitlines()[-1])["level"] == "error"


def test_what_a_container_is_called_is_escaped_in_tables(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    folder = bundle.path / "\x1b[31m"
    folder.mkdir()
    config = {**bundle.config, "root": {"path": str(bundle.rootfs), "readonly": True}}
    (folder / "config.json").write_text(json.dumps(config))
    bundle.path = folder
    bundle.config = config
    name = minirun.create(bundle)
    plain(minirun("list").stdout)
    plain(minirun("state", name).stdout)
    plain(minirun("list", "-f", "json").stdout)
    assert minirun("delete", "--force", name).returncode == 0


# -- somebody else's state --------------------------------------------------------------------------------------------

USER, ATTACKER = 54321, 54322


@pytest.fixture
def public(tmp_path: Path, bundle: Bundle) -> Iterator[Path]:
    """What another user prepared in /tmp for the name that ours would use."""
    trap = Path(f"/tmp/minirun-{USER}")
    assert not trap.exists()
    yield trap
    if trap.is_symlink():
        trap.unlink()
    shutil.rmtree(trap, ignore_errors=True)


@pytest.mark.parametrize("trap", ["directory", "open directory", "link", "own but open"])
def test_the_state_directory_must_be_ours_alone(public: Path, tmp_path: Path, trap: str) -> None:
    if trap == "link":
        public.symlink_to("/tmp")
        os.lchown(public, ATTACKER, ATTACKER)
    else:
        public.mkdir()
        (public / "victim").mkdir()
        (public / "victim" / "state.json").write_text('{"id": "victim"}')
        os.chown(public, *((USER, USER) if trap == "own but open" else (ATTACKER, ATTACKER)))
        public.chmod(0o755 if trap == "directory" else 0o777)
    watched = "/tmp" if trap == "link" else public  # fs.protected_symlinks stops us as well
    before = sorted(os.listdir(watched))
    for argv in (
        ("list",),
        ("state", "victim"),
        ("start", "victim"),
        ("kill", "victim"),
        ("delete", "--force", "victim"),
        ("exec", "victim", "true"),
    ):
        done = subprocess.run(
            [MINIRUN, *argv],
            capture_output=True,
            text=True,
            timeout=20,
            user=USER,
            group=USER,
            extra_groups=[],
            env={},
            check=False,
        )
        assert done.returncode == 125 and "is not ours alone" in done.stderr, (argv, done)
    if trap != "link":
        assert sorted(os.listdir(watched)) == before
