"""One run of the lab: QEMU around a command, its output as it comes, its exit code, and nothing left behind.

QEMU dies with us (setpriv --pdeathsig), and we with whoever started us (prctl): there is no way to be killed that
leaves a machine running.  Everything of a run is in one folder, ``.cache/lab/run-PID``; the next run removes those
whose process is gone.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kernel import CACHE, ROOT
from pin import HERE, LabError

PR_SET_PDEATHSIG = 1
BOOT = 180.0  # seconds until the command's first word
LOST = 125  # the lab itself failed, as minirun's own 125
PASSED_ON = ("MINIRUN_REQUIRE", "CI", "TERM", "NO_COLOR", "LANG")
KERNEL_WORDS = "console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests tsc=reliable psi=1 rdinit=/init"

SELINUX_WORDS = "security=selinux selinux=1 enforcing=0"
SYSTEMD_WORDS = "lab.init=systemd systemd.unit=minirun-lab.service fstab=no systemd.show_status=no"


def die_with_parent(parent: int) -> None:
    """SIGTERM to us when the process that started us ends, however it ends (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before we asked
        raise SystemExit(LOST)


def accelerator() -> str:
    """KVM where the processor has it; a /dev/kvm that emulates kernel mode is slower than QEMU's own emulation.

    Such a paravirtual kind shows neither vmx nor svm in /proc/cpuinfo. MINIRUN_LAB_ACCEL=kvm or tcg decides.
    """
    asked = os.environ.get("MINIRUN_LAB_ACCEL", "")
    if asked:
        return asked
    words = set(Path("/proc/cpuinfo").read_text().split())
    real = os.access("/dev/kvm", os.R_OK | os.W_OK) and words & {"vmx", "svm"}
    return "kvm" if real else "tcg"


def command_line(lab: Path, share: Path, *, interactive: bool, words: str) -> list[str]:
    """QEMU's argv: two processors, 2 GiB, no network, the machine's files read-only over 9p, one forgetful disk."""
    accelerated = ("kvm", "host") if accelerator() == "kvm" else ("tcg,thread=multi", "max")
    port = "virtconsole" if interactive else "virtserialport,name=lab"
    out = "stdio,id=out,signal=off" if interactive else "fd,id=out"
    return [
        "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-name", "minirun-lab", "-M", "q35", "-smp", "2",
        "-m", "2048", "-accel", accelerated[0], "-cpu", accelerated[1],
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(lab / "vmlinux"), "-initrd", str(lab / "initramfs"), "-append", f"{KERNEL_WORDS} {words}",
        "-chardev", f"file,id=log,path={comma(share.parent / 'console')}", "-serial", "chardev:log",
        "-device", "virtio-serial-pci", "-chardev", out, "-device", f"{port},chardev=out",
        "-virtfs", "local,path=/,mount_tag=machine,security_model=none,readonly=on,multidevs=remap",
        "-virtfs", f"local,path={comma(share)},mount_tag=lab,security_model=none",
        "-drive", f"file={comma(lab / 'disk')},format=raw,if=virtio,snapshot=on",
    ]  # fmt: skip


def comma(path: Path) -> str:
    """QEMU's options end at a comma; a doubled one is a comma."""
    return str(path).replace(",", ",,")


@contextmanager
def run_folder() -> Iterator[Path]:
    """Ours alone, gone afterwards; those of runs that were killed go first."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob("run-*"):
        if not Path(f"/proc/{old.name[4:]}").exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = CACHE / f"run-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(share: Path, lab: Path, command: str, cwd: Path) -> None:
    """What guest.sh reads."""
    share.mkdir()
    for name in ("guest.sh", "minirun-lab.service"):
        shutil.copy(HERE / name, share)
    if set(str(ROOT)) & set(",:\\"):
        raise LabError(f"the checkout's path has a character that overlayfs keeps for itself: {ROOT}")
    (share / "tree").write_text(str(ROOT))
    (share / "release").write_text((lab / "release").read_text())
    (share / "modules").write_text(str(lab / "lib" / "modules" / (lab / "release").read_text()))
    (share / "cwd").write_text(str(cwd))
    (share / "command").write_text(command + "\n")
    size = shutil.get_terminal_size()
    (share / "rows").write_text(str(size.lines))
    (share / "columns").write_text(str(size.columns))
    given = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    (share / "environment").write_text("".join(f"export {n}={shlex.quote(v)}\n" for n, v in given.items()))


class Patience(NamedTuple):
    """How long the whole may take, and how long nothing may be heard: a lab that stands still says nothing more."""

    seconds: float
    silence: float


def run(lab: Path, command: str, cwd: Path, *, interactive: bool, patience: Patience, words: str = "") -> int:
    """Boot, run ``command`` by a shell, power off.  Its exit code; LOST (with the console's end) if there is none."""
    with run_folder() as folder:
        share = folder / "share"
        prepare(share, lab, command, cwd)
        argv = command_line(lab, share, interactive=interactive, words=words)
        try:
            boot(argv, interactive, patience)
            code = int((share / "code").read_text())
        except (OSError, ValueError):
            show("console", folder / "console")
            raise LabError("the lab ended without an exit code; its console is above") from None
        except LabError:
            show("console", folder / "console")
            raise
        if code and not interactive:
            show("dmesg", share / "dmesg")
        keep(share)
        return code


def boot(argv: list[str], interactive: bool, patience: Patience) -> None:
    """Until the machine is off, or the time is up."""
    if interactive:
        saved = termios.tcgetattr(0)
        try:
            subprocess.run(argv)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        return
    ours, theirs = os.pipe()
    argv = [word if word != "fd,id=out" else f"file,id=out,path=/dev/fd/{theirs}" for word in argv]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=(theirs,))
    os.close(theirs)
    heard = [time.monotonic()]
    pump = threading.Thread(target=copy, args=(ours, heard), daemon=True)
    pump.start()
    wait(process, patience, heard)
    pump.join(10)


def wait(process: subprocess.Popen[bytes], patience: Patience, heard: list[float]) -> None:
    end = heard[0] + patience.seconds
    try:
        while process.poll() is None:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                now = time.monotonic()
                if now > end:
                    raise LabError(f"the lab took longer than {patience.seconds:.0f} s") from None
                silence = patience.silence if heard[1:] else max(patience.silence, BOOT)
                if now > heard[-1] + silence:
                    raise LabError(f"nothing was heard from the lab for {silence:.0f} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def copy(pipe: int, heard: list[float]) -> None:
    """The command's output as it comes; ``heard`` is when it began, and when the last came."""
    while data := os.read(pipe, 65536):
        heard[1:] = [time.monotonic()]
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    os.close(pipe)


def show(name: str, path: Path, lines: int = 40) -> None:
    """The end of a file of the run, for whoever has to find out."""
    text = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
    if text:
        print(f"---- the lab's {name}, its last {len(text)} lines", *text, "----", sep="\n", file=sys.stderr)


def keep(share: Path) -> None:
    """What tests left in /run/lab/artefacts outlives the run, in .cache/lab/artefacts."""
    target = CACHE / "artefacts"
    shutil.rmtree(target, ignore_errors=True)
    if (share / "artefacts").is_dir():
        shutil.copytree(share / "artefacts", target, symlinks=True)
        print(f"lab: artefacts are in {target}", file=sys.stderr)
