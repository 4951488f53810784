"""Options with values that they cannot have: one error that names the option, exit code 2, and nothing done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime

BEFORE_THE_VERB = [
    (["--log-level", "loud"], "--log-level must be debug, warning or error, not 'loud'"),
    (["--log", "journald:web"], "--log wants a file, not 'journald:web'"),
    (["--log-format", "xml"], "--log-format must be text or json, not 'xml'"),
    (["--cgroup-manager", "v1"], "--cgroup-manager must be cgroupfs, systemd or disabled, not 'v1'"),
    (["--rootless", "maybe"], "--rootless must be true, false or auto, not 'maybe'"),
]
BEHIND_IT = [
    ("update --l3-cache-schema MB:0=20 ID", "--l3-cache-schema wants a line that begins with L3, not 'MB:0=20'"),
    ("update --mem-bw-schema x ID", "--mem-bw-schema wants a line that begins with MB:, not 'x'"),
    ("update --memory 64q ID", "--memory wants a size such as 1048576 or 64m, or -1, not '64q'"),
    ("update --pids-limit many ID", "--pids-limit wants a number of at least -1, not 'many'"),
    ("run --explain=yaml ID", "--explain must be table or json, not 'yaml'"),
    ("exec --explain=yaml ID true", "--explain must be table or json, not 'yaml'"),
    ("create --preserve-fds x ID", "--preserve-fds wants a number, not 'x'"),
    ("ps --format xml ID", "--format must be table or json, not 'xml'"),
    ("events --interval 0s ID", "--interval wants a duration such as 5s, not '0s'"),
    ("kill ID NOPE", "unknown signal 'NOPE'"),
]
# As go-runc, conmon and crun's own clients spell them: what is refused is the verb.
CRIU = [
    "checkpoint --image-path /i --work-path /w --parent-path ../p --leave-running --tcp-established --ext-unix-sk "
    "--shell-job --lazy-pages --status-fd /s --page-server a:1 --file-locks --pre-dump --manage-cgroups-mode soft "
    "--empty-ns network --auto-dedup --tcp-skip-in-flight --link-remap ID",
    "restore --image-path /i --work-path /w --bundle /b --detach --pid-file /p --console-socket /c --no-pivot "
    "--no-subreaper --tcp-established --file-locks --lsm-profile selinux:x --lsm-mount-context y --empty-ns x ID",
    "restore -b /b -d --image-path /i ID",
]


@pytest.mark.parametrize(("words", "message"), BEFORE_THE_VERB)
def test_global(minirun: Runtime, words: list[str], message: str) -> None:
    done = minirun(*words, "list")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, f"minirun: {message}")


@pytest.mark.parametrize(("words", "message"), BEHIND_IT)
def test_of_a_verb(minirun: Runtime, words: str, message: str) -> None:
    done = minirun(*words.split())
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, f"minirun: {message}")


@pytest.mark.parametrize("words", CRIU)
def test_checkpoint_and_restore(minirun: Runtime, words: str) -> None:
    done = minirun(*words.split())
    verb = words.partition(" ")[0]
    assert done.returncode == 125
    assert done.stderr == f"minirun: {verb} is not supported: it needs CRIU, which minirun does not use yet\n"


@pytest.mark.needs("root")
def test_limits_of_cgroup_v1(minirun: Runtime) -> None:
    """As in a document: 0 asks for nothing, anything else is what v2 does not have."""
    done = minirun("update", "--cpu-rt-runtime", "950000", "ID")
    assert done.returncode == 125 and "is a limit of cgroup v1" in done.stderr
    assert "/cpu/realtimeRuntime in the command line" in done.stderr
    done = minirun("update", "--cpu-rt-runtime", "0", "--kernel-memory", "-1", "nobody")
    assert done.stderr == "minirun: container nobody does not exist\n"


@pytest.mark.needs("root", "busybox")
def test_where_a_log_goes(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """crun's BACKEND:ARGUMENT for a file; with --log-level=error there are no warnings."""
    bundle.config["process"]["capabilities"]["bounding"].append("CAP_FLY")
    where = bundle.args("/bin/true").write()
    for level, levels in (("error", []), ("warning", ["warning"])):
        log = tmp_path / level
        done = minirun("--log", f"file:{log}", "--log-format", "json", "--log-level", level, "run", "-b", where, "web")
        assert done.returncode == 0, done.stderr
        assert [json.loads(line)["level"] for line in log.read_text().splitlines()] == levels


@pytest.mark.needs("root", "busybox")
@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--cap", "FLY"], 0, "minirun: warning: --cap FLY: it is not a capability of Linux, ignored"),
        (["-e", "B"], 125, "/process/env/2 in the command line"),
        (["--cwd", "here"], 125, "/process/cwd in the command line"),
        (["--pidfd-socket", "/nowhere"], 125, "minirun: cannot hand over the pidfd: /nowhere: No such file"),
    ],
)
def test_of_exec(minirun: Runtime, bundle: Bundle, flags: list[str], code: int, message: str) -> None:
    name = minirun.start(bundle.args("/bin/sleep", "60"))
    done = minirun("exec", *flags, name, "/bin/true")
    assert done.returncode == code and message in done.stderr


@pytest.mark.needs("root", "busybox")
def test_a_capability_by_its_short_name(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.start(bundle.args("/bin/sleep", "60"))
    done = minirun("exec", "--cap", "net_raw", name, "/bin/busybox", "grep", "CapEff", "/proc/self/status")
    assert int(done.stdout.split()[1], 16) >> 13 & 1, done.stderr


@pytest.mark.needs("root", "busybox")
def test_schemata_without_resctrl(minirun: Runtime, bundle: Bundle) -> None:
    if Path("/sys/fs/resctrl/schemata").exists():
        pytest.skip("this host has resctrl mounted")
    name = minirun.start(bundle.args("/bin/sleep", "60"))
    done = minirun("update", "--mem-bw-schema", "MB:0=20", name)
    assert done.returncode == 125
    assert "no resctrl file system is mounted on this host" in done.stderr and "/linux/intelRdt" in done.stderr
