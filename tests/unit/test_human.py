"""The human face: help for all from the table, unknown verbs, completions, doctor; through the real command."""

from __future__ import annotations

import json
import subprocess

import pytest

from minirun.cli.completion import WORDS, script
from minirun.cli.human_options import ALL, EVERY, SHELLS
from minirun.cli.options import GLOBAL
from tests.conftest import MINIRUN, run


def minirun(*argv: str, columns: int = 100) -> subprocess.CompletedProcess[str]:
    return run(MINIRUN, *argv, env={"PATH": "/usr/bin:/bin", "COLUMNS": str(columns)})


def test_help_lists_every_verb_and_global_option():
    done = minirun("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in [*ALL, *(f"--{option.long}" for option in GLOBAL)]:
        assert name in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert minirun().stdout == minirun("help").stdout == minirun("-h").stdout == done.stdout


@pytest.mark.parametrize("verb", ALL)
def test_help_of_a_verb_has_all_its_options(verb):
    done = minirun(verb, "--help")
    assert done.returncode == 0, done.stderr
    for option in ALL[verb].options:
        assert f"--{option.long}" in done.stdout
        assert not option.later or "refused" in done.stdout
    assert minirun("help", verb).stdout == done.stdout


def test_help_behind_the_containers_command_is_the_commands():
    done = minirun("--root", "/nonexistent", "exec", "web", "ls", "--help")
    assert "container web does not exist" in done.stderr


def test_help_and_man_take_a_groups_verb():
    assert minirun("help", "container", "run").stdout == minirun("container", "run", "--help").stdout
    assert "TH MINIRUN\\-IMAGE\\-PULL 8" in minirun("man", "image", "pull").stdout
    done = minirun("help", "image", "list")
    assert done.returncode == 2 and "unknown command 'list' after image" in done.stderr


def test_dockers_other_words_for_a_verb_are_understood():
    for words in ("container ls", "container list", "image list", "volume list", "network list"):
        done = minirun("--storage", "/nonexistent", "--root", "/nonexistent", *words.split(), "--help")
        assert done.returncode == 0 and f"Usage: minirun {words.split()[0]}" in done.stdout, words
    assert "minirun network rm" in minirun("network", "remove", "--help").stdout
    assert "minirun container ps" in minirun("container", "ls", "--help").stdout


@pytest.mark.parametrize(
    ("argv", "headline", "hint"),
    [
        (["runn"], "unknown command 'runn'", "did you mean run?"),
        (["help", "doctr"], "unknown command 'doctr'", "did you mean doctor?"),
        (["xyzzy"], "unknown command 'xyzzy'", "minirun --help lists them"),
        (["logs", "web"], "unknown command 'logs'", "did you mean minirun container logs?"),
        (["pull", "busybox"], "unknown command 'pull'", "did you mean minirun image pull?"),
        (["images"], "unknown command 'images'", "minirun image ls lists images"),
        (["run", "--rm", "busybox"], "unknown option --rm", "for containers from images: minirun container run"),
        (["exec", "-it", "web", "sh"], "unknown option -i", "for containers from images: minirun container exec"),
        (["image", "lst"], "unknown command 'lst' after image", "did you mean ls?"),
        (["container", "ps", "--format", "xml"], "--format must be table, json or a template", "as '{{.ID}}'"),
        (["completion", "tcsh"], "'tcsh' is not one of", "minirun completion --help says more"),
        (["doctor", "--format", "xml"], "--format must be table or json, not 'xml'", ""),
        (["man", "--nope"], "--nope", "minirun man --help says more"),
    ],
)
def test_a_wrong_command_line_is_an_error_with_a_face(argv, headline, hint):
    done = minirun(*argv)
    assert done.returncode == 2
    assert done.stderr.startswith("minirun: ") and headline in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_words_of_micro_vms_are_those_there_are():
    from minirun.cli.vm_machines import WHAT
    from minirun.vm.ladder import RUNGS

    assert {*WORDS["WHAT"]} == {*WHAT, "ladder"}
    assert WORDS["RUNG"] == tuple(rung.name for rung in RUNGS)


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_offer_every_verb_and_option(shell):
    text = script(shell)
    assert minirun("completion", shell).stdout == text
    for verb in ALL.values():
        assert verb.name in text
        for option in verb.options:
            offered = (f"--{option.long}" if shell != "fish" else f"-l {option.long} ") in text
            assert offered or option.later, option.long


BASH = """
compopt() { :; }
source /dev/stdin <<< "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _minirun; echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], "start state stats"),
        (["--root", "/x", "res"], "resume restore"),
        (["run", "--de"], "--detach"),
        (["list", "--format", ""], "table json"),
        (["--log-format", "j"], "json"),
        (["completion", ""], "bash zsh fish"),
        (["kill", "web", "K"], "KILL"),
        (["delete", "-f", ""], "web1 web2"),
        (["exec", "-e", "A=b", "web2"], "web2"),
    ],
)
def test_bash_completes(words, offered, tmp_path):
    fake = tmp_path / "minirun"  # the script asks the command for ids; here it has two
    fake.write_text("#!/bin/sh\nprintf 'web1\\nweb2\\n'\n")
    fake.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SCRIPT": script("bash")}
    done = run("bash", "-c", BASH, "bash", "minirun", *words, env=env)
    assert (done.stdout.strip(), done.stderr) == (offered, "")


def test_doctor_says_what_it_found():
    done = minirun("doctor", "--format", "json")
    found = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    assert {row["status"] for row in found["findings"]} <= {"ok", "limited", "missing"}
    names = {row["name"] for row in found["findings"]}
    assert {
        "minirun",
        "kernel",
        "system calls",
        "namespaces",
        "mounts",
        "cgroup v2",
        "/dev/kvm",
        "storage",
        "certificates",
        "recipes",
        "bridge",
        "nftables",
        "forwarding",
        "users' networks",
    } <= names
    assert all(row["hint"] or row["name"].startswith(" ") for row in found["findings"] if row["status"] == "missing")
    assert json.loads(minirun("doctor", "--json").stdout)["findings"][0] == found["findings"][0]
    plain = minirun("doctor").stdout
    assert "\033" not in plain and len(plain.splitlines()) >= len(found["findings"])


def test_man_prints_roff_and_writes_all_pages(tmp_path):
    assert minirun("man", "run").stdout.splitlines()[1].startswith(".TH MINIRUN\\-RUN 8")
    assert minirun("man", "--write", str(tmp_path)).returncode == 0
    assert len(list(tmp_path.iterdir())) == len(EVERY) + 1


@pytest.mark.needs("root")
def test_doctor_leaves_nothing(clean_host: None) -> None:
    """It tries what a container needs; what it made for that is gone afterwards."""
    assert run(MINIRUN, "doctor").stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_doctor_fits_into_a_terminal(columns: int) -> None:
    """Where a line has no room the rest goes below, behind the names; only a word is never broken."""
    done = minirun("doctor", columns=columns)
    assert max(map(len, done.stdout.splitlines())) <= columns, done.stdout
