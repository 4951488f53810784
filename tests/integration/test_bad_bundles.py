"""Bad bundles: whatever is wrong, there is one clear error with its place, and nothing is left behind.

The mutations are hypothesis's, derandomized: several hundred through ``create --explain=json`` in this process, and
some of them through the real ``create``, which must either make a container or leave no trace.
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

pytestmark = pytest.mark.needs("root", "busybox")

DEFECT = "a case it does not know"


def refused(minirun: Runtime, bundle: Bundle, *flags: str) -> str:
    """``create`` must fail with minirun's own exit code and its face; what it said."""
    done = minirun("create", "-b", bundle.path, *flags, minirun.name(), timeout=20)
    assert done.returncode == 125, (done.returncode, done.stderr)
    check_face(done.stderr)
    assert json.loads(minirun("list", "-f", "json").stdout) is None
    return str(done.stderr)


def check_face(text: str) -> None:
    """One error: a headline, then rows with labels; no traceback, no defect."""
    assert DEFECT not in text and "Traceback" not in text, text
    lines = [line for line in text.splitlines() if not line.startswith("minirun: warning: ")]
    assert lines and lines[0].startswith("minirun: "), text
    assert all(line.startswith("  ") for line in lines[1:]), text
    assert text.isprintable() or all(line.isprintable() for line in text.split("\n")), repr(text)


# -- the document itself ----------------------------------------------------------------------------------------------


def test_no_config(minirun: Runtime, bundle: Bundle) -> None:
    said = refused(minirun, bundle)
    assert "config.json: No such file or directory" in said
    assert "hint     a bundle is a directory with a config.json" in said


def test_no_bundle(minirun: Runtime, tmp_path: Path) -> None:
    done = minirun("create", "-b", tmp_path / "nowhere", minirun.name())
    assert done.returncode == 125
    check_face(done.stderr)


def test_config_is_a_directory(minirun: Runtime, bundle: Bundle) -> None:
    (bundle.path / "config.json").mkdir()
    assert "config.json: Is a directory" in refused(minirun, bundle)


def test_config_is_a_fifo(minirun: Runtime, bundle: Bundle) -> None:
    os.mkfifo(bundle.path / "config.json")
    assert "not JSON" in refused(minirun, bundle)


def test_config_without_end(minirun: Runtime, bundle: Bundle) -> None:
    (bundle.path / "config.json").symlink_to("/dev/zero")
    assert "larger than 16 MiB" in refused(minirun, bundle)


def test_config_that_may_not_be_read(bundle: Bundle, tmp_path: Path) -> None:
    bundle.write()
    os.chmod(bundle.path / "config.json", 0)
    done = subprocess.run(
        [MINIRUN, "--root", tmp_path / "state", "create", "-b", bundle.path, "x"], user=65534, group=65534, extra_groups=[],
        capture_output=True, text=True, timeout=20, env={},
    )  # fmt: skip
    assert done.returncode == 125
    assert "config.json: Permission denied" in done.stderr
    check_face(done.stderr)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1 column 1"),
        (b" \n ", "a value was expected"),
        (b"{", "not JSON"),
        (b'{"ociVersion": "1.2.1",}', "not JSON"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{} {}", "something follows the document"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": Infinity}', "Infinity is not JSON"),
        (b'"\x01"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 50_000, "not JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b"[]", "must be an object, not an array"),
        (b"null", "must be an object, not null"),
        (b"3", "must be an object, not an integer"),
        (b"{}", "problems"),
    ],
)
def test_not_a_config(minirun: Runtime, bundle: Bundle, data: bytes, said: str) -> None:
    (bundle.path / "config.json").write_bytes(data)
    assert said.lower() in refused(minirun, bundle).lower()


# -- the root file system ---------------------------------------------------------------------------------------------


