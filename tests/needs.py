"""What a test cannot run without, probed by trying: ``@pytest.mark.needs("root", "kvm")``.

A skip says why; ``MINIRUN_REQUIRE=root,kvm`` turns it into a failure.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUSYBOX = Path("/bin/busybox")


def run(*argv: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """A command, its output as text, at most a minute."""
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL, **more}
    return subprocess.run([str(word) for word in argv], **options)


def can_root() -> str:
    if os.geteuid() != 0:
        return "not root"
    tried = run("unshare", "-m", "true")
    return "" if tried.returncode == 0 else f"no mount namespace: {tried.stderr.strip()}"


def can_userns() -> str:
    tried = run("unshare", "-U", "-r", "-m", "true", **({"user": 65534, "group": 65534} if os.geteuid() == 0 else {}))
    return "" if tried.returncode == 0 else f"no user namespace for an ordinary user: {tried.stderr.strip()}"


def can_busybox() -> str:
    if not BUSYBOX.exists():
        return "no static busybox (package busybox-static)"
    # The path of a loader stands near the beginning of every dynamically linked program (elf(5), PT_INTERP).
    return "busybox is linked dynamically" if b"/ld-linux" in BUSYBOX.read_bytes()[:8192] else ""


def has(*programs: str) -> str:
    lacking = [program for program in programs if not shutil.which(program)]
    return f"no {' and no '.join(lacking)} in PATH" if lacking else ""


def can_lab() -> str:
    """Can the lab VM be booted?  Builds it, if it is not there yet."""
    if "MINIRUN_IN_LAB" in os.environ:
        return "this is the lab"
    tried = run(sys.executable, ROOT / "rootfs" / "lab" / "lab.py", "--build", timeout=300)
    return "" if tried.returncode == 0 else tried.stderr.strip()


def can_systemd() -> str:
    from tests.integration.booted import why_not

    return why_not()


def can_seccomp() -> str:
    """Filters can be compiled: libseccomp, and our extension for it."""
    from minirun.errors import MinirunError

    try:
        from minirun.linux import libseccomp  # noqa: F401 (the import is the question)
    except MinirunError as error:
        return error.reason
    return ""


def can_suites() -> str:
    """The peers' suites, from the distribution's source packages."""
    from tests.bench.peers import Unavailable, own_suite
    from tests.conformance.suites import CrunSuite, RuncSuite

    try:
        CrunSuite(own_suite())
        RuncSuite(own_suite(), debian=False)
    except Unavailable as problem:
        return str(problem)
    return ""


def can_kvm() -> str:
    """A machine can be made, and its processor comes back from one instruction."""
    from minirun.vm import ladder

    try:
        result = ladder.climb(ladder.RUNGS[0])
    except OSError as error:
        return f"no KVM: {error}"
    return result.why()


def can_guest() -> str:
    """There is a kernel for guests."""
    from minirun.errors import MinirunError
    from minirun.vm import kernel

    try:
        kernel.find()
    except MinirunError as error:
        return str(error)
    return ""


def can_nftables() -> str:
    """A table can be made, in a network namespace of its own."""
    tried = run("unshare", "-n", "nft", "add", "table", "inet", "minirun") if shutil.which("nft") else None
    return "no nft in PATH" if tried is None else tried.stderr.strip() if tried.returncode else ""


def can_tun() -> str:
    """The device that pasta and slirp4netns make their end of a network with."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"/dev/net/tun: {error.strerror} (modprobe tun)"
    return ""


PROBES: dict[str, Callable[[], str]] = {
    "root": can_root,
    "userns": can_userns,
    "busybox": can_busybox,
    "uidmap": lambda: "" if Path("/usr/bin/newuidmap").exists() else "no newuidmap (package uidmap)",
    "runc": lambda: has("runc"),
    "crun": lambda: has("crun"),
    "clang": lambda: has("clang"),
    "clang-format": lambda: has("clang-format"),
    "strace": lambda: has("strace"),
    "ip": lambda: has("ip"),
    "checkpolicy": lambda: has("checkpolicy"),
    "compiler": lambda: has("cc"),
    "vagrant": lambda: has("vagrant"),
    "mmdebstrap": lambda: has("mmdebstrap"),
    "debootstrap": lambda: has("debootstrap"),
    "setpriv": lambda: has("setpriv"),
    "shellcheck": lambda: has("shellcheck"),
    "lab": can_lab,
    "guest": can_guest,
    "systemd": can_systemd,
    "suites": can_suites,
    "seccomp": can_seccomp,
    "containerd": lambda: has("containerd", "ctr"),
    "podman": lambda: has("podman", "conmon", "catatonit", "/usr/lib/podman/netavark"),
    "buildah": lambda: has("buildah"),
    "umoci": lambda: has("umoci"),
    "skopeo": lambda: has("skopeo"),
    "docker": lambda: has("dockerd", "docker"),
    "kvm": can_kvm,
    "tun": can_tun,
    "pasta": lambda: has("pasta"),
    "slirp4netns": lambda: has("slirp4netns"),
    "nftables": can_nftables,
    "cni": lambda: has("iptables", "/usr/lib/cni/bridge", "/usr/lib/cni/host-local", "/usr/lib/cni/portmap"),
    "registry": lambda: has("docker-registry"),
    "htpasswd": lambda: has("htpasswd"),
    "openssl": lambda: has("openssl"),
}


@functools.cache
def missing(name: str) -> str:
    return PROBES[name]()


def require(*names: str) -> None:
    """Skip the test unless every need is met; fail instead where MINIRUN_REQUIRE names it."""
    for name in names:
        reason = missing(name)
        if reason:
            lacking(name, reason)


def lacking(name: str, reason: str) -> NoReturn:
    """A need is not met, as a fixture may find out only when it tries."""
    if name in os.environ.get("MINIRUN_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required here: {reason}", pytrace=False)
    pytest.skip(reason)
