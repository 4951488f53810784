"""Filters by crun's annotations, and where exec has to load its filter early."""

from __future__ import annotations

import base64
import errno
import json
import struct
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime
from tests.installed import Installed
from tests.integration.agents import Agent
from tests.integration.profiles import number, profile, rule
from tests.integration.seen import ask, ask_in, wait_for

pytestmark = pytest.mark.needs("root", "busybox", "seccomp")
GETPPID = "getppid"
ALLOW, ERRNO, USER_NOTIF = 0x7FFF0000, 0x00050000, 0x7FC00000  # linux/seccomp.h, SECCOMP_RET_*


def program(result: int) -> str:
    """By hand: ``result`` for getppid, ALLOW for the rest."""
    rows = [(0x20, 0, 0, 0), (0x15, 0, 1, int(number(GETPPID))), (0x06, 0, 0, result), (0x06, 0, 0, ALLOW)]
    return base64.b64encode(b"".join(struct.pack("=HBBI", *row) for row in rows)).decode()


def test_a_program_in_place_of_the_profile(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["linux"]["seccomp"] = profile(rule("KILL", "write"))  # crun ignores it then
    bundle.config["annotations"] = {"run.oci.seccomp_bpf_data": program(ERRNO | errno.EXDEV)}
    assert ask(minirun, bundle, f"call {number(GETPPID)}", "pid") == ["EXDEV", "1"]
    name = minirun.start(bundle.args("/probe", "pause"))
    assert ask_in(minirun, name, f"call {number(GETPPID)}") == ["EXDEV"]


def test_a_program_that_asks(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    path = tmp_path / "agent.sock"
    bundle.config["annotations"] = {
        "run.oci.seccomp_bpf_data": program(USER_NOTIF), "run.oci.seccomp.receiver": str(path)
    }  # fmt: skip
    with Agent(path, {int(number(GETPPID)): 77}):
        assert ask(minirun, bundle, f"call-result {number(GETPPID)}") == ["77"]


# -- exec into a container with CAP_SYS_PTRACE -------------------------------------------------------------------------


def traceable(bundle: Bundle) -> Bundle:
    names = ["CAP_SYS_PTRACE", "CAP_KILL"]
    sets = dict.fromkeys(("bounding", "effective", "permitted"), names)
    bundle.config["process"].update(noNewPrivileges=False, capabilities=sets)
    return bundle


def test_an_early_filter_and_an_agent(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """What exec still has to do is asked as well, and he is there."""
    path = tmp_path / "agent.sock"
    asked = [GETPPID, "sendmsg", "recvmsg", "clone", "capset", "execve"]
    traceable(bundle).config["linux"]["seccomp"] = profile(rule("NOTIFY", *asked), listenerPath=str(path))
    with Agent(path, {int(number(GETPPID)): 77}) as agent:
        name = minirun.start(bundle.args("/probe", "pause"))
        wait_for(lambda: len(agent.told) == 1)
        before = set(agent.asked)
        assert ask_in(minirun, name, f"call-result {number(GETPPID)}") == ["77"]
        assert {int(number(call)) for call in ("sendmsg", "clone", "capset")} <= set(agent.asked) - before
        minirun("delete", "--force", name)


def test_a_filter_that_kills_exec_itself(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Never hung, never a success; with no_new_privs it can be loaded last, and nothing is in the way."""
    traceable(bundle).config["linux"]["seccomp"] = profile(rule("KILL_PROCESS", "clone", "capset"))
    name = minirun.start(bundle.args("/probe", "sleep", "60"))
    done = minirun("exec", name, "/probe", "pid")
    assert done.returncode == 125 and "init was killed by signal 31" in done.stderr
    assert "the filter of /linux/seccomp kills" in done.stderr
    assert ask_in(minirun, name, "pid", flags=("--no-new-privs",))[0].isdigit()


# -- without libseccomp ---------------------------------------------------------------------------------------------


def test_without_the_extension_it_is_said_and_nothing_runs(tmp_path: Path, bundle: Bundle, clean_host: None) -> None:
    """A container that was meant to be confined does not run unconfined; features tells the truth."""
    installed = Installed(tmp_path / "installed")
    (installed.root / "minirun" / "_seccomp.abi3.so").unlink()
    bundle.config["linux"]["seccomp"] = profile(rule("ERRNO", GETPPID, errno=111))
    done = installed("--root", tmp_path / "state", "run", "-b", bundle.write(), "none")
    lines = done.stderr.splitlines()
    assert done.returncode == 125 and lines[0].startswith("minirun: cannot compile a system call filter: ")
    assert any("libseccomp-dev" in line for line in lines[1:])
    assert installed("--root", tmp_path / "state", "state", "none").returncode != 0
    assert json.loads(installed("features").stdout)["linux"]["seccomp"] == {"enabled": False}
