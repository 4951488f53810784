"""podman, from the distribution, with ``--runtime minirun``: no daemon, conmon between the two.

Its storage, its run root and its configuration are the test's own.  conmon calls the runtime with an environment
scrubbed empty and without --root; podman tells by the words of an error whether it exits with 126 or 127.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.busybox_image import NAME, write_image
from tests.integration.podman_here import CONFIG, KEPT, OWN_IDS, Podman
from tests.integration.seen import wait_for
from tests.integration.stage import stage
from tests.integration.terminals import Inside

pytestmark = pytest.mark.needs("root", "busybox", "podman")


@pytest.fixture(scope="module")
def installed() -> Iterator[Podman]:
    with stage() as opened:
        place = opened.place
        (place / "containers.conf").write_text(CONFIG)
        opened.env |= {"CONTAINERS_CONF": str(place / "containers.conf")}
        opened.ok("sh", "-ec", OWN_IDS)
        podman = Podman(opened)
        podman.ok("load", "--quiet", "--input", write_image(place / "image.tar"))
        podman.said(args=("true",))
        opened.settle()
        yield podman


@pytest.fixture
def podman(installed: Podman) -> Iterator[Podman]:
    """Each test leaves nothing but images and volumes."""
    yield installed
    installed.ok("pod", "rm", "--all", "--force", "--time", "0")
    installed.ok("rm", "--all", "--force", "--time", "0")
    assert installed.stage.left(*KEPT, f"{installed.place}/root/overlay") == {}


def test_run(podman: Podman) -> None:
    """Output on both streams, exit code, environment with the HOME of the image's user, input."""
    done = podman.run(
        "--env", "A=b c", "--workdir", "/tmp", "--user", "guest", args=("sh", "-c", "pwd; env; id >&2; exit 7")
    )
    assert done.returncode == 7 and done.stderr == "uid=1000(guest) gid=1000(guest) groups=1000(guest)\n"
    assert {"/tmp", "A=b c", "HOME=/home/guest", "container=podman"} <= set(done.stdout.splitlines()), done
    fed = podman("run", "--rm", "--interactive", NAME, "cat", stdin=None, input="fed\n")
    assert fed.stdout == "fed\n", fed.stderr
    assert "minirun version" in podman.ok("info", "--format", "{{.Host.OCIRuntime.Version}}")


@pytest.mark.needs("kvm")
def test_an_annotation_makes_it_a_sandbox(podman: Podman) -> None:
    """A VM without a kernel, for podman a container like any other: streams, exit code, exec, stop."""
    words = ("--annotation", "dev.minirun.isolation=sandbox")
    done = podman.run(*words, args=("sh", "-c", "echo out | cat; echo err >&2; exit 7"))
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    podman.start("boxed", *words, args=("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"))
    assert podman.ok("exec", "boxed", "echo", "inside").strip() == "inside"
    podman.ok("stop", "boxed")
    assert podman.ok("inspect", "--format", "{{.State.ExitCode}}", "boxed").strip() == "3"


def test_life(podman: Podman) -> None:
    """exec, inspect, top, pause, stats, kill, logs, stop, start, restart, wait, rm."""
    podman.start("web", args=("sh", "-c", "echo out; echo err >&2; trap 'exit 3' TERM; while :; do sleep 0.1; done"))
    assert podman.inspect("web", "{{.OCIRuntime}} {{.State.Status}}") == "minirun running"
    assert podman.ok("exec", "--env", "B=1", "--workdir", "/tmp", "web", "sh", "-c", "echo $B; pwd") == "1\n/tmp"
    assert podman("exec", "web", "sh", "-c", "exit 5").returncode == 5
    assert podman("exec", "--interactive", "web", "cat", stdin=None, input="fed").stdout == "fed"
    podman.ok("exec", "--detach", "web", "touch", "/done")
    wait_for(lambda: podman("exec", "web", "ls", "/done").returncode == 0)
    assert "sh -c echo out" in podman.ok("top", "web", "args")
    podman.ok("pause", "web")
    assert podman.inspect("web", "{{.State.Status}}") == "paused"
    assert "state improper" in podman("exec", "web", "true").stderr
    podman.ok("unpause", "web")
    assert json.loads(podman.ok("stats", "--no-stream", "--format", "json", "web"))[0]["name"] == "web"
    assert podman.ok("logs", "web") == "out" and podman("logs", "web").stderr == "err\n"
    podman.ok("stop", "web")
    assert podman.inspect("web", "{{.State.Status}} {{.State.ExitCode}}") == "exited 3"
    podman.ok("start", "web")
    podman.ok("restart", "--time", "1", "web")
    podman.ok("kill", "--signal", "KILL", "web")
    assert podman.ok("wait", "web") == "137"
    assert podman.ok("rm", "web") == "web"


