"""AppArmor in force: a profile is the program's from its first instruction, in run and in exec; one must be loaded."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.conftest import open_bundle, open_place  # noqa: F401 (fixtures)
from tests.integration.seen import ask, ask_in, mark

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox")]

PROFILE = """profile minirun-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
  network,
  unix,
  deny /etc/passwd r,
}
profile minirun-other flags=(attach_disconnected) {
  file,
  capability,
  signal,
}
"""


@pytest.fixture(scope="module", autouse=True)
def profiles() -> Iterator[None]:
    """Loaded, and taken out again; securityfs is where the parser hands them over."""
    security = Path("/sys/kernel/security")
    mounted = not (security / "apparmor").exists()
    if mounted:
        subprocess.run(["mount", "-t", "securityfs", "securityfs", security], check=True)
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache"], input=PROFILE, text=True, check=True)
    yield
    subprocess.run(["apparmor_parser", "--remove"], input=PROFILE, text=True, check=True)
    if mounted:
        subprocess.run(["umount", security], check=True)


def test_run_and_exec(minirun: Runtime, bundle: Bundle) -> None:
    """exec is under the container's, unless it names another; the waiting init is under none yet."""
    bundle.config["process"]["apparmorProfile"] = "minirun-test"
    mark(bundle)
    assert ask(minirun, bundle, "label", "access /etc/passwd r", "access /etc/group r") == [
        "minirun-test (enforce)", "ok", "ok",
    ]  # fmt: skip
    done = minirun.run(bundle.args("/probe", "cat", "/etc/passwd"))
    assert done.returncode == 1 and "Permission denied" in done.stderr
    name = minirun.start(bundle.args("/probe", "pause"))
    assert ask_in(minirun, name, "label") == ["minirun-test (enforce)"]
    assert ask_in(minirun, name, "label", flags=("--apparmor", "minirun-other")) == ["minirun-other (enforce)"]
    assert ask_in(minirun, name, "label", flags=("--apparmor", "unconfined")) == ["unconfined"]
    (bundle.path / "p.json").write_text(json.dumps({"cwd": "/", "args": ["/probe", "label"]}))
    assert minirun("exec", "--process", bundle.path / "p.json", name).stdout == "minirun-test (enforce)\n"


def test_as_a_user_in_a_user_namespace(minirun: Runtime, open_bundle: Bundle) -> None:  # noqa: F811
    """exec too, whose container covers parts of its /proc: nobody in there may mount another."""
    linux = open_bundle.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    open_bundle.config["process"].update(apparmorProfile="minirun-test", user={"uid": 1000, "gid": 1000})
    mark(open_bundle)
    name = minirun.start(open_bundle.args("/probe", "pause"))
    assert Path(f"/proc/{minirun.state(name)['pid']}/attr/current").read_text() == "minirun-test (enforce)\n"
    assert ask_in(minirun, name, "label", "id") == ["minirun-test (enforce)", "uid=1000 gid=1000 groups="]


def test_a_false_proc_keeps_no_profile_away(minirun: Runtime, bundle: Bundle) -> None:
    """An image's volume on /proc took runc's write (CVE-2019-16884); ours goes to a procfs that nothing covers."""
    bundle.config["process"]["apparmorProfile"] = "minirun-test"
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/proc"]
    bundle.config["linux"].update(maskedPaths=[], readonlyPaths=[])
    false = bundle.rootfs / "proc/self/attr/apparmor"
    false.mkdir(parents=True)
    (false / "exec").write_text("")
    name = minirun.start(bundle.args("/probe", "pause"))
    words: list[str | Path] = ["exec", "-d", "--pid-file", bundle.path / "pid", name, "/probe", "pause"]
    with open("/dev/null", "wb") as nowhere:  # a pipe would be held open by what goes on running
        assert minirun(*words, capture_output=False, stdout=nowhere, stderr=nowhere).returncode == 0
    for pid in (minirun.state(name)["pid"], (bundle.path / "pid").read_text()):
        assert Path(f"/proc/{pid}/attr/current").read_text() == "minirun-test (enforce)\n"
    assert (false / "exec").read_text() == ""


def test_a_profile_that_is_not_loaded(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["process"]["apparmorProfile"] = "minirun-nowhere"
    done = minirun.run(bundle.args("/probe", "pid"))
    assert done.returncode == 125
    assert "cannot write /proc/self/attr/apparmor/exec: exec minirun-nowhere: No such file or directory" in done.stderr
    assert "  config   /process/apparmorProfile in " in done.stderr
    assert "  hint     no profile of that name is loaded" in done.stderr


def test_selinux_is_not_in_force(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0"
    done = minirun.run(bundle)
    assert done.returncode == 125 and "SELinux is not in force on this host" in done.stderr
