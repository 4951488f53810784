"""The probe against a second witness: what Python or /proc says of the same host.

Integration tests believe the probe, so it is checked here first, without a container.
"""

import contextlib
import os
import pathlib
import pty
import resource
import signal
import subprocess
import termios
import time

import pytest

HERE = pathlib.Path(__file__).parent
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
BUILDS = {
    "static": ["-O2", "-static"],
    "sanitized": ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module", params=BUILDS)
def program(request, tmp_path_factory):
    target = tmp_path_factory.mktemp("probe") / request.param
    sources = sorted(HERE.glob("*.c"))
    subprocess.run(["cc", *BUILDS[request.param], *WARNINGS, "-o", target, *sources], check=True)
    return str(target)


def finished(*words, **options):
    """What a command came to, good or bad."""
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=30, **options)


@pytest.fixture
def probe(program):
    """Runs a chain of verbs that must succeed; returns its stdout."""

    def run(*words, **options):
        done = finished(program, *words, **options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def fields(text):
    """`NAME VALUE ...` lines as a dict."""
    return {words[0]: words[1:] for words in map(str.split, text.splitlines())}


def test_files(probe, tmp_path):
    path = str(tmp_path / "file")
    words = ["write", path, "one", "--", "append", path, " two", "--", "cat", path]
    assert probe(*words, umask=0o027) == "one two"
    size = os.stat(path).st_size
    assert probe("stat", path) == f"file 0640 {os.getuid()} {os.getgid()} 0:0 {size}\n"
    os.symlink("file", tmp_path / "link")
    assert probe("ls", str(tmp_path), "--", "readlink", str(tmp_path / "link")) == "file\nlink\nfile\n"
    assert probe("access", path, "x", "--", "openrw", path, "--", "openrw", "/none") == "EACCES\nok\nENOENT\n"


def test_dev_null(probe):
    assert probe("devnull-check", "--", "stat", "/dev/null").splitlines()[0] == "ok"
    assert probe("stat", "/dev/null").split()[::4] == ["char", "1:3"]


def test_fifo(probe, tmp_path):
    probe("mknod", str(tmp_path / "p"), "p", "0", "0")
    assert (tmp_path / "p").is_fifo()


def test_a_failure_ends_the_chain(program):
    words = ["umask", "--", "cat", "/none", "--", "cwd"]
    done = finished(program, *words, umask=0o022)
    assert (done.returncode, done.stdout) == (1, "0022\n")
    assert done.stderr == "probe: cat /none: No such file or directory\n"


@pytest.mark.parametrize("words", [[], ["nonsense"], ["cat"], ["cat", "a", "b"], ["cwd", "--", "exit"]])
def test_wrong_command_line(program, words):
    assert finished(program, *words).returncode == 2


def test_exit_code(program):
    assert finished(program, "exit", "42", "--", "cwd").returncode == 42


def test_args_and_environment(probe):
    assert probe("args", "a b", "", "--", "c") == "a b\n\n--\nc\n"
    assert probe("printenv", "--", "printenv", "X", env={"X": "1", "B": "2"}) == "X=1\nB=2\n1\n"


def test_identity(probe, tmp_path):
    groups = ",".join(map(str, sorted(os.getgroups())))
    assert probe("id") == f"uid={os.getuid()} gid={os.getgid()} groups={groups}\n"
    assert probe("cwd", "--", "hostname", cwd=tmp_path) == f"{tmp_path}\n{os.uname().nodename}\n"
    assert probe("ppid", "--", "sid") == f"{os.getpid()}\n{os.getsid(0)}\n"


@root_only
def test_groups_are_sorted(probe):
    assert probe("id", extra_groups=[30, 7, 1000]).split()[2] == "groups=7,30,1000"


def test_rlimits(probe):
    def word(limit):
        return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)

    names = {name for name in dir(resource) if name.startswith("RLIMIT_")} - {"RLIMIT_OFILE"}
    seen = fields(probe("rlimits"))
    assert len(seen) == 16
    assert names <= set(seen)
    for name in names:
        assert seen[name] == [word(limit) for limit in resource.getrlimit(getattr(resource, name))]


def test_status_lines(probe):
    """What the probe learns by system call is what the kernel writes into its status file."""
    seen = probe("caps", "--", "signals").splitlines()
    status = probe("status").splitlines()
    assert len(seen) == 8
    assert [line for line in seen if line not in status] == []


def test_namespaces(probe):
    seen = fields(probe("ns"))
    links = pathlib.Path("/proc/self/ns").iterdir()
    assert seen == {link.name: [str(link.stat().st_ino)] for link in links}


def test_descriptors(probe):
    with open("/dev/zero") as zero:
        seen = fields(probe("fds", stdin=zero, pass_fds=[zero.fileno()]))
        assert set(seen) == {"0", "1", "2", str(zero.fileno())}
        assert seen["0"] == seen[str(zero.fileno())] == ["/dev/zero"]


