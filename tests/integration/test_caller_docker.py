"""docker, from the distribution: dockerd with ``runtimes``, which starts a containerd of its own.

It calls the runtime through containerd's shim, and BuildKit calls ``runc`` by itself: on this dockerd's PATH that is
minirun too.  The client finds its exit codes by the words of an error, in Go's spelling.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN
from tests.integration.busybox_image import NAME, write_image
from tests.integration.image_maker import Storage
from tests.integration.seen import wait_for
from tests.integration.stage import PATH, Stage, stage, wait_until_ready
from tests.integration.terminals import Inside
from tests.needs import lacking

pytestmark = pytest.mark.needs("root", "busybox", "docker")


class Docker:
    """``docker("run", ...)`` is the client."""

    def __init__(self, opened: Stage) -> None:
        self.stage = opened
        self.place = opened.place
        self.client = ("/usr/bin/docker", "--host", "unix:///run/docker.sock")

    def __call__(self, *words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
        return self.stage(*self.client, *words, **more)

    def ok(self, *words: str | Path, **more: object) -> str:
        return self.stage.ok(*self.client, *words, **more).removesuffix("\n")

    def run(self, *flags: str, args: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return self("run", "--rm", *flags, NAME, *args)

    def said(self, *flags: str, args: tuple[str, ...]) -> str:
        return self.ok("run", "--rm", *flags, NAME, *args)

    def start(self, name: str, *flags: str, args: tuple[str, ...] = ("sleep", "100")) -> str:
        self.ok("run", "--detach", "--name", name, *flags, NAME, *args)
        return name

    def inspect(self, name: str, form: str) -> str:
        return self.ok("inspect", "--format", form, name)


def settings(place: Path) -> dict[str, object]:
    return {
        "data-root": str(place / "data"),
        "hosts": ["unix:///run/docker.sock"],
        "runtimes": {"minirun": {"path": str(MINIRUN)}},
        "default-runtime": "minirun",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "shutdown-timeout": 1,
    }


@pytest.fixture(scope="module")
def daemon() -> Iterator[Docker]:
    with stage() as opened:
        place = opened.place
        (place / "daemon.json").write_text(json.dumps(settings(place)))
        (place / "bin").mkdir()
        (place / "bin" / "runc").symlink_to(MINIRUN)
        opened.env["PATH"] = f"{place}/bin:{PATH}"
        process = opened.daemon("dockerd", "--config-file", place / "daemon.json", log=place / "log")
        docker = Docker(opened)
        if not wait_until_ready(opened, process, *docker.client, "version"):
            said = (place / "log").read_text().splitlines()
            lacking("docker", f"dockerd does not start here: {said[-1] if said else 'it says nothing'}")
        docker.ok("load", "--quiet", "--input", write_image(place / "image.tar"))
        docker.said("--network", "host", args=("true",))  # the daemon keeps a mount of its own network namespace
        opened.settle()
        yield docker
        assert opened.end(process) == 0


@pytest.fixture
def docker(daemon: Docker) -> Iterator[Docker]:
    yield daemon
    for row in daemon.ok("ps", "--all", "--quiet").split():
        daemon.ok("rm", "--force", row)
    assert daemon.stage.left() == {}


def test_run(docker: Docker) -> None:
    """Output on both streams, exit code, environment with the HOME of the image's user, input."""
    done = docker.run(
        "--env", "A=b c", "--workdir", "/new", "--user", "guest", args=("sh", "-c", "pwd; env; id >&2; exit 7")
    )
    assert done.returncode == 7 and "uid=1000(guest)" in done.stderr
    assert {"/new", "A=b c", "HOME=/home/guest"} <= set(done.stdout.splitlines()), done
    assert docker("run", "--rm", "--interactive", NAME, "cat", stdin=None, input="fed").stdout == "fed"
    info = json.loads(docker.ok("info", "--format", "{{json .}}"))
    assert info["DefaultRuntime"] == "minirun" and info["CgroupVersion"] == "2"


