"""Debian's dynamically linked programs in a sandbox, and what --trace and --explain say of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox", "compiler", "kvm")
HERE = Path(__file__).parent
TOOLS = r"""
ls -l /usr/bin/env | cut -c1-10; grep -c root /etc/passwd; find /etc -maxdepth 1 -name 'pass*' | sort
a=(1 2 3); echo ${#a[@]} ${a[@]:1}; cat <(echo one) <(echo two); [[ abc =~ b ]] && echo match
coproc cat; echo there and back >&${COPROC[1]}; read -u ${COPROC[0]} x; echo $x
mapfile -t l < <(seq 3); echo ${l[2]}; (sleep 0.01; exit 4) & wait -n; echo $?
perl -e '$p = fork; exit 3 unless $p; waitpid $p, 0; print $? >> 8, "\n"; open($f, "-|", "echo piped"); print <$f>'
perl -e 'local $SIG{ALRM} = sub { print "alarm\n"; exit 0 }; alarm 1; sleep 5'
echo abc | gzip | zcat; seq 100000 | sort -rn | head -1; tar cf - /etc/passwd 2> /dev/null | tar tf -
timeout 0.1 sleep 5; echo $?; seq 3 | xargs -P3 -n1 echo | sort; dd if=/dev/zero bs=1M count=5 2> /dev/null | md5sum
"""


def debian(bundle: Bundle) -> Bundle:
    """This machine's /usr and /etc, read-only."""
    if not Path("/etc/debian_version").exists() or not Path("/bin").is_symlink():
        pytest.skip("this machine is no Debian with a merged /usr")
    rootfs = bundle.path / "debian"
    (rootfs / "tmp").mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (rootfs / name).symlink_to(f"usr/{name}")
    (rootfs / "program.py").write_text((HERE / "program.py").read_text())
    bundle.config["root"] = {"path": "debian", "readonly": False}
    bundle.config["process"]["env"] = ["PATH=/usr/bin:/bin", "HOME=/tmp", "LC_ALL=C"]
    bundle.config["mounts"] += [
        {"destination": f"/{name}", "source": f"/{name}", "type": "bind", "options": ["rbind", "ro"]}
        for name in ("usr", "etc")
    ]
    return bundle


@pytest.mark.parametrize(
    "words", [("/usr/bin/python3", "/program.py"), ("/bin/bash", "-c", TOOLS)], ids=("python", "bash")
)
def test_programs_say_the_same(tmp_path: Path, bundle: Bundle, words: tuple[str, ...]) -> None:
    debian(bundle).args(*words)
    seen = []
    for kind in ("container", "sandbox"):
        done = Isolated(tmp_path / kind, kind).run(bundle)
        seen.append((done.stdout, done.stderr, done.returncode))
    assert seen[0] == seen[1]
    assert len(seen[0][0].splitlines()) > 15 and seen[0][2] in (0, 5)


def test_trace_shows_the_calls(tmp_path: Path, bundle: Bundle) -> None:
    script = "echo hello; kill -USR1 $$; exec /bin/ls /nope"
    done = Isolated(tmp_path / "state", "sandbox").run(
        bundle.args("/bin/sh", "-c", f"trap : USR1; {script}"), "--trace"
    )
    for line in (
        'write(1, "hello\\n", 6) = 6', "kill(1, SIGUSR1) = 0", 'execve("/bin/ls", ["/bin/ls", "/nope"], ',
        "newfstatat(AT_FDCWD, \"/nope\", ", "= -1 ENOENT (No such file or directory)", "exit_group(1) = ?",
    ):  # fmt: skip
        assert line in done.stderr, line
    assert done.stdout == "hello\n" and "steps," in done.stderr
    quiet = Isolated(tmp_path / "state", "sandbox").run(bundle)
    assert "execve" not in quiet.stderr and "not served" not in quiet.stderr


def test_what_nobody_serves_is_counted(tmp_path: Path, bundle: Bundle) -> None:
    done = Isolated(tmp_path / "state", "sandbox").run(bundle.args("/bin/true"), "--trace")
    assert "not served (ENOSYS): rseq 1" in done.stderr


def test_explain_shows_memory_and_calls(tmp_path: Path, bundle: Bundle) -> None:
    done = Isolated(tmp_path / "state", "sandbox").run(bundle.args("/bin/true"), "--explain")
    assert "the program's memory, which is the VM's" in done.stdout and "a null pointer faults" in done.stdout
    assert "are refused: acct bpf" in done.stdout and "answer ENOSYS" in done.stdout
    plain = Isolated(tmp_path / "state", "container").run(bundle, "--explain")
    assert "the program's memory" not in plain.stdout