def test_attach_to_one_that_waits(podman: Podman) -> None:
    """create, init (the runtime's create alone), start --attach."""
    podman.ok("create", "--name", "later", NAME, "sh", "-c", "echo now; exit 6")
    podman.ok("init", "later")
    assert podman.inspect("later", "{{.State.Status}}") in ("initialized", "created")
    done = podman("start", "--attach", "later")
    assert (done.stdout, done.returncode) == ("now\n", 6)


def test_terminal(podman: Podman) -> None:
    podman.start("shell")
    for words in (
        ("run", "--rm", "--tty", "--interactive", NAME, "sh"),
        ("exec", "--tty", "--interactive", "shell", "sh"),
    ):
        inside = Inside(podman.stage.enter(*podman.podman, *words), rows=33, columns=77, env=podman.stage.env)
        inside.terminal.expect("# ")
        inside.terminal.type("tty; stty size; exit 4\n")
        assert "/dev/pts/0" in inside.terminal.expect("33 77")
        assert inside.wait() == 4
        inside.close()


def test_storage(podman: Podman) -> None:
    """Bind mounts, volumes, tmpfs, a read-only root, a file on a directory."""
    (podman.place / "given").write_text("from outside\n")
    bind = f"{podman.place}/given:/given"
    done = podman.run("--volume", f"{bind}:ro", args=("sh", "-c", "cat /given; echo x > /given"))
    assert done.stdout == "from outside\n" and "Read-only file system" in done.stderr, done
    podman.said("--volume", "kept:/data", args=("sh", "-c", "echo kept > /data/file"))
    assert podman.said("--volume", "kept:/data", args=("cat", "/data/file")) == "kept"
    shown = podman.said("--tmpfs", "/t:size=1m", "--read-only", "--shm-size", "2m", args=("df", "/t", "/dev/shm"))
    assert [line.split()[1] for line in shown.splitlines()[1:]] == ["1024", "2048"]
    wrong = podman.run("--volume", f"{podman.place}/given:/etc", args=("true",))
    assert "not a directory" in wrong.stderr and "must both be directories" in wrong.stderr


def test_network(podman: Podman) -> None:
    """A bridge with a published port, none, the host's, another container's."""
    podman.start("web", "--publish", "8081:80", args=("httpd", "-f", "-p", "80", "-h", "/etc"))
    wait_for(lambda: podman.stage("busybox", "wget", "-qO-", "http://127.0.0.1:8081/group").stdout.startswith("root:"))
    assert podman.said("--network", "container:web", args=("wget", "-qO-", "http://127.0.0.1/group")).startswith(
        "root:"
    )
    assert podman.said("--network", "none", args=("ls", "/sys/class/net")) == "lo"
    assert "podman0" in podman.said("--network", "host", args=("ip", "link"))


def test_security(podman: Podman) -> None:
    """Capabilities, no_new_privs, sysctls, rlimits, devices, masks, privileged."""
    asked = "grep -E 'CapE|NoNew|ccomp:' /proc/self/status; ulimit -n; cat /proc/sys/net/ipv4/ip_forward; ls /dev/fuse"
    shown = podman.said(
        "--cap-drop", "all", "--cap-add", "net_bind_service", "--security-opt", "no-new-privileges",
        "--sysctl", "net.ipv4.ip_forward=1", "--ulimit", "nofile=99:100", "--ulimit", "nproc=1000:1000",
        "--device", "/dev/fuse", args=("sh", "-c", asked),
    )  # fmt: skip
    assert shown.split() == ["CapEff:", "0000000000000400", "NoNewPrivs:", "1", "Seccomp:", "2", "99", "1", "/dev/fuse"]
    masked = podman.run(args=("sh", "-c", "wc -c < /proc/timer_list; echo x > /proc/sys/kernel/domainname"))
    assert masked.stdout == "0\n" and "Read-only file system" in masked.stderr
    whole = podman.said("--privileged", args=("sh", "-c", "grep CapEff /proc/self/status; ls /dev/kmsg"))
    assert int(whole.split()[1], 16) & 1 << 21 and whole.endswith("/dev/kmsg")


def test_user_namespaces(podman: Podman) -> None:
    """Ids of podman's choice and of ours; a volume that is mapped along shows its files to be the container's."""
    chosen = podman.said("--userns", "auto:size=3000", args=("cat", "/proc/self/uid_map"))
    assert chosen.split() == ["0", "100000", "3000"]
    (podman.place / "given").write_text("")
    volumes = ("--volume", f"{podman.place}/given:/as-it-is:ro", "--volume", f"{podman.place}/given:/mapped:idmap")
    asked = "id -u; cat /proc/self/uid_map; stat -c %u /as-it-is /mapped; touch /x; stat -c %u /x"
    shown = podman.said("--uidmap", "0:200000:5000", *volumes, args=("sh", "-c", asked))
    assert shown.split() == ["0", "0", "200000", "5000", "65534", "0", "0"]


