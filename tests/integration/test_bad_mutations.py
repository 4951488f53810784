"""Mutations of a good bundle: planned or refused, made or refused, and never anything in between.

They are hypothesis's, derandomized: several hundred through ``create --explain=json`` in this process, and some of
them through the real ``create``, which must either make a container or leave no trace.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.conftest import MINIRUN, Bundle, Json, Runtime, base_config
from tests.integration.test_bad_bundles import check_face

pytestmark = pytest.mark.needs("root", "busybox")

JUNK: list[object] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    1e308,
    2**31,
    2**32 - 1,
    2**32,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "a\nb",
    "\ud800",
    "\u202eevil",
    "\x1b[31mred",
    "\u00fc\U0001f4a9",
    "x" * 5000,
    "..",
    "/..",
    "../../../../tmp",
    "/",
    "//",
    ".",
    "a/b",
    "~0~1",
    "pid",
    "rbind",
    "0",
    "-1",
    "%s%n",
    [],
    [[]],
    [None],
    ["", 1],
    {},
    {"": ""},
    {"a": None},
    {"type": None},
    {"path": "/x"},
    [{}],
    [{"path": ""}],
    ["x"] * 400,
]


def rich_config() -> Json:
    """A good one in which every section has something to spoil."""
    config = base_config("/probe", "true")
    config["process"] |= {"oomScoreAdj": 100, "consoleSize": {"height": 1, "width": 1}}
    config["process"]["user"] = {"uid": 1000, "gid": 1000, "umask": 18, "additionalGids": [5, 10]}
    config["process"]["capabilities"] |= {"ambient": ["CAP_KILL"], "inheritable": ["CAP_KILL"]}
    config["domainname"] = "example"
    config["annotations"] = {"a": "b"}
    config["hooks"] = {
        name: [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]
        for name in ("createRuntime", "createContainer", "poststop")
    }
    config["mounts"] += [
        {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "ro"]},
        {"destination": "/mnt2", "source": "rootfs/etc", "options": ["rbind", "ro", "rslave"]},
    ]
    linux = config["linux"]
    linux["cgroupsPath"] = "/minirun/mutant"
    linux["namespaces"].append({"type": "time"})
    linux["timeOffsets"] = {"boottime": {"secs": 5, "nanosecs": 7}}
    linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "1000000"}
    linux["devices"] = [
        {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}
    ]
    linux["resources"] = {"devices": [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]}
    linux["rootfsPropagation"] = "private"
    return config


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every member's path."""
    found: list[tuple[object, ...]] = [path]
    if isinstance(value, dict):
        for name, member in value.items():
            found += places(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            found += places(member, (*path, index))
    return found


def spoil(config: Json, choices: list[tuple[int, str, int]]) -> object:
    """Apply (place, act, junk) in turn; the numbers are taken modulo what there is."""
    document: object = copy.deepcopy(config)
    for place, act, junk in choices:
        found = places(document)
        path = found[place % len(found)]
        value = copy.deepcopy(JUNK[junk % len(JUNK)])
        if not path:
            continue
        parent: object = document
        for part in path[:-1]:
            parent = parent[part]  # type: ignore[index]
        last = path[-1]
        if act == "drop":
            del parent[last]  # type: ignore[attr-defined]
        elif act == "replace":
            parent[last] = value  # type: ignore[index]
        elif act == "wrap":
            parent[last] = [parent[last]]  # type: ignore[index]
        elif act == "twice" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))  # type: ignore[call-overload]
        elif act == "add" and isinstance(parent, dict):
            parent[value if isinstance(value, str) else "extra"] = value
        elif act == "add" and isinstance(parent, list):
            parent.append(value)
    return document


ACTS = st.sampled_from(["drop", "replace", "replace", "replace", "wrap", "twice", "add"])
CHOICES = st.lists(st.tuples(st.integers(0, 500), ACTS, st.integers(0, len(JUNK) - 1)), min_size=1, max_size=3)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def in_process(argv: list[str], folder: Path) -> tuple[int, str, str]:
    """minirun's main here, with its descriptors 1 and 2 in files."""
    from minirun.cli.main import main

    kept = os.dup(1), os.dup(2)
    files = [os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for name in ("stdout", "stderr")]
    try:
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        code = main(argv, {}, str(folder))
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for fd in (*kept, *files):
            os.close(fd)
    return code, (folder / "stdout").read_text(), (folder / "stderr").read_text()


@settings(max_examples=700, derandomize=True, deadline=None, database=None, suppress_health_check=QUIET)
@given(choices=CHOICES)
def test_mutations_are_planned_or_refused(tmp_path: Path, choices: list[tuple[int, str, int]]) -> None:
    document = spoil(rich_config(), choices)
    (tmp_path / "config.json").write_text(json.dumps(document))
    code, out, err = in_process(["create", "--explain=json", "-b", str(tmp_path), "x"], tmp_path)
    assert code in (0, 125), (code, err)
    if code == 0:
        assert json.loads(out)[-1]["actor"] == "init"
    else:
        check_face(err)
        check_pointer(err)


def check_pointer(err: str) -> None:
    """A fault of the content has its place: a pointer (RFC 6901) in the row ``config``, or one for each problem."""
    rows = [line for line in err.splitlines() if re.match("  (config|problem) ", line)]
    config = [line for line in rows if re.match("  config   (/.*|the document itself) in /.*/config.json$", line)]
    problems = [line for line in rows if re.match("  problem  /.*: ", line)]
    assert config or len(problems) >= 2, err


def collected(count: int) -> list[list[tuple[int, str, int]]]:
    """Fixed choices for the slow half, without hypothesis's replay: one per place and act, spread evenly."""
    acts = ("replace", "drop", "add", "twice", "wrap", "replace")
    return [[(index * 7 + 1, acts[index % len(acts)], index * 5)] for index in range(count)]


def test_mutations_leave_nothing(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """The real create: made and deleted, or refused with nothing left; never anything in between."""
    for choices in collected(70):
        document = spoil(rich_config(), choices)
        (bundle.path / "config.json").write_text(json.dumps(document))
        name = minirun.name()
        with open(bundle.path / "err", "w+b") as err, open(bundle.path / "out", "wb") as out:
            done = subprocess.run(
                [MINIRUN, "--root", minirun.root, "create", "-b", bundle.path, name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=20,
            )
        said = (bundle.path / "err").read_text()
        if done.returncode == 0:
            assert minirun.state(name)["status"] == "created", choices
            assert minirun("delete", "--force", name).returncode == 0, choices
        else:
            assert done.returncode in (125, 126, 127), (choices, said)
            check_face(said)
            check_pointer(said)
        assert not minirun.root.exists() or os.listdir(minirun.root) == [], (choices, said)
