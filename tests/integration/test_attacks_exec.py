"""exec into a hostile container: its first process lies in wait, its /proc and its programs are not what they seem.

What becomes visible in the container's pid namespace must have given everything up already (plan/exec.py); what the
container shows as /proc, /dev or /etc must not matter.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from minirun.plan.process import NUMBER
from tests.conftest import Bundle, Runtime, require
from tests.integration.profiles import profile, rule
from tests.integration.seen import wait_for
from tests.integration.test_attacks import digest, strong

pytestmark = pytest.mark.needs("root", "busybox")

# docker's default set, and the one that lets it look into other processes
USUAL = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE",
         "NET_RAW", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP", "SYS_PTRACE"]  # fmt: skip
MASK = sum(1 << NUMBER[name] for name in USUAL)


def ambush(minirun: Runtime, bundle: Bundle, canary: Path, seconds: int) -> str:
    """A container whose first process reaches for whoever comes."""
    bundle.config["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted"), [f"CAP_{name}" for name in USUAL]
    )
    name = minirun.start(bundle.args("/probe", "ambush", str(seconds), str(canary)))
    time.sleep(0.1)
    return name


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary"
    path.write_text("of the host")
    return path


@pytest.mark.parametrize("filtered", [False, True])
def test_what_comes_into_sight_has_nothing_left_to_take(
    minirun: Runtime, bundle: Bundle, canary: Path, clean_host: None, filtered: bool
) -> None:
    """With CAP_SYS_PTRACE it is seen, traced, and looked into; all it has is what the container's own have.

    The right to load a system call filter is among what it must not have.
    """
    if filtered:
        require("seccomp")
        bundle.config["linux"]["seccomp"] = profile(rule("ERRNO", "getppid"))
        bundle.config["process"]["noNewPrivileges"] = False
    name = ambush(minirun, bundle, canary, 8)
    end = time.monotonic() + 6
    flags: list[tuple[str, ...]] = [(), ("--user", "7:8"), ("--cwd", "/tmp"), ("--env", "A=1"), ("--no-new-privs",)]
    count = 0
    while time.monotonic() < end:
        minirun("exec", *flags[count % len(flags)], name, "/probe", "sleep", "0.02", timeout=20)
        count += 1
    wait_for(lambda: minirun.state(name)["status"] == "stopped", 20)
    log = (bundle.path / "out").read_text()
    lines = log.splitlines()
    assert "seen" in lines and "traced" in lines, f"the attack did not take place in {count} tries"
    assert "ESCAPED" not in log and "memfd ok" not in lines and "exe ok" not in lines
    rights = {int(line.split()[1], 16) for line in lines if line.startswith("rights ")}
    assert all(mask & ~MASK == 0 for mask in rights), [f"{mask:x}" for mask in rights]


FAKES = """
mount -t tmpfs none /proc && mkdir -p /proc/self/attr /proc/self/fd /proc/sys/kernel && : > /proc/self/attr/exec
for file in uid_map gid_map setgroups oom_score_adj status; do echo 0 > /proc/self/$file; done
mkdir -p /fake/pts && : > /fake/pts/ptmx && busybox mkfifo /fake/null && mount -o bind /fake /dev
busybox rm -f /etc/passwd /etc/group && busybox mkfifo /etc/passwd /etc/group
echo ready > /ready
exec busybox sleep 60
"""


def test_what_the_container_shows_does_not_matter(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """A /proc, a /dev and an /etc that it made up: exec works, or is an error in time; a false ptmx is refused."""
    name = minirun.start(strong(bundle).args("/bin/sh", "-c", FAKES))
    wait_for(lambda: (bundle.rootfs / "ready").exists())
    done = minirun("exec", "--user", "7", name, "/probe", "id", timeout=20)
    assert (done.returncode, done.stdout) == (0, "uid=7 gid=0 groups=\n")
    done = minirun("exec", "--tty", name, "/probe", "id", timeout=20)
    assert done.returncode != 0 and "pty master" in done.stderr


@pytest.mark.parametrize("program", ["#!/proc/self/exe\n", "#!/proc/1/exe\n", "link"])
def test_a_swapped_program_is_not_the_hosts(minirun: Runtime, bundle: Bundle, clean_host: None, program: str) -> None:
    """/bin/true becomes minirun's own file between two execs: what runs is the sealed copy, which does nothing."""
    from minirun.engine.host import INIT_PROGRAM

    before = digest(INIT_PROGRAM)
    name = minirun.start(strong(bundle).args("/probe", "pause"))
    (bundle.rootfs / "bin" / "true").unlink()
    if program == "link":
        (bundle.rootfs / "bin" / "true").symlink_to("/proc/self/exe")
    else:
        (bundle.rootfs / "bin" / "true").write_text(program)
        (bundle.rootfs / "bin" / "true").chmod(0o755)
    assert minirun("exec", name, "/bin/true", timeout=20).returncode != 0
    assert digest(INIT_PROGRAM) == before
