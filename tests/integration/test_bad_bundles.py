"""Bad bundles: whatever is wrong, there is one clear error with its place, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MINIRUN, Bundle, Json, Runtime

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
        [MINIRUN, "--root", tmp_path / "state", "create", "-b", bundle.path, "x"],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=20,
        env={},
    )
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