def set_root(bundle: Bundle, path: str) -> None:
    bundle.config["root"]["path"] = path
    bundle.write()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "No such file or directory"),
        ("config.json", "Not a directory"),
        ("config.json/below", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("y/" * 3000, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_root_that_is_none(minirun: Runtime, bundle: Bundle, clean_host: None, path: str, said: str) -> None:
    (bundle.path / "loop").symlink_to("loop")
    set_root(bundle, path)
    text = refused(minirun, bundle)
    assert said in text
    assert "config   /root/path in " in text


def test_empty_rootfs(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Nothing to run: create's own error, by the program's exit code."""
    (bundle.path / "empty").mkdir()
    bundle.config["root"] = {"path": "empty"}
    done = minirun.run(bundle)
    assert done.returncode == 127, done.stderr
    check_face(done.stderr)
    assert "config   /process/args/0" in done.stderr


# -- mutations --------------------------------------------------------------------------------------------------------

JUNK: list[object] = [
    None, True, False, 0, -1, 1, 1.5, 1e308, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400,
    "", " ", "\0", "a\0b", "\n", "a\nb", "\ud800", "\u202eevil", "\x1b[31mred", "\u00fc\U0001f4a9", "x" * 5000, "..", "/..",
    "../../../../tmp", "/", "//", ".", "a/b", "~0~1", "pid", "rbind", "0", "-1", "%s%n", [], [[]], [None], ["", 1], {},
    {"": ""}, {"a": None}, {"type": None}, {"path": "/x"}, [{}], [{"path": ""}], ["x"] * 400,
]  # fmt: skip


def rich_config() -> Json:
    """A good one in which every section has something to spoil."""
    config = base_config("/probe", "true")
    config["process"] |= {"oomScoreAdj": 100, "consoleSize": {"height": 1, "width": 1}}
    config["process"]["user"] = {"uid": 1000, "gid": 1000, "umask": 18, "additionalGids": [5, 10]}
    config["process"]["capabilities"] |= {"ambient": ["CAP_KILL"], "inheritable": ["CAP_KILL"]}
    config["domainname"] = "example"
    config["annotations"] = {"a": "b"}
    config["hooks"] = {name: [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]
                       for name in ("createRuntime", "createContainer", "poststop")}  # fmt: skip
    config["mounts"] += [{"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "ro"]},
                         {"destination": "/mnt2", "source": "rootfs/etc", "options": ["rbind", "ro", "rslave"]}]  # fmt: skip
    linux = config["linux"]
    linux["cgroupsPath"] = "/minirun/mutant"
    linux["namespaces"].append({"type": "time"})
    linux["timeOffsets"] = {"boottime": {"secs": 5, "nanosecs": 7}}
    linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "1000000"}
    linux["devices"] = [{"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}]
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
                [MINIRUN, "--root", minirun.root, "create", "-b", bundle.path, name], stdin=subprocess.DEVNULL, stdout=out,
                stderr=err, timeout=20,
            )  # fmt: skip
        said = (bundle.path / "err").read_text()
        if done.returncode == 0:
            assert minirun.state(name)["status"] == "created", choices
            assert minirun("delete", "--force", name).returncode == 0, choices
        else:
            assert done.returncode in (125, 126, 127), (choices, said)
            check_face(said)
            check_pointer(said)
        assert not minirun.root.exists() or os.listdir(minirun.root) == [], (choices, said)


# -- what a wrong value would do --------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["uid", "gid"])
def test_the_last_id_is_none(minirun: Runtime, bundle: Bundle, member: str) -> None:
    """setresuid(2) takes 2^32 - 1 for "leave it": the container would run as root."""
    bundle.config["process"]["user"][member] = 0xFFFFFFFF
    bundle.write()
    assert f"config   /process/user/{member}" in refused(minirun, bundle)


@pytest.mark.parametrize("value", [2**63 - 1, 2**63, 2**64 - 2])
def test_enormous_rlimit_in_a_user_namespace(minirun: Runtime, bundle: Bundle, clean_host: None, value: int) -> None:
    """Set from the host, through Python: a number it cannot say must not be a defect."""
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": value}]
    bundle.config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        bundle.config["linux"][kind] = [{"containerID": 0, "hostID": 0, "size": 100000}]
    done = minirun.run(bundle.args("/probe", "rlimits"))
    assert done.returncode == 0 or "config   /process/rlimits/0" in done.stderr, done.stderr
    assert DEFECT not in done.stderr


@pytest.mark.parametrize(
    ("hook", "place"),
    [({"env": ["=x"]}, "env/0"), ({"env": [""]}, "env/0"), ({"args": [""]}, "args/0"), ({"timeout": 0}, "timeout")],
)
def test_hooks_that_cannot_be_run(minirun: Runtime, bundle: Bundle, hook: Json, place: str) -> None:
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true", **hook}]}
    bundle.write()
    assert f"config   /hooks/createRuntime/0/{place}" in refused(minirun, bundle)


def test_a_hook_with_all_the_time_in_the_world(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    entry = {"path": "/bin/true", "timeout": 2**63 - 1}
    bundle.config["hooks"] = {"createRuntime": [entry], "createContainer": [entry]}
    assert minirun.output(bundle, "/probe", "pid") == "1\n"