def test_kernel_values(probe, program):
    now = [float(line.split()[1]) for line in probe("clock").splitlines()]
    assert now == pytest.approx([time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic()], abs=5)
    ostype = pathlib.Path("/proc/sys/kernel/ostype").read_text()
    assert probe("sysctl", "kernel.ostype", "--", "personality") == ostype + "00000000\n"
    assert probe("affinity").strip() == ",".join(map(str, sorted(os.sched_getaffinity(0))))
    assert probe("ioprio", "--", "mempolicy") == "NONE 0\n0 flags=0 nodes=0\n"
    assert finished("ionice", "-c3", program, "ioprio").stdout.startswith("IDLE")
    assert probe("machine").strip() == os.uname().machine
    assert probe("interfaces").startswith("lo up mtu=65536 127.0.0.1/8")
    assert probe("scheduler", preexec_fn=lambda: os.nice(3)).startswith(f"SCHED_OTHER nice={os.nice(0) + 3} ")
    assert probe("oomscore") == pathlib.Path("/proc/self/oom_score_adj").read_text()


def test_own_binary_is_busy(probe, program):
    """The kernel refuses to write to a program that runs; /proc/1/exe depends on who asks."""
    lines = probe("readexe").splitlines()
    assert [line.split()[0] for line in lines] == ["target", "/proc/1/exe", "/proc/self/exe"]
    assert lines[2] == "/proc/self/exe ETXTBSY"


def test_terminal(probe):
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(ours, (33, 99))
        seen = probe("isatty", "--", "winsize", "--", "tty-name", stdin=theirs)
        assert seen == f"0 yes\n1 no\n2 no\n33 99\n{os.ttyname(theirs)}\n"
    finally:
        os.close(ours)
        os.close(theirs)


@contextlib.contextmanager
def started(*words):
    """A probe that is still at it; it does not outlive the test."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_trap(program):
    with started(program, "trap") as child:
        for number, line in [(0, "ready"), (1, "SIGHUP 1"), (35, "SIGRTMIN+1 35"), (15, "SIGTERM 15")]:
            child.send_signal(number)
            assert child.stdout.readline() == line + "\n"
        assert child.wait(10) == 0


def children(parent):
    """Zombies count: they are what a bad PID 1 leaves."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if entry.read_text().rpartition(")")[2].split()[1] == str(parent):
                found.append(int(entry.parent.name))
    return found


def test_pause_reaps_and_ends(program):
    with started(program, "forkbomb", "3", "--", "pause") as child:
        assert child.stdout.readline() == "3\n"
        assert len(children(child.pid)) == 3
        for pid in children(child.pid):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not children(child.pid))
        child.terminate()
        assert child.wait(10) == 0


@root_only
def test_pause_as_pid_1(program):
    """PID 1 of a namespace is spared every signal it does not ask for: SIGTERM must be asked for."""
    with started("unshare", "--pid", "--kill-child", program, "pid", "--", "pause") as parent:
        assert parent.stdout.readline() == "1\n"
        (init,) = children(parent.pid)
        status = pathlib.Path(f"/proc/{init}/status")
        until(lambda: fields(status.read_text())["State:"][0] == "S")
        os.kill(init, signal.SIGTERM)
        assert parent.wait(10) == 0


def test_limits_are_felt(probe):
    assert probe("memhog", "1000000", "--", "forkbomb", "5", "--", "sleep", "0.01") == "touched\n5\n"


def test_loopback(probe):
    assert probe("loopback").split()[0] in ("up", "down")


@root_only
def test_loopback_of_a_new_network_namespace(program):
    assert finished("unshare", "--net", program, "loopback").stdout.startswith("down E")


@root_only
def test_chroot_escape(program, tmp_path):
    """Out of a plain chroot, but not out of the top of the mount namespace."""
    if "sanitized" in program:
        pytest.skip("its libraries stay outside the chroot")
    (tmp_path / "probe").write_bytes(pathlib.Path(program).read_bytes())
    (tmp_path / "probe").chmod(0o755)
    jailed = finished("chroot", tmp_path, "/probe", "chroot-escape", "--", "ls", str(tmp_path))
    assert jailed.stdout == "escaped\nprobe\n", jailed.stderr
    assert finished(program, "chroot-escape").stdout == "contained\n"


def test_spin_takes_its_time(probe):
    began = time.monotonic()
    assert int(probe("spin", "1")) > 0
    assert time.monotonic() - began >= 1


def test_hugepages_are_touched_or_refused(probe):
    """Whether there are any is the host's affair; none at all is always to be had."""
    free = int(pathlib.Path("/proc/sys/vm/nr_hugepages").read_text())
    assert probe("hugepage", "1") in (("touched\n", "ENOMEM\n", "SIGBUS\n") if free else ("ENOMEM\n",))


def test_disk_is_written(probe, tmp_path):
    path = tmp_path / "file"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("a file system without O_DIRECT")
    assert int(probe("diskwrite", str(path), "131072")) >= 0
    assert path.stat().st_size == 131072
