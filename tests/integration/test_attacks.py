"""Attacks from inside, by the rule that stops each: the runtime's binary, its descriptors, the process, the host.

The classes are those of every runc CVE since 2019; each test is named by the rule it holds.  The file system's are in
test_attacks_rootfs.py, an image's in
test_attacks_image.py, those of words and numbers in test_attacks_words.py and test_attacks_numbers.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from minirun.engine.host import INIT_PROGRAM
from minirun.plan.process import CAPABILITIES
from tests.conftest import MINIRUN, Bundle, Runtime, run

pytestmark = pytest.mark.needs("root", "busybox")

EVERY_CAPABILITY = [f"CAP_{name}" for name in CAPABILITIES]
SEALED = 0x1 | 0x2 | 0x4 | 0x8  # F_SEAL_SEAL, SHRINK, GROW, WRITE


def digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def strong(bundle: Bundle) -> Bundle:
    """Root with everything but a way out: the strongest attacker a configuration can make."""
    process = bundle.config["process"]
    process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), EVERY_CAPABILITY)
    process["noNewPrivileges"] = False
    bundle.config["root"]["readonly"] = False
    return bundle


# -- CVE-2019-5736: the runtime's binary ------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["/proc/self/exe", "/script", "/link"])
def test_running_the_runtimes_binary_runs_a_sealed_copy(
    minirun: Runtime, bundle: Bundle, clean_host: None, program: str
) -> None:
    """What the entrypoint finds there is minirun-init in memory; it does nothing without a plan."""
    before = digest(INIT_PROGRAM), digest(MINIRUN)
    (bundle.rootfs / "script").write_text("#!/proc/self/exe\n")
    (bundle.rootfs / "script").chmod(0o755)
    (bundle.rootfs / "link").symlink_to("/proc/self/exe")
    done = minirun.run(strong(bundle).args(program, "3"))
    assert done.returncode != 0
    assert (digest(INIT_PROGRAM), digest(MINIRUN)) == before


def test_the_waiting_init_is_sealed_and_cannot_be_looked_into(
    minirun: Runtime, bundle: Bundle, clean_host: None
) -> None:
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    name = minirun.create(bundle)
    pid = minirun.state(name)["pid"]
    assert os.readlink(f"/proc/{pid}/exe") == "/memfd:minirun-init (deleted)"
    fd = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALED == SEALED
    os.close(fd)
    with pytest.raises(OSError):
        os.open(f"/proc/{pid}/exe", os.O_RDWR)
    assert "Uid:\t1000" in Path(f"/proc/{pid}/status").read_text()
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0, "dumpable: its own user could trace it"
    spy = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "cat", f"/proc/{pid}/environ"]
    assert b"Permission denied" in subprocess.run(spy, capture_output=True, check=False).stderr


SPY = """
while :; do
    for p in /proc/[0-9]*; do
        case "$(busybox readlink $p/exe)" in *minirun*|*python*)
            echo seen >> /log
            if echo x >> $p/exe; then echo WRITTEN >> /log; fi
            for fd in $p/fd/*; do
                case "$(busybox readlink $fd)" in *minirun-init*|*minirun-plan*)
                    if echo x >> $fd; then echo WRITTEN >> /log; fi;;
                esac
            done;;
        esac
    done 2> /dev/null
done
"""


@pytest.mark.parametrize("strength", ["default", "every capability"])
def test_exec_shows_the_container_nothing_it_could_write_to(
    minirun: Runtime, bundle: Bundle, clean_host: None, strength: str
) -> None:
    """A container that lies in wait for exec, as the exploit of CVE-2019-5736 does."""
    before = digest(INIT_PROGRAM), digest(MINIRUN)
    if strength == "default":
        bundle.config["root"]["readonly"] = False
    else:
        strong(bundle)
    name = minirun.start(bundle.args("/bin/sh", "-c", SPY))
    for _ in range(12):
        assert minirun("exec", name, "/bin/true", timeout=20).returncode == 0
    assert minirun("delete", "--force", name).returncode == 0
    log = (bundle.rootfs / "log").read_text() if (bundle.rootfs / "log").exists() else ""
    assert "WRITTEN" not in log
    assert strength != "default" or log == "", "without CAP_SYS_PTRACE init must not even be seen"
    assert (digest(INIT_PROGRAM), digest(MINIRUN)) == before


# -- CVE-2024-21626: descriptors and the working directory ------------------------------------------------------------


@pytest.fixture
def leaky(tmp_path: Path) -> list[int]:
    """Inheritable descriptors of the caller's: directories of the host, files, one of each kind of number."""
    opened = [os.open("/", os.O_RDONLY | os.O_DIRECTORY), os.open("/etc/passwd", os.O_RDONLY)]
    (tmp_path / "secret").write_text("secret")
    opened += [os.open(tmp_path / "secret", os.O_RDWR) for _ in range(40)]
    opened.append(fcntl.fcntl(opened[0], fcntl.F_DUPFD, 200))
    for fd in opened:
        os.set_inheritable(fd, True)
    return opened


def numbers(output: str) -> list[int]:
    return [int(line.split()[0]) for line in output.splitlines()]


def test_nothing_but_stdio_is_open_in_a_container(
    minirun: Runtime, bundle: Bundle, leaky: list[int], clean_host: None
) -> None:
    done = minirun.run(bundle.args("/probe", "fds"), pass_fds=leaky)
    assert (done.returncode, numbers(done.stdout)) == (0, [0, 1, 2]), done
    name = minirun.start(bundle.args("/probe", "pause"))
    done = minirun("exec", name, "/probe", "fds", pass_fds=leaky)
    assert (done.returncode, numbers(done.stdout)) == (0, [0, 1, 2]), done


def with_roots(minirun: Runtime, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """minirun, called with the host's root directory open as 3 to 7."""
    given = 'exec 3</ 4</ 5</ 6</ 7</; exec "$@"'
    return run("sh", "-c", given, "-", MINIRUN, "--root", minirun.root, *argv)


def test_exactly_the_preserved_descriptors_pass(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    path = bundle.args("/probe", "fds").write()
    done = with_roots(minirun, "run", "--preserve-fds", "2", "-b", path, minirun.name())
    assert (done.returncode, numbers(done.stdout)) == (0, [0, 1, 2, 3, 4]), done


@pytest.mark.parametrize("keep", ["0", "5"])
def test_the_working_directory_is_inside(minirun: Runtime, bundle: Bundle, clean_host: None, keep: str) -> None:
    """Neither by a descriptor of minirun's own nor by one that the caller wants to be passed on."""
    for number in range(3, 14):
        for path in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/etc", f"/proc/thread-self/fd/{number}/../.."):
            bundle.config["process"]["cwd"] = path
            bundle.args("/probe", "cwd", "--", "ls", ".").write()
            done = with_roots(minirun, "run", "--preserve-fds", keep, "-b", bundle.path, minirun.name())
            assert done.returncode == 125 and done.stdout == "", (path, done)
            assert "config   /process/cwd in " in done.stderr


@pytest.mark.parametrize("keep", ["0", "5"])
def test_the_working_directory_of_exec_is_inside(minirun: Runtime, bundle: Bundle, keep: str) -> None:
    name = minirun.start(bundle.args("/probe", "pause"))
    for number in range(3, 16):
        path = f"/proc/self/fd/{number}"
        done = with_roots(
            minirun, "exec", "--preserve-fds", keep, "--cwd", path, name, "/probe", "cwd", "--", "ls", "."
        )
        assert done.returncode == 125 and done.stdout == "", (path, done)
        assert "config   /process/cwd in " in done.stderr


def test_closed_stdio_is_no_way_in(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """A caller without 0, 1 and 2: what minirun opens must not take their places in the container."""
    bundle.config["root"]["readonly"] = False
    bundle.args("/bin/sh", "-c", "/probe fds > /log; exit 3")
    argv = [str(word) for word in (MINIRUN, "--root", minirun.root, "run", "-b", bundle.write(), minirun.name())]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "-", *argv], timeout=20, check=False)
    assert done.returncode == 3
    targets = dict(line.split(" ", 1) for line in (bundle.rootfs / "log").read_text().splitlines())
    for number, target in targets.items():
        assert (number, target) == ("1", "/log") or target in ("/dev/null", "/null"), targets


# -- the process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("--cap", "CAP_NET_ADMIN"), ("-u", "1000")])
def test_nothing_is_inheritable(minirun: Runtime, bundle: Bundle, clean_host: None, flags: tuple[str, ...]) -> None:
    """CVE-2022-29162: inheritable capabilities come back through a file's."""
    name = minirun.start(bundle.args("/probe", "pause"))
    caps = minirun("exec", *flags, name, "/probe", "caps").stdout
    assert "CapInh:\t0000000000000000" in caps and "CapAmb:\t0000000000000000" in caps


def test_suid_programs_gain_nothing(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    target = bundle.rootfs / "suid"
    target.write_bytes((bundle.rootfs / "probe").read_bytes())
    target.chmod(0o6755)
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    out = minirun.output(bundle, "/suid", "id", "--", "caps")
    assert out.startswith("uid=1000 gid=1000") and "CapEff:\t0000000000000000" in out


def test_the_host_is_out_of_sight(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """No process of the host's, not even as a number to send a signal to; no trace of the state directory."""
    words = f"kill -0 {os.getpid()}; ls -d /proc/[0-9]*; ls {minirun.root}; ls /run/minirun; cat /proc/self/mountinfo"
    done = minirun.run(bundle.args("/bin/sh", "-c", words))
    assert "No such process" in done.stderr or "can't kill" in done.stderr
    seen = [line for line in done.stdout.splitlines() if line.startswith("/proc/")]
    assert {line.rpartition("/")[2] for line in seen} <= {"1", "2", "3"}
    assert str(minirun.root) not in done.stdout and "/state/" not in done.stdout


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/modprobe",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/release_agent",
        "/proc/sys/vm/drop_caches",
        "/proc/bus/pci/00/00.0",
        "/proc/irq/default_smp_affinity",
        "/proc/kcore",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/sda",
    ],
)
def test_no_file_leads_out(minirun: Runtime, bundle: Bundle, clean_host: None, path: str) -> None:
    """What escapes have been written through: read-only, masked (the null device), or not there."""
    done = minirun.run(bundle.args("/probe", "openrw", path))
    if done.stdout == "ok\n":
        assert minirun.output(bundle, "/probe", "stat", path).split()[4] == "1:3"
    else:
        assert done.stdout in ("EROFS\n", "ENOENT\n", "EACCES\n", "EPERM\n", "ENOTDIR\n"), done


def test_no_mount_and_no_device_by_default(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    bundle.config["root"]["readonly"] = False
    for verb in (
        ("mount", "none", "/tmp", "cgroup", "0"),
        ("mount", "none", "/tmp", "tmpfs", "0"),
        ("umount", "/proc/sys"),
        ("mknod", "/tmp/disk", "b", "8", "0"),
    ):
        done = minirun.run(bundle.args("/probe", *verb))
        assert done.returncode == 1 and "not permitted" in done.stderr, (verb, done)
    assert "escaped" not in minirun.output(bundle, "/probe", "chroot-escape")
    assert "escaped" not in minirun.output(strong(bundle), "/probe", "chroot-escape")


def test_a_device_that_is_not_allowed_cannot_be_used(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """With every capability a node can be made (/dev/kmsg, 1:11), but the cgroup's program says no."""
    strong(bundle)
    done = minirun.run(bundle.args("/probe", "mknod", "/dev/log2", "c", "1", "11", "--", "openrw", "/dev/log2"))
    assert done.stdout == "EPERM\n", done
