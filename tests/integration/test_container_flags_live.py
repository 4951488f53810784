"""The flags of container run, seen from inside a real container."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.from_image import NAME, Containers

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture(scope="module")
def here() -> Iterator[Containers]:
    """A storage with the image, where mapped users get, too; at the end nothing may be left of any container."""
    made = Containers(Path(tempfile.mkdtemp(prefix="minirun-test-")))
    os.chmod(made.place, 0o711)
    made.load()
    yield made
    assert made.left() == []
    made.remove()


SEEN = [
    ("cmd of the image", [], [], "from the image"),
    ("entrypoint replaces both", ["--entrypoint", "echo"], ["x"], "x"),
    ("entrypoint taken away", ["--entrypoint", ""], ["echo", "y"], "y"),
    ("environment", ["-e", "PLACE=mine", "-e", "QQ", "-e", "NO"], ["sh", "-c", "echo $PLACE $LEFT $QQ ${NO-unset}"],
     "mine alone seven unset"),
    ("home and host name", [], ["sh", "-c", 'echo $HOME ${#HOSTNAME} $([ $HOSTNAME = $(hostname) ] && echo same)'],
     "/root 12 same"),
    ("working directory of the image, made", [], ["pwd"], "/srv/here"),
    ("working directory made", ["-w", "/new/place"], ["pwd"], "/new/place"),
    ("working directory behind a link of the image", ["-w", "/trap/in"], ["ls", "-d", "/etc/in"], "/etc/in"),
    ("working directory behind a link that leads out", ["-w", "/far/in"], ["ls", "-d", "/etc/in"], "/etc/in"),
    ("user by name with groups", ["-u", "guest"], ["sh", "-c", "id; echo $HOME"],
     "uid=1000(guest) gid=1000(guest) groups=63(audio),1000(guest)\n/home/guest"),
    ("a user's own group is among his groups", ["-u", "4321:63"], ["grep", "Groups", "/proc/self/status"],
     "Groups:\t63 "),
    ("user and group", ["-u", "guest:video"], ["id"], "uid=1000(guest) gid=44(video) groups=44(video)"),
    ("number that is nobody", ["-u", "4321"], ["sh", "-c", "id -u; id -g; echo $HOME"], "4321\n0\n/"),
    ("number and number", ["-u", "4321:8765"], ["sh", "-c", "id -u; id -g"], "4321\n8765"),
    ("more groups", ["--group-add", "audio", "--group-add", "77"], ["id", "-G"], "0 63 77"),
    ("umask", ["--umask", "0077"], ["sh", "-c", "umask"], "0077"),
    ("limits of a process", ["--ulimit", "nofile=100:200"], ["sh", "-c", "ulimit -Sn; ulimit -Hn"], "100\n200"),
    ("default capabilities", [], ["grep", "CapEff", "/proc/self/status"], "CapEff:\t00000000a80425fb"),
    ("one capability", ["--cap-drop", "all", "--cap-add", "net_raw"], ["grep", "CapEff", "/proc/self/status"],
     "CapEff:\t0000000000002000"),
    ("a capability for whoever is not root", ["-u", "guest", "--cap-add", "CAP_NET_RAW"],
     ["grep", "CapAmb", "/proc/self/status"], "CapAmb:\t0000000000002000"),
    ("no filter", ["--security-opt", "seccomp=unconfined"], ["grep", "Seccomp:", "/proc/self/status"], "Seccomp:\t0"),
    ("the default filter", [], ["grep", "Seccomp:", "/proc/self/status"], "Seccomp:\t2"),
    ("no new privileges", ["--security-opt", "no-new-privileges"], ["grep", "NoNewPrivs", "/proc/self/status"],
     "NoNewPrivs:\t1"),
    ("unmasked", ["--security-opt", "systempaths=unconfined"], ["sh", "-c", "mount | grep -c 'on /proc/'; true"], "0"),
    ("sysctl", ["--sysctl", "kernel.msgmax=12345"], ["cat", "/proc/sys/kernel/msgmax"], "12345"),
    ("pings without rights", [], ["cat", "/proc/sys/net/ipv4/ping_group_range"], "0\t2147483647"),
    ("read-only root", ["--read-only"], ["sh", "-c", "touch /x 2>/dev/null || echo no; touch /data/y && echo volume"],
     "no\nvolume"),
    ("tmpfs", ["--tmpfs", "/run:size=1m,mode=700"],
     ["sh", "-c", "df -k /run | tail -1 | grep -c '1024 .*/run'; stat -c %a /run"], "1\n700"),
    ("shared memory", ["--shm-size", "2m"], ["sh", "-c", "df -k /dev/shm | grep -c ' 2048 '"], "1"),
    ("no shared memory", ["--ipc", "none"], ["sh", "-c", "ls -d /dev/shm 2>/dev/null || echo none"], "none"),
    ("names", ["-h", "box", "--domainname", "lan"],
     ["sh", "-c", "hostname; cat /proc/sys/kernel/domainname /etc/hostname"], "box\nlan\nbox"),
    ("resolver", ["--dns", "9.9.9.9", "--dns-search", "lan", "--dns-option", "ndots:2"], ["cat", "/etc/resolv.conf"],
     "nameserver 9.9.9.9\nsearch lan\noptions ndots:2"),
    ("hosts", ["--add-host", "db:10.1.2.3", "--add-host", "six:::1"], ["grep", "-E", "db|six", "/etc/hosts"],
     "10.1.2.3\tdb\n::1\tsix"),
    ("host's processes", ["--pid", "host"], ["sh", "-c", "[ $(ps | wc -l) -gt 5 ] && [ $$ != 1 ] && echo y"], "y"),
    ("host's name", ["--uts", "host"], ["hostname"], os.uname().nodename),
    ("cgroup namespace", [], ["cat", "/proc/self/cgroup"], None),
    ("own init", ["--init"], ["sh", "-c", "cat /proc/1/cmdline | head -c 9; [ $$ != 1 ] && echo"], "/dev/init"),
    ("memory killer's opinion", ["--oom-score-adj", "345"], ["cat", "/proc/self/oom_score_adj"], "345"),
    ("a device", ["--device", "/dev/kmsg:/dev/log/k:r"], ["sh", "-c", "stat -c %t:%T /dev/log/k"], "1:b"),
    ("privileged", ["--privileged"],
     ["sh", "-c", "mount | grep -c 'on /sys type sysfs (rw'; grep -c 'Seccomp:.0' /proc/self/status"], "1\n1"),
    ("user namespace", ["--userns", "0:200000:65536"],
     ["sh", "-c", "cat /proc/self/uid_map; stat -c %u /bin; touch /x"], "         0     200000      65536\n0"),
    ("in memory", ["--ephemeral"], ["sh", "-c", "touch /x && echo written"], "written"),
    ("label and annotation", ["-l", "a=b", "--annotation", "c=d"], ["true"], ""),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "args", "seen"), [row[1:] for row in SEEN], ids=[row[0] for row in SEEN])
def test_what_a_flag_does_inside(here, flags, args, seen):
    found = here.said(*flags, args=tuple(args), env={**os.environ, "QQ": "seven"})
    assert seen is None or found == seen


FAILS = [
    (["-u", "nobody-there"], ["true"], 125, "unknown user 'nobody-there'"),
    (["-u", "guest:nothing"], ["true"], 125, "unknown group 'nothing'"),
    (["-u", "broken"], ["true"], 125, "unknown user"),
    ([], ["nosuch"], 127, "cannot find nosuch"),
    ([], ["/notes"], 126, "Permission denied"),
    ([], ["sh", "-c", "exit 42"], 42, ""),
    (["--init"], ["sh", "-c", "kill -9 $$"], 137, ""),
    (["--init"], ["sh", "-c", "kill -TERM $$"], 143, ""),
    (["--init"], ["nosuch"], 127, "cannot execute nosuch"),
    (["--mount", "type=bind,src=/nothing/here,dst=/x"], ["true"], 125, "cannot mount /nothing/here"),
    (["--device", "/dev/nothing"], ["true"], 125, "cannot give the device /dev/nothing"),
    (["--device", "/etc/passwd"], ["true"], 125, "it is no device"),
    (["-w", "/notes/x"], ["true"], 125, "cannot make the working directory"),
    (["--pid", "container:nobody"], ["true"], 125, "no such container: nobody"),
    (["--sysctl", "kernel.panic=1"], ["true"], 125, "would be the host's"),
    (["--memory", "lots"], ["true"], 2, "--memory wants a size"),
    (["--stop-signal", "NONE"], ["true"], 2, "unknown signal"),
    (["-e", "X=\udcff"], ["true"], 2, "is not UTF-8"),
    ([], ["echo", "\udcff"], 2, "is not UTF-8"),
    (["--gpus", "all"], ["true"], 2, "--gpus is not supported"),
]


@pytest.mark.parametrize(("flags", "args", "code", "words"), FAILS, ids=[" ".join(row[0] + row[1]) for row in FAILS])
def test_failures_have_dockers_codes_and_leave_nothing(here, flags, args, code, words):
    before = here.left()
    done = here.run(*flags, args=tuple(args))
    assert done.returncode == code and words in done.stderr, done.stderr
    assert here.left() == before


def test_an_anonymous_volume_has_what_the_image_has_and_goes_with_the_container(here):
    looks = "cat /data/of-image /data/deep/file /data/link; stat -c '%a %u %g %Y' /data/of-image; touch /data/new"
    assert here.said(args=("sh", "-c", looks)) == "kept\ntoo\nkept\n640 7 8 1600000000"
    assert here.left() == []
    assert here.said(args=("sh", "-c", "ls /data")) == "deep\nlink\nof-image"


def test_an_image_that_links_its_volume_elsewhere(here):
    """/far leads out of the image, as far as one can climb: that is the image's own /etc, and what is copied."""
    assert {"group", "passwd"} <= set(here.said("-v", "far:/far", args=("ls", "/far")).split())
    inside = Path(here.ok("volume", "inspect", "-f", ".Mountpoint", "far")) / "passwd"
    assert "guest" in inside.read_text()
    here.ok("volume", "rm", "far")