def test_namespaces_of_the_host(podman: Podman) -> None:
    """And no cgroup; and podman's own init."""
    seen = podman.said("--pid", "host", "--uts", "host", "--ipc", "host", args=("readlink", "/proc/self/ns/uts"))
    assert seen == podman.stage.ok("readlink", "/proc/self/ns/uts").strip()
    free = podman.said("--cgroups", "disabled", "--cgroupns", "host", args=("cat", "/proc/self/cgroup"))
    assert free.endswith("0::/first")
    assert podman.said("--init", args=("ps", "-o", "args")).splitlines()[1].endswith("podman-init -- ps -o args")


def test_pod(podman: Podman) -> None:
    """Two containers that share a network and see each other's processes; the pod's verbs reach both."""
    # podman 4.3 puts a device filter that forbids everything on a pod's own cgroup, whatever the runtime
    podman.ok("pod", "create", "--name", "pod", "--share-parent=false", "--share", "net,ipc,uts,pid")
    podman.start("one", "--pod", "pod", args=("httpd", "-f", "-p", "80", "-h", "/etc"))
    podman.start("two", "--pod", "pod")
    assert {"httpd -f -p 80 -h /etc", "sleep 100"} <= {
        line.strip() for line in podman.ok("exec", "two", "ps", "-o", "args").splitlines()
    }
    wait_for(lambda: podman("exec", "two", "wget", "-qO-", "http://127.0.0.1/group").stdout.startswith("root:"))
    for verb, status in (("pause", "Paused"), ("unpause", "Running"), ("stop", "Exited"), ("start", "Running")):
        podman.ok("pod", verb, *(("--time", "0") if verb == "stop" else ()), "pod")
        assert podman.ok("pod", "inspect", "--format", "{{.State}}", "pod") == status
    assert len(json.loads(podman.ok("pod", "stats", "--no-stream", "--format", "json", "pod"))) == 3
    assert {"one", "two"} <= set(podman.ok("ps", "--format", "{{.Names}}").split())


def test_healthcheck_and_restart(podman: Podman) -> None:
    """podman's timer needs systemd: it is asked by hand; and a container that fails is started again."""
    podman.start("well", "--health-cmd", "test -e /ok", "--health-interval", "disable", "--health-retries", "1")
    assert podman("healthcheck", "run", "well").returncode == 1
    podman.ok("exec", "well", "touch", "/ok")
    podman.ok("healthcheck", "run", "well")
    assert podman.inspect("well", "{{.State.Health.Status}}") == "healthy"
    podman.start("again", "--restart", "on-failure:2", args=("false",))
    wait_for(lambda: podman.inspect("again", "{{.RestartCount}} {{.State.Status}}") == "2 exited")


def test_build(podman: Podman) -> None:
    """RUN lines are containers; the result runs."""
    (podman.place / "Dockerfile").write_text(
        f'FROM {NAME}\nRUN echo built > /file && id -u\nUSER guest\nRUN ["id"]\nCMD ["cat", "/file"]\n'
    )
    said = podman.ok(
        "build", "--network", "none", "--tag", "built", "--file", podman.place / "Dockerfile", podman.place
    )
    assert "uid=1000(guest)" in said
    assert podman.said(image="built", args=()) == "built"
    (podman.place / "Dockerfile").write_text(f"FROM {NAME}\nRUN exit 9\n")
    failed = podman("build", "--network", "none", "--file", podman.place / "Dockerfile", podman.place)
    assert failed.returncode != 0 and "exit status 9" in failed.stderr


def test_files_and_commits(podman: Podman) -> None:
    """cp into a running container, diff, commit: podman works on the mounts that the runtime was given."""
    podman.start("web")
    (podman.place / "given").write_text("given\n")
    podman.ok("cp", podman.place / "given", "web:/tmp/given")
    assert podman.ok("exec", "web", "cat", "/tmp/given") == "given"
    assert "A /tmp/given" in podman.ok("diff", "web")
    podman.ok("commit", "--quiet", "web", "committed")
    assert podman.said(image="committed", args=("cat", "/tmp/given")) == "given"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("/no/such",), 127, ("cannot find /no/such: no such file or directory", "hint: the path is looked up inside")),
        (("nosuch",), 127, ("cannot find nosuch", "no directory of PATH")),
        (("/etc",), 126, ("cannot find /etc: permission denied", "it is a directory")),
    ],
)
def test_refusals(podman: Podman, args: tuple[str, ...], code: int, words: tuple[str, ...]) -> None:
    """podman finds its exit codes by the words; run and exec."""
    podman.start("here")
    for done in (podman.run(args=args), podman("exec", "here", *args)):
        assert done.returncode == code, done.stderr
        for word in words:
            assert word in done.stderr
    podman.ok("exec", "here", "true")


def test_what_podman_cannot_have(podman: Podman) -> None:
    podman.start("here")
    done = podman("container", "checkpoint", "here")
    assert done.returncode == 125 and "CRIU" in done.stderr
    gone = podman("kill", "nobody")
    assert gone.returncode == 125 and "no such container" in gone.stderr
    podman.ok("stop", "--time", "0", "here")
    assert "can only kill running containers" in podman("kill", "here").stderr