def test_life(docker: Docker) -> None:
    """exec, top, pause, stats, logs, update, stop, start, restart, kill, wait, rm."""
    docker.start("web", args=("sh", "-c", "echo out; echo err >&2; trap 'exit 3' TERM; while :; do sleep 0.1; done"))
    assert docker.inspect("web", "{{.HostConfig.Runtime}} {{.State.Status}}") == "minirun running"
    assert docker.ok("exec", "--env", "B=1", "--workdir", "/tmp", "web", "sh", "-c", "echo $B; pwd") == "1\n/tmp"
    assert docker("exec", "web", "sh", "-c", "exit 5").returncode == 5
    assert docker("exec", "--interactive", "web", "cat", stdin=None, input="fed").stdout == "fed"
    assert "CapEff:\t0000003f" in docker.ok("exec", "--privileged", "web", "grep", "CapEff", "/proc/self/status")
    assert "echo out" in docker.ok("top", "web")
    docker.ok("pause", "web")
    assert docker.inspect("web", "{{.State.Status}}") == "paused"
    assert "is paused" in docker("exec", "web", "true").stderr
    docker.ok("unpause", "web")
    assert docker.ok("stats", "--no-stream", "--format", "{{.Name}}", "web") == "web"
    assert docker.ok("logs", "web") == "out" and docker("logs", "web").stderr == "err\n"
    docker.ok("update", "--restart", "no", "web")
    docker.ok("stop", "web")
    assert docker.inspect("web", "{{.State.Status}} {{.State.ExitCode}}") == "exited 3"
    docker.ok("start", "web")
    docker.ok("restart", "--time", "1", "web")
    docker.ok("kill", "web")
    assert docker.ok("wait", "web") == "137"
    assert "is not running" in docker("kill", "web").stderr
    assert docker.ok("rm", "web") == "web"


def test_terminal(docker: Docker) -> None:
    docker.start("shell")
    for words in (
        ("run", "--rm", "--tty", "--interactive", NAME, "sh"),
        ("exec", "--tty", "--interactive", "shell", "sh"),
    ):
        inside = Inside(docker.stage.enter(*docker.client, *words), rows=33, columns=77, env=docker.stage.env)
        inside.terminal.expect("# ")
        # the client tells the size when the program runs already
        inside.terminal.type("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; tty; exit 4\n")
        inside.terminal.expect("/dev/pts/0")
        assert inside.wait() == 4
        inside.close()


def test_storage(docker: Docker) -> None:
    """Bind mounts, volumes, tmpfs, a read-only root."""
    (docker.place / "given").write_text("from outside\n")
    done = docker.run("--volume", f"{docker.place}/given:/given:ro", args=("sh", "-c", "cat /given; echo x > /given"))
    assert done.stdout == "from outside\n" and "Read-only file system" in done.stderr
    docker.said("--volume", "kept:/data", args=("sh", "-c", "echo kept > /data/file"))
    assert docker.said("--volume", "kept:/data", args=("cat", "/data/file")) == "kept"
    shown = docker.said("--tmpfs", "/t:size=1m", "--read-only", "--shm-size", "2m", args=("df", "/t", "/dev/shm"))
    assert [line.split()[1] for line in shown.splitlines()[1:]] == ["1024", "2048"]


def test_network(docker: Docker) -> None:
    """A bridge with a published port, none, the host's, another container's: its prestart hook gives the network."""
    docker.start("web", "--publish", "8081:80", args=("httpd", "-f", "-p", "80", "-h", "/etc"))
    wait_for(lambda: docker.stage("busybox", "wget", "-qO-", "http://127.0.0.1:8081/group").stdout.startswith("root:"))
    assert docker.said("--network", "container:web", args=("wget", "-qO-", "http://127.0.0.1/group")).startswith(
        "root:"
    )
    assert docker.said("--network", "none", args=("ls", "/sys/class/net")) == "lo"
    assert "docker0" in docker.said("--network", "host", args=("ip", "link"))


def test_security(docker: Docker) -> None:
    """Capabilities, no_new_privs, sysctls, rlimits, devices, masks, privileged, init."""
    asked = "grep -E 'CapE|NoNew|ccomp:' /proc/self/status; ulimit -n; cat /proc/sys/net/ipv4/ip_forward; ls /dev/fuse"
    shown = docker.said(
        "--cap-drop", "all", "--cap-add", "net_bind_service", "--security-opt", "no-new-privileges",
        "--sysctl", "net.ipv4.ip_forward=1", "--ulimit", "nofile=99:100", "--device", "/dev/fuse",
        args=("sh", "-c", asked),
    )  # fmt: skip
    assert shown.split() == ["CapEff:", "0000000000000400", "NoNewPrivs:", "1", "Seccomp:", "2", "99", "1", "/dev/fuse"]
    masked = docker.run(args=("sh", "-c", "wc -c < /proc/timer_list; echo x > /proc/sys/kernel/domainname"))
    assert masked.stdout == "0\n" and "Read-only file system" in masked.stderr
    whole = docker.said("--privileged", args=("sh", "-c", "grep CapEff /proc/self/status; ls /dev/kmsg"))
    assert int(whole.split()[1], 16) & 1 << 21 and whole.endswith("/dev/kmsg")
    assert docker.said("--init", args=("ps", "-o", "args")).splitlines()[1].endswith("docker-init -- ps -o args")
    shared = docker.said("--pid", "host", "--cgroupns", "host", args=("cat", "/proc/self/cgroup"))
    assert shared.splitlines()[-1].startswith("0::/docker/")