def test_a_named_volume_is_filled_once_and_kept(here):
    assert here.said("-v", "kept:/data", args=("sh", "-c", "rm /data/link; echo more > /data/new; ls /data"))
    assert here.said("-v", "kept:/elsewhere:ro", args=("ls", "/elsewhere")) == "deep\nnew\nof-image"
    assert here.run("-v", "kept:/data:ro", args=("touch", "/data/x")).returncode == 1
    assert here.said("-v", "bare:/data:nocopy", args=("ls", "/data")) == ""
    here.ok("container", "create", "--name", "holder", "-v", "kept:/data", NAME)
    done = here("volume", "rm", "kept")
    assert done.returncode == 1 and "in use" in done.stderr and "holder" in done.stderr
    assert here.said("--volumes-from", "holder:ro", args=("cat", "/data/new")) == "more"
    here.ok("container", "rm", "holder")
    assert here.ok("volume", "rm", "kept", "bare") == "kept\nbare"


def test_binds_are_made_by_v_and_read_only_when_asked(here, tmp_path):
    source = tmp_path / "not" / "yet"
    assert here.said("-v", f"{source}:/x", args=("sh", "-c", "echo hi > /x/file")) == ""
    assert (source / "file").read_text() == "hi\n"
    assert here.run("-v", f"{source}:/x:ro", args=("touch", "/x/file")).returncode == 1
    assert here.said("-v", "./not/yet:/x", args=("cat", "/x/file"), cwd=tmp_path) == "hi"
    mount = f"type=bind,src={source}/file,dst=/etc/motd,readonly"
    assert here.said("--mount", mount, args=("cat", "/etc/motd")) == "hi"


