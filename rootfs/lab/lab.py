"""The lab: a virtual machine with the real thing (pure cgroup v2 with all controllers, a hardware-like KVM).

    python rootfs/lab/lab.py                   a root shell in the checkout
    python rootfs/lab/lab.py -- COMMAND ...    run a command there; its output and its exit code
    python rootfs/lab/lab.py --build | --pin   only make it ready | pin the kernel that apt offers today

It sees this machine's files as they are, and writes nowhere: what the command changes is forgotten when it ends
(but for /run/lab/artefacts).  Options: --systemd (systemd is its init), --selinux (in place of AppArmor; permissive,
and without a policy until somebody loads one), --timeout SECONDS, --silence SECONDS (how
long a command may say nothing).
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

PARENT = os.getppid()
sys.path.insert(0, str(Path(__file__).resolve().parent))

import kernel  # noqa: E402 (the path is set above)
import machine  # noqa: E402
import pin  # noqa: E402

MINUTES = 20
# Without the user's own start-up files: emulated sixteen times slower, some take a minute.
SHELL = r"PS1='lab:\w# ' exec bash --norc -i"
KERNEL_WORDS = {"--systemd": machine.SYSTEMD_WORDS, "--selinux": machine.SELINUX_WORDS}
NEEDED = {"qemu-system-x86_64": "qemu-system-x86", "setpriv": "util-linux", "depmod": "kmod", "mkfs.ext4": "e2fsprogs",
          "dpkg-deb": "dpkg"}  # fmt: skip


def main(argv: list[str]) -> int:
    machine.die_with_parent(PARENT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what is open is closed
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    words, command = split(argv)
    patience = machine.Patience(
        seconds=number(words, "--timeout", MINUTES * 60.0), silence=number(words, "--silence", 1e9)
    )
    unknown = set(words) - {"--build", "--pin", "--systemd", "--selinux"}
    if unknown:
        print(__doc__, file=sys.stderr)
        return 2
    lacking = [package for program, package in NEEDED.items() if not shutil.which(program)]
    if lacking:
        raise pin.LabError(f"packages are missing: apt-get install {' '.join(lacking)}")
    if "--pin" in words:
        pin.write_pin(kernel.CACHE / "pin")
        return 0
    lab = kernel.build()
    if "--build" in words:
        return 0
    person = not command
    if person and not os.isatty(0):
        raise pin.LabError("a shell needs a terminal; give a command instead")
    return machine.run(
        lab, command or SHELL, Path.cwd(), interactive=person, patience=patience,
        words=" ".join(text for option, text in KERNEL_WORDS.items() if option in words),
    )  # fmt: skip


def number(words: list[str], option: str, default: float) -> float:
    """The option's value; both are taken out of ``words``."""
    if option not in words:
        return default
    at = words.index(option)
    value = float(words[at + 1])
    del words[at : at + 2]
    return value


def split(argv: list[str]) -> tuple[list[str], str]:
    """Our options, and the command: one word is a shell's line, several are a command and its arguments."""
    if "--" not in argv:
        return argv, ""
    at = argv.index("--")
    rest = argv[at + 1 :]
    return argv[:at], rest[0] if len(rest) == 1 else shlex.join(rest)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except pin.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(machine.LOST)
    except KeyboardInterrupt:
        sys.exit(130)
