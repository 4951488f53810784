"""What only a machine has: its hardware, its kernel's words, its VMM as the host sees it.  In the lab."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.vm import kernel
from tests.conftest import Bundle, run
from tests.integration.seen import wait_for
from tests.vm.both import PATIENCE, Isolated

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox", "compiler", "guest")]
MEGA = 1 << 20


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Isolated]:
    request.getfixturevalue("clean_host")
    runtime = Isolated(tmp_path / "state", "vm")
    yield runtime
    for name in runtime.used:
        runtime("delete", "--force", name)


def annotate(bundle: Bundle, **values: str) -> None:
    bundle.config["annotations"] = {f"dev.minirun.vm.{name}": value for name, value in values.items()}


def test_hardware(machine: Isolated, bundle: Bundle) -> None:
    """CPUs, memory, a disk, words for the kernel, and what it says."""
    disk = bundle.path / "disk.img"
    disk.write_bytes(b"on the disk".ljust(MEGA, b"\0"))
    annotate(
        bundle, vcpus="2", memory="384m", disk="disk.img,ro", console="console.txt",
        cmdline="loglevel=7 minirun.word=1", rng="true", balloon="true",
    )  # fmt: skip
    words = (
        "grep -c ^processor /proc/cpuinfo; head -1 /proc/meminfo; head -c 11 /dev/vda; echo; cat /proc/cmdline;"
        " echo x > /dev/vda || echo refused"
    )
    lines = machine.output(bundle, "/bin/busybox", "sh", "-c", words.replace("grep", "/bin/busybox grep")).splitlines()
    assert lines[0] == "2" and lines[2] == "on the disk" and lines[4] == "refused"
    assert 300 << 10 < int(lines[1].split()[1]) <= 384 << 10
    assert lines[3].endswith("loglevel=7 minirun.word=1")
    said = (bundle.path / "console.txt").read_text(errors="replace")
    assert "Linux version" in said and "minirun.word=1" in said


def test_a_kernel_that_panics_is_quoted(machine: Isolated, bundle: Bundle) -> None:
    annotate(bundle, cmdline="rdinit=/nope init=/nope")
    done = machine.run(bundle.args("/bin/true"))
    assert done.returncode == 125
    assert done.stderr.startswith("minirun: the machine ended: the guest ended by itself (panic), its last words:")
    assert "Kernel panic - not syncing" in done.stderr


def test_a_kernel_that_is_not_there(machine: Isolated, bundle: Bundle) -> None:
    annotate(bundle, kernel="nope")
    done = machine.run(bundle.args("/bin/true"))
    assert done.returncode == 125 and f"cannot find a kernel at {bundle.path}/nope" in done.stderr
    assert "make guest-kernel" in done.stderr


def test_a_source_that_is_not_there(machine: Isolated, bundle: Bundle) -> None:
    bundle.config["mounts"].append({"destination": "/x", "source": "/nowhere", "options": ["bind"]})
    done = machine.run(bundle.args("/bin/true"))
    assert done.returncode == 125 and "cannot share /nowhere with the machine: No such file or directory" in done.stderr


def test_while_it_lives(machine: Isolated, bundle: Bundle) -> None:
    """ps, events, update, the cgroup around it, and the cell that the VMM is in."""
    bundle.config["linux"]["resources"].update(memory={"limit": 64 * MEGA}, pids={"limit": 20})
    name = machine.start(bundle.args("/bin/sh", "-c", "sleep 1000 & exec sleep 2000"))
    wait_for(lambda: "sleep 1000" in machine("ps", name).stdout, 20)
    rows = [line.split(maxsplit=3) for line in machine("ps", name).stdout.splitlines()]
    assert rows[0] == ["UID", "PID", "PPID", "CMD"]
    assert sorted(row[3] for row in rows[1:]) == ["sleep 1000", "sleep 2000"]
    assert len(json.loads(machine("ps", "-f", "json", name).stdout)) == 2
    of_the_guest(machine, name)
    of_the_host(machine.state(name)["pid"], name)


def of_the_guest(machine: Isolated, name: str) -> None:
    """Limits are counted in there, and can be changed, but not beyond what the machine has."""
    row = json.loads(machine("events", "--stats", name).stdout)["data"]
    assert row["memory"]["usage"]["limit"] == 64 * MEGA and row["pids"] == {"current": 2, "limit": 20}
    assert machine("update", "--memory", "48m", "--pids-limit", "9", name).returncode == 0
    row = json.loads(machine("events", "--stats", name).stdout)["data"]
    assert row["memory"]["usage"]["limit"] == 48 * MEGA and row["pids"]["limit"] == 9
    done = machine("update", "--memory", "8g", name)
    assert done.returncode == 125 and "its machine has" in done.stderr
    assert not [entry for entry in os.listdir(machine.root / name) if entry.startswith(".stats")]


def of_the_host(pid: int, name: str) -> None:
    """One process, in the container's cgroup, that can do nothing but what a VMM has to."""
    group = Path(f"/sys/fs/cgroup/minirun/{name}")
    assert (group / "cgroup.procs").read_text().split() == [str(pid)]
    assert int((group / "memory.max").read_text()) == (64 + 96 + 96) * MEGA
    assert int((group / "memory.current").read_text()) < 256 * MEGA
    status = dict(line.partition(":")[::2] for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Name"].strip() == "minirun-vmm"
    assert (status["Seccomp"].strip(), status["NoNewPrivs"].strip()) == ("2", "1")
    assert not int(status["CapEff"], 16) & (1 << 21 | 1 << 19 | 1 << 12 | 1 << 17), (
        "SYS_ADMIN, PTRACE, NET_ADMIN, RAWIO"
    )
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert len(mounts) == 1 and " - tmpfs " in mounts[0]
    hosts = {line.split()[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    directories = [fd for fd in os.listdir(f"/proc/{pid}/fd") if os.path.isdir(f"/proc/{pid}/fd/{fd}")]
    mounts = [Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("mnt_id:")[1].split()[0] for fd in directories]
    assert mounts and not hosts & {*mounts}, "no directory of the host's own mounts is open: no way leads up from it"


@pytest.fixture
def tap() -> Iterator[str]:
    """A tap of the host's with an address."""
    name = "tap-minirun0"
    for words in ("tuntap add %s mode tap", "address add 10.77.0.1/24 dev %s", "link set %s up"):
        done = run("ip", *(words % name).split())
        assert done.returncode == 0, done.stderr
    yield name
    run("ip", "link", "delete", name)


@pytest.mark.needs("ip")
def test_a_network(machine: Isolated, bundle: Bundle, tap: str) -> None:
    """By a tap: the program reaches the host, from the address that the annotation gives it."""
    annotate(bundle, net=f"{tap},mac=02:00:00:00:00:77,address=10.77.0.2/24,gateway=10.77.0.1")
    with socket.create_server(("10.77.0.1", 7777)) as server:
        server.settimeout(60)
        words = "cat /sys/class/net/eth0/address; busybox nc 10.77.0.1 7777; busybox ip route"
        bundle.args("/bin/sh", "-c", words).write()
        with subprocess.Popen(
            machine.words("run", "-b", bundle.path, machine.name()), stdout=subprocess.PIPE, text=True
        ) as process:
            link, peer = server.accept()
            with link:
                link.sendall(b"from the host\n")
            out, _ = process.communicate(timeout=60)
    assert peer[0] == "10.77.0.2" and process.returncode == 0
    assert out.startswith("02:00:00:00:00:77\nfrom the host\ndefault via 10.77.0.1 dev eth0")


def test_verbs_for_people(machine: Isolated, bundle: Bundle) -> None:
    """run with the machine on the command line; ls, console and stop of it."""
    name = machine.name()
    bundle.write()

    def vm(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return run(machine.program, "--root", machine.root, "vm", *words, timeout=PATIENCE)

    options = ("--vcpus", "2", "-m", "200m", "--append", "loglevel=7", "--name", name, "-d")
    with open(bundle.path / "out", "wb") as out:
        done = run(
            machine.program, "--root", machine.root, "vm", "run", *options, bundle.path, "--", "/bin/sh", "-c",
            "trap 'exit 3' TERM; while true; do sleep 0.1; done",
            capture_output=False, stdout=out, stderr=out, timeout=PATIENCE,
        )  # fmt: skip
    assert done.returncode == 0, (bundle.path / "out").read_text()
    row = json.loads(vm("ls", "-f", "json").stdout)[0]
    assert (row["id"], row["status"], row["cpus"], row["memory"]) == (name, "running", 2, "200M")
    assert name in vm("ls").stdout
    argv = [str(machine.program), "--root", str(machine.root), "vm", "console", name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as console:
        assert console.stdout
        first = console.stdout.readline()
        assert vm("stop", name).returncode == 0
        assert "Linux version" in first + console.stdout.read()
        assert console.wait(PATIENCE) == 0
    assert machine.state(name)["status"] == "stopped"


def test_a_kernel_alone(machine: Isolated) -> None:
    """Its serial port is our standard output; without an initramfs it gets as far as that."""
    done = run(
        machine.program, "vm", "run", "--kernel", kernel.find().image, "--append", "minirun.alone", timeout=PATIENCE
    )
    assert "Linux version" in done.stdout and "minirun.alone" in done.stdout
    assert "Kernel panic - not syncing: VFS: Unable to mount root fs" in done.stdout
    assert done.returncode == 1 and done.stdout.endswith("minirun: panic\n")


def test_many_at_once(machine: Isolated, bundle: Bundle) -> None:
    """Four guests, all of which end well."""
    names = [machine.create(bundle.args("/bin/sh", "-c", "exit 0")) for _ in range(4)]
    assert [machine("start", name).returncode for name in names] == [0] * 4
    for name in names:
        wait_for(lambda name=name: machine.state(name)["status"] == "stopped", 60)  # type: ignore[misc]
        assert machine("delete", name).returncode == 0
    assert not run("pgrep", "-x", "minirun-vmm").stdout