def test_files_of_ids_are_written_and_never_over_others(here, tmp_path):
    ids = tmp_path / "cid"
    here.said("--cidfile", str(ids), args=("true",))
    assert len(ids.read_text()) == 64
    done = here.run("--cidfile", str(ids), args=("true",))
    assert done.returncode == 125 and "there already" in done.stderr


def test_an_images_labels_are_no_orders_to_the_runtime(here):
    """An annotation of crun's names a file of the host that takes what hooks print; a label of an image must not."""
    made = here.config("-l", "dev.minirun.isolation=vm", "--annotation", "x=y")
    assert made["annotations"]["of"] == "image" and made["annotations"]["x"] == "y"
    assert not [name for name in made["annotations"] if name.startswith(("run.oci.", "dev.minirun."))]
    assert made["annotations"]["org.opencontainers.image.stopSignal"] == "SIGINT"
    assert made["annotations"]["org.opencontainers.image.exposedPorts"] == "80/tcp"


def test_explain_does_nothing(here, tmp_path):
    before = sorted(path.name for path in here.storage.iterdir())
    volumes = here.ok("volume", "ls", "-q")
    source = tmp_path / "never"
    made = here.config("-v", f"{source}:/x", "-v", "nomade:/y", "--init", "-it")
    assert made["process"]["args"][:3] == ["/dev/init", "--", "sh"] and made["process"]["terminal"]
    table = here.ok("container", "run", "--explain", NAME)
    assert "pivot into the rootfs" in table
    assert not source.exists() and here.ok("volume", "ls", "-q") == volumes and here.left() == []
    assert sorted(path.name for path in here.storage.iterdir()) == before


