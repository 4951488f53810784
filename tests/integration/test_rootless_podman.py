"""podman of an ordinary user: it calls us as root of a user namespace that it has made through newuidmap."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MINIRUN
from tests.integration.people import Account, Done, Person
from tests.integration.seen import wait_for
from tests.needs import has

pytestmark = pytest.mark.needs("root", "busybox", "userns", "uidmap")


class Podman:
    """With storage, state and a runtime directory of its own."""

    def __init__(self, somebody: Person) -> None:
        place = somebody.runtime_dir
        self.somebody = somebody
        self.env = {**somebody.env, "HOME": str(place), "XDG_RUNTIME_DIR": str(place), "TMPDIR": str(place)}
        self.base = [
            "podman", "--root", f"{place}/storage", "--runroot", f"{place}/run", "--storage-driver", "vfs",
            "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", str(MINIRUN),
        ]  # fmt: skip

    def __call__(self, *words: str, **more: object) -> Done:
        options = {"stdin": subprocess.DEVNULL, **self.somebody.who, **more}
        return subprocess.run(
            [*self.base, *words], env=self.env, cwd=self.somebody.runtime_dir, capture_output=True, text=True,
            timeout=120, **options,
        )  # fmt: skip

    def run(self, *words: str, **more: object) -> str:
        done = self("run", "--rm", *words, **more)
        assert done.returncode == 0, done.stderr
        out: str = done.stdout
        return out


@pytest.fixture
def podman(somebody: Person) -> Iterator[Podman]:
    reason = has("podman") or has("conmon")
    if reason:
        pytest.skip(reason)
    called = Podman(somebody)
    words = ["tar", "--owner=0", "--group=0", "-C", str(somebody.bundle.rootfs), "-c", "."]
    tree = subprocess.Popen(words, stdout=subprocess.PIPE)
    made = called("import", "-", "localhost/busybox", stdin=tree.stdout)
    tree.wait()
    assert made.returncode == 0, made.stderr
    yield called
    called("rm", "--all", "--force", "--time", "0")
    called("system", "migrate")  # ends the process that holds its user namespace
    wait_for(lambda: not processes(somebody.uid))


def processes(uid: int) -> list[str]:
    """The command lines of a user's processes; a zombie has none."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if path.stat().st_uid == uid:
                found.append((path / "cmdline").read_text())
        except OSError:
            continue
    return [words for words in found if words]


def test_run_and_exec(podman: Podman, account: Account) -> None:
    """Its configurations as they are: no user namespace in them, its own seccomp profile, /sys bound if need be."""
    image = "localhost/busybox"
    asked = ("/probe", "id", "--", "cat", "/proc/self/uid_map", "--", "devnull-check")
    out = podman.run("--network", "none", image, *asked)
    assert out.splitlines()[0] == "uid=0 gid=0 groups=" and out.splitlines()[-1] == "ok"
    assert out.split()[3:-1] == ["0", str(account.uid), "1", "1", str(account.first), "65536"]
    assert "uid=5 gid=6 groups=" in podman.run("--network", "host", "--user", "5:6", image, "/probe", "id")
    out = podman.run("--network", "none", "--userns", "keep-id", image, "/probe", "id")
    assert out.startswith(f"uid={account.uid} gid={account.gid} ")
    out = podman.run("--network", "none", "--group-add", "keep-groups", image, "/probe", "id", extra_groups=[4])
    assert out == "uid=0 gid=0 groups=65534\n", "the caller's, which are not mapped"
    out = podman.run("--network", "none", "--userns", "auto:size=1000", image, "/probe", "cat", "/proc/self/uid_map")
    assert out.split() == ["0", "1", "1000"], "what podman binds lies in directories that are closed to such a root"
    limits = ("--ulimit", "core=0", "--sysctl", "net.ipv4.ip_forward=1", "--oom-score-adj", "500")
    out = podman.run("--network", "none", *limits, image, "/probe", "oomscore", "--", "sysctl", "net.ipv4.ip_forward")
    assert out.split() == ["500", "1"]
    flags = ("-d", "--network", "none", "--name", "c")
    done = podman("run", *flags, image, "/probe", "pause")
    assert done.returncode == 0, done.stderr
    assert podman("exec", "--user", "9", "c", "/probe", "id").stdout.startswith("uid=9 ")
    assert podman("exec", "c", "/probe", "pid").stdout != "1\n"
    assert podman("kill", "c").returncode == 0
    assert podman("rm", "--force", "--time", "0", "c").returncode == 0
    left = os.listdir(podman.somebody.runtime_dir / "minirun")
    assert left in ([], [".filters"]), "the state directory is the user's; compiled seccomp filters stay"


def test_a_pod_with_a_user_namespace(podman: Podman, account: Account) -> None:
    """Its second container joins the first one's, where the user is himself, as root of podman's."""
    image = "localhost/busybox"
    flags = ("--network", "none", "--userns", "keep-id", "--infra-image", image, "--infra-command", "/probe pause")
    done = podman("pod", "create", "--name", "p", *flags)
    assert done.returncode == 0, done.stderr
    out = podman.run("--pod", "p", image, "/probe", "id", "--", "cat", "/proc/self/uid_map")
    first, _, rows = out.partition("\n")
    assert first.startswith(f"uid={account.uid} gid={account.gid} ")
    assert [int(word) for word in rows.split()[3:6]] == [account.uid, 0, 1]
    assert podman("pod", "rm", "--force", "--time", "0", "p").returncode == 0


def test_volumes_and_build(podman: Podman) -> None:
    image = "localhost/busybox"
    asked = ("/probe", "write", "/data/x", "y", "--", "stat", "/data/x")
    out = podman.run("--network", "none", "-v", "kept:/data", image, *asked)
    assert "file 0644 0 0" in out
    assert podman("volume", "rm", "kept").returncode == 0
    folder = podman.somebody.runtime_dir / "build"
    folder.mkdir(mode=0o755)
    (folder / "Dockerfile").write_text(f"FROM {image}\nRUN /bin/echo made > /made\n")
    done = podman("build", "--isolation", "oci", "--network", "none", "--tag", "localhost/made", str(folder))
    assert done.returncode == 0, done.stderr
    assert podman.run("--network", "none", "localhost/made", "/bin/cat", "/made") == "made\n"
