"""A second witness: the same bundle under runc and under minirun gives the same, field by field.

Both run in a private mount namespace where the v2 hierarchy lies on /sys/fs/cgroup, so that runc sees a host of
cgroup v2 alone.  What may differ is in the tables below, each with its reason; anything else that differs is a fault.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from minirun.facts import find_cgroup_root
from tests.conftest import MINIRUN, Bundle, Json, run
from tests.integration.seen import answers, mark, mounts, questions, status_of
from tests.integration.terminals import ConsoleSocket

pytestmark = pytest.mark.needs("root", "busybox", "runc")

PURE_V2 = 'mount --make-rprivate /; mount --bind "$1" /sys/fs/cgroup; shift; exec "$@"'


def split(text: str) -> list[str]:
    return text.split()


NODES = split("""null zero full random urandom tty ptmx pts shm mqueue fd stdin stdout stderr pts/ptmx""")
PLACES = split("""/ /proc /sys /sys/fs/cgroup /proc/keys /proc/acpi /proc/sys /sys/firmware /proc/timer_list""")
WORDS = split("""status mountinfo ns rlimits printenv cwd umask id hostname domainname oomscore pid sid pgid
    ppid fds keyring cgroup signals caps nonewprivs scheduler personality time-offsets loopback devnull-check isatty""")
FILES = split("""loginuid coredump_filter timerslack_ns setgroups""")
ASKED = (
    *WORDS, "stat /dev", *(f"stat /dev/{name}" for name in NODES), *(f"stat {place}" for place in PLACES),
    *(f"cat /proc/self/{name}" for name in FILES), "cat /proc/keys", "cat /proc/sys/net/ipv4/ip_forward",
    *(f"ls {place}" for place in ("/", "/dev", "/sys/fs/cgroup", "/proc/acpi", "/proc/self/task")),
    *(f"openrw {place}" for place in ("/proc/sys/kernel/domainname", "/proc/keys", "/dev/full", "/dev/tty")),
)  # fmt: skip

# Lines of /proc/self/status that say nothing about the runtime: sizes, counters, and pids of the host.
NOISE = re.compile(r"Vm|Rss|Hugetlb|voluntary|nonvoluntary|SigQ|Cpus|Mems|Speculation|Core|THP|untag|x86|Threads|Name")


PIDS = re.compile(r"^(Tgid|Pid|PPid|NStgid|NSpid|NSpgid|NSsid):.*\n", re.MULTILINE)


def without_glibc_signals(mask: str) -> str:
    """32 and 33 are of glibc; its posix_spawn (of make) leaves them ignored, and runc hands that on."""
    return f"{int(mask, 16) & ~(3 << 31):016x}"


def of_status(text: str) -> dict[str, str]:
    found = {name: value for name, value in status_of(text).items() if not NOISE.match(name)}
    return {**found, "SigIgn": without_glibc_signals(found["SigIgn"])}


def of_signals(text: str) -> dict[str, str]:
    return {name: without_glibc_signals(mask) for name, mask in (line.split(":") for line in text.splitlines())}


def of_mountinfo(text: str) -> dict[str, object]:
    """Targets with all that can be seen of each; device numbers and ids left out."""
    found: dict[str, object] = {}
    for target, mount in mounts(text).items():
        options, superblock, source = set(mount.options), set(mount.superblock), mount.source
        if target in MASKED:  # see DIFFERENT
            assert "ro" in options or target in MASKED_FILES, target
            options, superblock, source = set(), set(), ""
        if target in BOUND:
            options -= {"nosuid", "noexec"}
        root = mount.root if mount.fstype == "cgroup2" or target != "/" else "ROOTFS"
        found[target] = (mount.fstype, source, sorted(options), sorted(superblock), mount.propagation, root)
    return found


def of_namespaces(text: str) -> dict[str, bool]:
    """Which are new."""
    pairs = (line.split() for line in text.splitlines())
    return {kind: os.readlink(f"/proc/self/ns/{kind}") != f"{kind}:[{inode}]" for kind, inode in pairs}


def of_descriptors(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


def of_keyring(text: str) -> str:
    """Type and owner; not the serial. Not the rights and the name either: see DIFFERENT."""
    return ";".join(text.partition(" ")[2].split(";")[:3])


def of_cgroup_files(text: str) -> list[str]:
    """Without the files of controllers: see DIFFERENT."""
    return [name for name in text.split() if name.partition(".")[0] not in CONTROLLERS]


# What is left out of a comparison, and why it may differ.
DIFFERENT = {
    "masked mounts": "minirun's are also nosuid, nodev, noexec, files read-only as well; the one tmpfs for all",
    "devices bound in a user namespace": "minirun's are nosuid and noexec, as crun's",
    "name and rights of the keyring": "runc lets the owner search it, so that exec joins it by name; so may any other"
    " root that knows the name: minirun's has none, and exec gets its own",
    "files of controllers": "runc enables every controller there is, minirun those that a limit asks for",
    "signals 32 and 33, ignored": "a caller spawned by glibc's posix_spawn (make) ignores them; runc hands that on,"
    " minirun gives every signal its default",
    "pids in exec": "runc's helpers use up some numbers",
}
CONTROLLERS = ("hugetlb", "memory", "pids", "cpu", "io", "cpuset", "rdma", "misc", "dmem")
MASKED_FILES = set(
    split("/proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug")
)
BOUND = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
MASKED = MASKED_FILES | {"/proc/acpi", "/proc/asound", "/sys/firmware", "/proc/scsi"}
READ: dict[str, Callable[[str], object]] = {
    "status": of_status, "mountinfo": of_mountinfo, "ns": of_namespaces, "fds": of_descriptors, "keyring": of_keyring,
    "ls /sys/fs/cgroup": of_cgroup_files, "signals": of_signals,
}  # fmt: skip


class Runtime:
    """One of the two."""

    def __init__(self, name: str, program: str, place: Path) -> None:
        self.name, self.program, self.root = name, program, place / f"{name}-state"

    def __call__(self, *words: str | Path, **more: object) -> str:
        argv = ["unshare", "-m", "sh", "-ec", PURE_V2, "sh", find_cgroup_root(), self.program, "--root", str(self.root)]
        done = run(*argv, *words, **more)
        assert done.returncode == 0, f"{self.name}: {done.stderr}"
        return done.stdout


@pytest.fixture
def both(tmp_path: Path) -> tuple[Runtime, Runtime]:
    return Runtime("runc", "runc", tmp_path), Runtime("minirun", str(MINIRUN), tmp_path)


def compare(asked: tuple[str, ...], texts: list[str], names: list[str]) -> None:
    """Every answer; all differences at once."""
    wrong = []
    theirs, ours = (answers(text.replace(name, "ID")) for text, name in zip(texts, names, strict=True))
    assert len(theirs) == len(ours) == len(asked)
    for question, one, two in zip(asked, theirs, ours, strict=True):
        read: Callable[[str], object] = READ.get(question, str)
        first, second = read(one), read(two)
        if isinstance(first, dict) and isinstance(second, dict):
            keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
            wrong += [f"{question}, {key}: runc {first.get(key)!r}, minirun {second.get(key)!r}" for key in keys]
        elif first != second:
            wrong.append(f"{question}: runc {first!r}, minirun {second!r}")
    assert not wrong, "\n".join(wrong)


def run_both(both: tuple[Runtime, Runtime], bundle: Bundle, asked: tuple[str, ...]) -> None:
    mark(bundle)
    bundle.args(*questions(*asked)).write()
    names = [f"{runtime.name}-{uuid.uuid4().hex[:8]}" for runtime in both]
    compare(asked, [runtime("run", "-b", bundle.path, name) for runtime, name in zip(both, names, strict=True)], names)


def spec_of(runtime: Runtime, bundle: Bundle) -> Json:
    """What its `spec` writes, without a terminal."""
    (bundle.path / "config.json").unlink(missing_ok=True)
    runtime("spec", "--bundle", bundle.path)
    config: Json = json.loads((bundle.path / "config.json").read_text())
    config["process"]["terminal"] = False
    return config


@pytest.mark.parametrize("maker", ["runc", "minirun"])
def test_the_default_bundle(both: tuple[Runtime, Runtime], bundle: Bundle, maker: str) -> None:
    bundle.config = spec_of(both[maker == "minirun"], bundle)
    run_both(both, bundle, ASKED)


def many_mounts(data: str) -> list[Json]:
    """New and bound, with attributes and propagations of several kinds."""
    return [
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
         "options": ["noexec", "size=64k", "mode=1777", "noatime"]},
        {"destination": "/home", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "rshared"]},
        {"destination": "/mnt/a", "type": "bind", "source": data, "options": ["rbind", "ro", "nodev"]},
        {"destination": "/mnt/b", "type": "none", "source": data, "options": ["bind", "rslave"]},
        {"destination": "/mnt/c", "type": "none", "source": data, "options": ["bind", "nosuid", "rprivate"]},
    ]  # fmt: skip


def test_a_bundle_with_much_in_it(both: tuple[Runtime, Runtime], bundle: Bundle, tmp_path: Path) -> None:
    """Users, groups, umask, limits, sysctls, devices, mounts of many kinds."""
    (tmp_path / "data/sub").mkdir(parents=True)
    (bundle.rootfs / "home/up").mkdir()
    sets = ["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"]
    bundle.config["process"].update(
        user={"uid": 1000, "gid": 1001, "additionalGids": [5, 7], "umask": 0o037}, cwd="/home/guest", oomScoreAdj=200,
        env=["PATH=/bin", "B=1", "A=x=y"], noNewPrivileges=False,
        rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_NOFILE", "soft": 99, "hard": 111}],
        capabilities=dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), sets),
    )  # fmt: skip
    bundle.config["mounts"] += many_mounts(str(tmp_path / "data"))
    bundle.config["linux"].update(
        sysctl={"net.ipv4.ip_forward": "1", "kernel.shmmax": "8192"},
        devices=[
            {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0},
            {"type": "b", "path": "/dev/deep/loop7", "major": 7, "minor": 7, "fileMode": 0o640, "uid": 5, "gid": 6},
        ],
        maskedPaths=["/proc/keys", "/proc/acpi", "/etc/passwd"],
    )
    more = ("stat /dev/fuse", "stat /dev/deep/loop7", "stat /home/guest", "stat /mnt/a", "ls /mnt/a", "openrw /mnt/a",
            "sysctl kernel.shmmax", "cat /etc/passwd", "stat /tmp")  # fmt: skip
    without = ("cat /proc/keys", "openrw /proc/keys")  # another user's: EACCES or EROFS, by the order of the checks
    MASKED.add("/etc/passwd")
    MASKED_FILES.add("/etc/passwd")
    try:
        run_both(both, bundle, tuple(question for question in ASKED if question not in without) + more)
    finally:
        MASKED.discard("/etc/passwd")
        MASKED_FILES.discard("/etc/passwd")


def test_a_user_namespace(both: tuple[Runtime, Runtime], open_bundle: Bundle) -> None:
    rows = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    for path in [open_bundle.rootfs, *open_bundle.rootfs.iterdir()]:
        if path.is_dir() and not path.is_symlink():
            os.chown(path, 100000, 100000)
    open_bundle.config["linux"]["namespaces"].append({"type": "user"})
    open_bundle.config["linux"].update(uidMappings=rows, gidMappings=rows)
    # runc makes the ipc namespace before it has a mapped group: its mqueue belongs to nobody's group, ours to root.
    run_both(both, open_bundle, tuple(question for question in ASKED if question != "stat /dev/mqueue"))


def test_exec(both: tuple[Runtime, Runtime], bundle: Bundle) -> None:
    """With its options."""
    mark(bundle)
    bundle.args("/probe", "pause").write()
    asked = tuple(
        question for question in ASKED if question not in ("pid", "sid", "pgid", "ppid", "ls /proc/self/task")
    )
    flags = ("--cwd", "/tmp", "--env", "X=1", "--user", "1000:1000", "-g", "5")
    for words in ((), flags):
        texts, names = [], []
        for runtime in both:
            names.append(f"{runtime.name}-{uuid.uuid4().hex[:8]}")
            with open(bundle.path / "out", "wb") as out:
                runtime("run", "-d", "-b", bundle.path, names[-1], capture_output=False, stdout=out, stderr=out)
            try:
                texts.append(runtime("exec", *words, names[-1], *questions(*asked)))
            finally:
                runtime("delete", "--force", names[-1])
        compare(asked, [PIDS.sub("", text) for text in texts], names)


def test_a_terminal(both: tuple[Runtime, Runtime], bundle: Bundle, tmp_path: Path) -> None:
    bundle.config["process"].update(terminal=True, consoleSize={"height": 12, "width": 34})
    mark(bundle)
    asked = (*ASKED, "tty-name", "stat /dev/console", "stat /dev/pts/0", "ls /dev/pts", "openrw /dev/tty")
    bundle.args(*questions(*asked)).write()
    texts, names = [], []
    for runtime in both:
        names.append(f"{runtime.name}-{uuid.uuid4().hex[:8]}")
        argv = ("create", "-b", bundle.path, "--console-socket", tmp_path / f"{runtime.name}.sock", names[-1])
        with (
            closing(ConsoleSocket(tmp_path / f"{runtime.name}.sock")) as console,
            open(bundle.path / "out", "wb") as out,
        ):
            runtime(*argv, capture_output=False, stdout=out, stderr=out)
            try:
                with closing(console.take()) as terminal:
                    runtime("start", names[-1])
                    texts.append("".join(terminal.expect("\x1e") for _ in asked[1:]) + terminal.expect("ok\r\n"))
            finally:
                runtime("delete", "--force", names[-1])
    compare(asked, [text.replace("\r\n", "\n") for text in texts], names)