def test_inspect_update_rename(here):
    found = here.ok(
        "container", "create", "--name", "first", "-m", "64m", "-l", "k=v", "--restart", "on-failure:3", NAME
    )
    assert here.ok("container", "inspect", "-f", ".Id", "first") == found
    assert here.ok("container", "inspect", "-f", "{{.HostConfig.Memory}}", found[:8]) == str(64 << 20)
    assert here.ok("container", "inspect", "-f", ".HostConfig.RestartPolicy", "first") == (
        '{"Name":"on-failure","MaximumRetryCount":3}'
    )
    assert here("container", "update", "first").returncode == 2
    here.ok("container", "update", "-m", "128m", "--cpus", "2", "--restart", "no", "first")
    assert here.ok("container", "inspect", "-f", ".HostConfig.Memory", "first") == str(128 << 20)
    assert here.ok("container", "inspect", "-f", ".HostConfig.CpuQuota", "first") == "200000"
    here.ok("container", "rename", "first", "second")
    done = here("container", "inspect", "first", "second")
    assert done.returncode == 1 and "no such container: first" in done.stderr and f'"Id": "{found}"' in done.stdout
    assert here("container", "create", "--name", "second", NAME).returncode == 125
    assert here("container", "rename", "second", "-x").returncode == 2
    here.ok("container", "rm", "-v", "second")


def test_a_name_that_is_taken_leaves_nothing_behind(here):
    here.ok("container", "create", "--name", "taken", "plain:1", "true")
    before = here.left()
    done = here("container", "create", "--name", "taken", NAME)
    assert done.returncode == 125 and "taken" in done.stderr and here.left() == before
    here.ok("container", "rm", "taken")


@pytest.mark.needs("nftables")
def test_names_on_a_bridge(here):
    """--add-host beside what the network writes, the address of the host, the name that was given with -h."""
    flags = ("--net", "bridge", "--add-host", "db:10.1.2.3", "--add-host", "up:host-gateway", "-h", "box")
    done = here("container", "run", "--rm", *flags, NAME, "sh", "-c", "cat /etc/hosts; grep box /etc/hosts | wc -l")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["10.1.2.3", "db"] in lines and lines[-1] == ["1"], done.stderr
    gateway = next(line[0] for line in lines if line[1:2] == ["up"])
    assert gateway.rpartition(".")[0] == next(line[0] for line in lines if "box" in line).rpartition(".")[0]


def test_a_user_namespace_has_what_is_its_own(here):
    """Ids on the disk are those of inside, so that a volume goes from one container to another, mapped or not."""
    flags = ("--userns", "0:200000:65536", "-v", "ids:/data", "-w", "/mine", "-u", "guest")
    script = "stat -c '%u:%g' /data/of-image /mine; touch /mine/x && echo mine"
    assert here.said(*flags, args=("sh", "-c", script)) == "7:8\n1000:1000\nmine"
    as_root = ("sh", "-c", "touch /data/new /etc/hosts && chown 5 /data/new && echo written")
    assert here.said(*flags[:4], args=as_root) == "written"
    assert here.said("-v", "ids:/x", args=("stat", "-c", "%u:%g", "/x/new", "/x/of-image")) == "5:0\n7:8"
    assert here.said("--pid", "host", *flags[:2], args=("sh", "-c", "[ $(ps | wc -l) -gt 5 ] && echo many")) == "many"
    here.ok("volume", "rm", "ids")