def test_healthcheck_and_restart(docker: Docker) -> None:
    docker.start("well", "--health-cmd", "test -e /ok", "--health-interval", "100ms", "--health-retries", "2")
    wait_for(lambda: docker.inspect("well", "{{.State.Health.Status}}") == "unhealthy")
    docker.ok("exec", "well", "touch", "/ok")
    wait_for(lambda: docker.inspect("well", "{{.State.Health.Status}}") == "healthy")
    docker.start("again", "--restart", "on-failure:2", args=("false",))
    wait_for(lambda: docker.inspect("again", "{{.RestartCount}} {{.State.Status}}") == "2 exited")


@pytest.mark.parametrize("buildkit", ["0", "1"])
def test_build(docker: Docker, buildkit: str) -> None:
    """RUN lines are containers of dockerd's, or ``runc run`` of BuildKit's; the result runs."""
    text = f'FROM {NAME}\nRUN echo built > /file && id -u\nUSER guest\nRUN ["id"]\nCMD ["cat", "/file"]\n'
    more: dict[str, object] = {"env": {**docker.stage.env, "DOCKER_BUILDKIT": buildkit}, "stdin": None}
    done = docker("build", "--no-cache", "--tag", f"built{buildkit}", "-", input=text, **more)
    assert done.returncode == 0 and "uid=1000(guest)" in done.stdout + done.stderr, done.stdout + done.stderr
    assert docker.ok("run", "--rm", f"built{buildkit}") == "built"
    failed = docker("build", "--no-cache", "-", input=f"FROM {NAME}\nRUN exit 9\n", **more)
    assert failed.returncode != 0 and ("code: 9" in failed.stderr or "non-zero code: 9" in failed.stderr)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("/no/such",), 127, ("cannot find /no/such: no such file or directory", "hint: the path is looked up inside")),
        (("nosuch",), 127, ("cannot find nosuch", "no directory of PATH")),
        (("/etc",), 126, ("cannot find /etc: permission denied", "it is a directory")),
    ],
)
def test_refusals(docker: Docker, args: tuple[str, ...], code: int, words: tuple[str, ...]) -> None:
    """The client's exit codes, which it finds by the words; docker exec has 126 for all."""
    docker.start("here")
    for done, expected in ((docker.run(args=args), code), (docker("exec", "here", *args), 126)):
        assert done.returncode == expected, done.stderr
        for word in words:
            assert word in done.stderr + done.stdout


def test_a_file_on_a_directory(docker: Docker) -> None:
    """The classic of docker's users: it knows ENOTDIR by its word, and explains it."""
    (docker.place / "given").write_text("")
    done = docker.run("--volume", f"{docker.place}/given:/etc", args=("true",))
    assert done.returncode != 0 and "not a directory" in done.stderr
    assert "Are you trying to mount a directory onto a file (or vice-versa)?" in done.stderr


def test_its_archives_are_ours(docker: Docker, tmp_path: Path) -> None:
    """docker save, which since docker 25 is a layout and a docker-archive at once, then ours, which it loads."""
    storage = Storage(tmp_path)
    archive, back = docker.place / "saved.tar", docker.place / "back.tar"
    docker.ok("tag", NAME, "more.example/x:1")
    docker.ok("save", "--output", archive, NAME, "more.example/x:1")
    said = storage.ok("image", "load", "-i", archive).splitlines()
    assert sorted(said) == sorted(f"Loaded image: {name}" for name in (NAME, "more.example/x:1"))
    found = storage.json("image", "inspect", "more.example/x:1")[0]
    assert found["RootFS"]["Layers"] == json.loads(docker.ok("image", "inspect", NAME))[0]["RootFS"]["Layers"]
    for form in ("docker-archive", "oci-archive"):
        storage.ok("image", "tag", NAME, f"ours.example/{form}:1")
        storage.ok("image", "save", "--format", form, "-o", back, f"ours.example/{form}:1")
        assert f"Loaded image: ours.example/{form}:1" in docker.ok("load", "--input", back)
        assert docker.inspect(f"ours.example/{form}:1", "{{.Id}}") == found["Id"]
    docker.ok("image", "rm", "more.example/x:1", "ours.example/docker-archive:1", "ours.example/oci-archive:1")
