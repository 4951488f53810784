"""run and create: exit codes, signals, pid files, descriptors, messages; the command line itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.seen import mark, outside, wait_for

pytestmark = pytest.mark.needs("root", "busybox")


def popen(minirun: Runtime, bundle: Bundle, *flags: str) -> subprocess.Popen[str]:
    argv = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.write()), *flags, minirun.name()]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("words", "code"),
    [(["/probe", "exit", "0"], 0), (["/probe", "exit", "7"], 7), (["/probe", "exit", "255"], 255),
     (["/no/such"], 127), (["nosuch"], 127), (["/etc/passwd"], 126), (["/etc"], 126)],
)  # fmt: skip
def test_exit_codes(minirun: Runtime, bundle: Bundle, clean_host: None, words: list[str], code: int) -> None:
    assert minirun.run(bundle.args(*words)).returncode == code


def test_a_program_ended_by_a_signal(minirun: Runtime, bundle: Bundle) -> None:
    with popen(minirun, bundle.args("/probe", "pause")) as process:
        wait_for(lambda: minirun("state", minirun.used[-1]).returncode == 0)
        wait_for(lambda: minirun("kill", minirun.used[-1], "KILL").returncode == 0)
        assert process.wait(10) == 137


def test_own_failures(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """125 for what minirun could not do, 2 for a wrong command line."""
    (tmp_path / "empty").mkdir()
    assert minirun("run", "-b", tmp_path / "empty", "x").returncode == 125
    for words in (
        ("run",),
        ("run", "a", "b"),
        ("run", "--no-such", "x"),
        ("nosuchverb",),
        ("--log-format", "xml", "list"),
    ):
        assert minirun(*words).returncode == 2, words
    near = minirun("run", "--bundel=x", "y")
    assert near.returncode == 2 and "--bundle" in near.stderr


def test_signals_are_passed_on(minirun: Runtime, bundle: Bundle) -> None:
    with popen(minirun, bundle.args("/probe", "trap")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGINT, signal.SIGRTMIN + 3):
            process.send_signal(number)
            assert process.stdout.readline().split()[1] == str(int(number))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert "does not exist" in minirun("state", minirun.used[-1]).stderr


def test_a_pid_file_that_is_a_device_stays_one(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    null = tmp_path / "null"
    os.mknod(null, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    done = minirun("run", "--pid-file", null, "-b", bundle.args("/bin/true").write(), minirun.name())
    assert done.returncode == 0, done.stderr
    assert stat.S_ISCHR(null.stat().st_mode)


def test_pid_file(minirun: Runtime, bundle: Bundle) -> None:
    """Written at once: whoever sees the name sees the number; nothing else is left in the directory."""
    folder = bundle.path / "pids"
    folder.mkdir()
    (folder / "c.pid").symlink_to("/nowhere/at/all")
    name = minirun.create(bundle, "--pid-file", str(folder / "c.pid"))
    assert (folder / "c.pid").read_text() == str(minirun.state(name)["pid"])
    assert os.listdir(folder) == ["c.pid"] and not (folder / "c.pid").is_symlink()


def test_pid_file_that_cannot_be_written(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    done = minirun.run(bundle, "--pid-file", "/no/such/dir/pid")
    assert done.returncode == 125 and "/no/such/dir/pid" in done.stderr


@pytest.mark.parametrize("flag", ["--detach", "-d"])
def test_detach(minirun: Runtime, bundle: Bundle, flag: str) -> None:
    name = minirun.name()
    with open(bundle.path / "out", "wb") as out:
        words = ("run", flag, "--bundle", bundle.args("/probe", "trap").write(), name)
        assert minirun(*words, capture_output=False, stdout=out, stderr=out).returncode == 0
    assert minirun.state(name)["status"] == "running"
    wait_for(lambda: (bundle.path / "out").read_text() == "ready\n")


def test_keep(minirun: Runtime, bundle: Bundle) -> None:
    assert minirun.run(bundle.args("/probe", "exit", "3"), "--keep").returncode == 3
    assert minirun.state(minirun.used[-1])["status"] == "stopped"
    assert minirun("delete", minirun.used[-1]).returncode == 0


def test_no_pivot(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """MS_MOVE and chroot: the container sees the same."""
    mark(bundle)
    done = minirun.run(bundle.args("/probe", "ls", "/", "--", "mountinfo"), "--no-pivot")
    assert done.returncode == 0, done.stderr
    assert "probe" in done.stdout.splitlines()


def test_preserve_fds(minirun: Runtime, bundle: Bundle) -> None:
    """Exactly as many as are asked for, by their numbers."""
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.args("/probe", "fds").write())]
    more = ("--preserve-fds", "2", minirun.name())
    done = subprocess.run(
        ["sh", "-c", 'exec 3</dev/null 4</dev/zero 5</dev/null; exec "$@"', "sh", *words, *more],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert [line.split() for line in done.stdout.splitlines()][3:] == [["3", "/dev/null"], ["4", "/dev/zero"]]


def test_listen_fds(minirun: Runtime, bundle: Bundle) -> None:
    """Socket activation (sd_listen_fds(3)): descriptors 3 ... and LISTEN_PID as the container counts."""
    bundle.args("/probe", "fds", "--", "printenv", "LISTEN_FDS", "--", "printenv", "LISTEN_PID")
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.write()), minirun.name()]
    done = subprocess.run(
        ["sh", "-c", 'exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh", *words],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stdout.splitlines()[3:] == ["3 /dev/null", "1", "1"], done.stderr


@pytest.mark.parametrize("how", ["the option", "crun's annotation"])
def test_pidfd_socket(minirun: Runtime, bundle: Bundle, how: str) -> None:
    path = bundle.path / "pidfd.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        if how == "the option":
            name = minirun.create(bundle, "--pidfd-socket", str(path))
        else:
            bundle.config["annotations"] = {"run.oci.pidfd_receiver": path.name}
            name = minirun.create(bundle.args("/bin/true"))
        link, _ = listener.accept()
        with link:
            _, fds, _, _ = socket.recv_fds(link, 64, 1)
    pid = next(
        line.split()[1] for line in Path(f"/proc/self/fdinfo/{fds[0]}").read_text().splitlines() if "Pid:" in line
    )
    os.close(fds[0])
    assert int(pid) == minirun.state(name)["pid"]


def test_log_as_json(minirun: Runtime, bundle: Bundle) -> None:
    """containerd and podman show `msg` of the last line whose level is error."""
    log = bundle.path / "log.json"
    bundle.config["process"]["capabilities"]["bounding"].append("CAP_FLY")
    bundle.args("/no/such")
    done = minirun("--log", log, "--log-format", "json", "run", "-b", bundle.write(), minirun.name())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["level"] for line in lines] == ["warning", "error"]
    assert "/no/such" in lines[-1]["msg"] and "no such file" in lines[-1]["msg"] and lines[-1]["time"]
    assert "/no/such" in done.stderr, "a person sees it as well"
    plain = minirun("--log-format=json", "state", "nobody")
    assert json.loads(plain.stderr)["msg"] == "container nobody does not exist"


def test_log_as_text(minirun: Runtime, bundle: Bundle) -> None:
    log = bundle.path / "log"
    minirun("--debug", f"--log={log}", "state", "nobody")
    assert "container nobody does not exist" in log.read_text()


def test_words_and_options_mix(minirun: Runtime, bundle: Bundle) -> None:
    """Options after the id, one dash as Go takes it, and "--"."""
    path = bundle.args("/probe", "pid").write()
    for words in (("run", "-b", path, "--", "NAME"),
                  ("run", "NAME", "-bundle", path), ("run", f"-bundle={path}", "NAME"),
                  ("run", f"-b={path}", "NAME"), ("run", f"--bundle={path}", "NAME", "--no-new-keyring")):  # fmt: skip
        name = minirun.name()
        done = minirun(*(name if word == "NAME" else word for word in words))
        assert done.stdout == "1\n", (words, done.stderr)


def test_the_bundle_is_here_by_default(minirun: Runtime, bundle: Bundle) -> None:
    assert minirun("run", minirun.name(), cwd=bundle.args("/probe", "pid").write()).stdout == "1\n"


def test_global_options(minirun: Runtime) -> None:
    assert minirun("--version").stdout.startswith("minirun version ")
    assert minirun("-v").stdout.splitlines()[1].startswith("spec: 1.")
    for words in (
        ("--rootless", "true"),
        ("--rootless=auto",),
        ("--cgroup-manager=cgroupfs",),
        ("--cgroup-manager", "disabled"),
        ("--systemd-cgroup",),  # a container knows who made its cgroup: only create and run ask
        ("--criu", "x"),
        ("--debug",),
    ):
        assert minirun(*words, "list").returncode == 0, words
    for words in (("--cgroup-manager=sytemd",), ("--rootless=perhaps",)):
        done = minirun(*words, "list")
        assert done.returncode == 2 and words[0].partition("=")[0] in done.stderr


def test_without_any_cgroup(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """crun's --cgroup-manager=disabled: lives, is killed and deleted by its process alone; limits are refused."""
    words = ("--cgroup-manager=disabled",)
    name = minirun.name()
    done = minirun(*words, "run", "-d", "-b", bundle.args("/probe", "pause").write(), name, capture_output=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    assert done.returncode == 0 and minirun.state(name)["status"] == "running"
    pid = minirun.state(name)["pid"]
    own = Path("/proc/self/cgroup").read_text()
    assert Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1].removesuffix("/..") in own
    refused = minirun("pause", name)
    assert refused.returncode == 125 and "it has no cgroup of its own" in refused.stderr
    assert minirun("delete", "--force", name).returncode == 0
    bundle.config["linux"]["resources"]["pids"] = {"limit": 5}
    limited = minirun(*words, "run", "-b", bundle.write(), minirun.name())
    assert limited.returncode == 125 and "limits need a cgroup" in limited.stderr
    assert "hint     leave out --cgroup-manager=disabled" in limited.stderr