def test_orphans_and_signals_with_init(here):
    here.ok("container", "run", "-d", "--name", "reaped", "--init", "--net", "none", "plain:1", "sh", "-c",
            "trap 'exit 9' TERM; (sleep 0.05 &); while :; do sleep 0.05; done")  # fmt: skip
    try:
        wait = "for n in 1 2 3 4 5 6 7 8; do sleep 0.05; grep -q State:.Z /proc/*/status || exit 0; done; exit 1"
        here.ok("container", "exec", "reaped", "sh", "-c", wait)
        here.ok("container", "stop", "-t", "5", "reaped")
        assert here.ok("container", "inspect", "-f", ".State.ExitCode", "reaped") == "9"
    finally:
        here.ok("container", "rm", "-f", "reaped")


@pytest.mark.needs("nftables")
def test_a_user_namespace_on_a_bridge(here):
    flags = ("--userns", "0:200000:65536", "--net", "bridge")
    """The network namespace is its own: what /sys shows is in it, and port 80 of it is open to its root."""
    script = "ls /sys/class/net; ls -d /sys/class/net/eth0; grep -c minirun /etc/hosts; touch /sys/x"
    done = here("container", "run", "--rm", *flags, "plain:1", "sh", "-c", script)
    assert done.stdout == "eth0\nlo\n/sys/class/net/eth0\n2\n" and "Read-only" in done.stderr, done.stderr
    here.ok("container", "run", "-d", "--name", "served", *flags, "-p", "127.0.0.1:34580:80", "plain:1",
            "busybox", "nc", "-l", "-p", "80", "-e", "echo", "served")  # fmt: skip
    try:
        with socket.create_connection(("127.0.0.1", 34580), 5) as client:
            assert client.recv(100) == b"served\n"
    finally:
        here.ok("container", "rm", "-f", "served")


def test_a_container_joins_anothers_namespaces(here):
    one = here.ok("container", "run", "-d", "--name", "one", "--net", "none", "--ipc", "shareable", NAME, "sleep", "60")
    try:
        flags = ("--pid", "container:one", "--ipc", f"container:{one}", "--uts", "container:one")
        here.ok("container", "exec", "one", "sh", "-c", "echo shared > /dev/shm/word")
        seen = here.said(*flags, args=("sh", "-c", "hostname; cat /proc/1/comm /dev/shm/word"))
        assert seen == f"{one[:12]}\nsleep\nshared"
        done = here("container", "run", "--rm", "--net", "container:one", NAME, "cat", "/etc/hostname")
        assert done.stdout == f"{one[:12]}\n", done.stderr
    finally:
        here.ok("container", "rm", "-f", "-v", "one")


def test_volumes_are_listed_filtered_and_pruned(here):
    here.ok("volume", "create", "--label", "k=v", "named")
    alone = here.ok("volume", "create")
    assert here.ok("volume", "ls", "-q", "-f", "label=k=v") == "named"
    assert set(here.ok("volume", "ls", "-q", "-f", "dangling=true").split()) == {alone, "named"}
    assert here.ok("volume", "inspect", "-f", ".Labels.k", "named") == "v"
    mountpoint = Path(here.ok("volume", "inspect", "-f", ".Mountpoint", "named"))
    assert mountpoint.is_dir()
    assert here("volume", "prune", stdin=-3).returncode == 2  # nobody to ask
    assert alone in here.ok("volume", "prune", "-f") and mountpoint.is_dir()
    assert "named" in here.ok("volume", "prune", "-a", "-f") and not mountpoint.exists()
    assert here("volume", "rm", "named").returncode == 1 and here("volume", "rm", "-f", "named").returncode == 0