def test_another_config(minirun: Runtime, bundle: Bundle) -> None:
    """crun's --config."""
    (bundle.path / "other.json").write_text(json.dumps({**bundle.config, "hostname": "other"}))
    bundle.write()
    words = ("run", "-b", bundle.path, "--config", bundle.path / "other.json", minirun.name())
    assert minirun(*words).returncode == 0


def test_nothing_of_the_caller_is_inherited(minirun: Runtime, bundle: Bundle) -> None:
    """Not the umask, not ignored signals, not the environment."""
    mark(bundle)
    bundle.args("/probe", "umask", "--", "signals", "--", "printenv")
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.write()), minirun.name()]
    done = subprocess.run(
        ["sh", "-c", "trap '' HUP USR1 PIPE; umask 077; SECRET=x exec \"$@\"", "sh", *words],
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "0022" and "SigIgn:\t0000000000000000" in lines
    assert "SECRET" not in done.stdout


def test_the_foreground_parent_is_named(minirun: Runtime, bundle: Bundle) -> None:
    with popen(minirun, bundle.args("/probe", "trap")) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        wait_for(lambda: outside(process.pid, "comm").startswith("minirun"))
        minirun("kill", minirun.used[-1], "TERM")
        assert process.wait(10) == 0


def test_descriptors_that_are_not_open(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    done = minirun.run(bundle, "--preserve-fds", "3")
    assert done.returncode == 125 and "descriptor 3" in done.stderr


def test_closed_standard_streams(minirun: Runtime, bundle: Bundle) -> None:
    """What the caller closed is /dev/null inside, never a file of ours that took its number."""
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.args("/probe", "fds").write())]
    argv = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *words, minirun.name()]
    lines = subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]
    assert lines[0] == "0 /dev/null" and lines[2] == "2 /dev/null"
