"""The peers' suites from the distribution's source packages, and the Go programs that runc's needs.

Everything is below ``.cache/conformance/SUITE`` (a release's code name), got as ``tests/bench/peers.py`` gets crun:
with apt, in a corner of its own with its own lists, so that the machine's sources stay as they are and apt checks
every signature.

    source/NAME   the source package, unpacked and patched by ``apt-get source`` (dpkg-source(1))
    tools/        recvtty, sd-helper, seccompagent: runc's own, compiled with the release's Go and its -dev packages
    images/       what the bats' containers are made of

Each is made once; remove the folder to start afresh.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.bench import peers
from tests.bench.peers import Unavailable
from tests.needs import BUSYBOX, ROOT

CACHE = ROOT / ".cache" / "conformance"
TOOLS = {"recvtty": [], "sd-helper": [], "seccompagent": ["-tags", "seccomp"]}
GO_PACKAGES = ["golang-go", "golang-github-opencontainers-runc-dev", "libseccomp-dev"]
PASSWD = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:/bin/false\nnobody:x:65534:65534::/home:/bin/false\n"
GROUP = "root:x:0:\ndaemon:x:1:\nadm:x:4:\ntty:x:5:\nusers:x:100:\nnogroup:x:65534:\n"


def source(package: str, suite: str) -> Path:
    """The unpacked source package.  Raises Unavailable with the step that failed."""
    target = CACHE / suite / "source" / package
    if target.exists():
        return target
    corner = CACHE / suite / f"apt-{package}"
    if not shutil.which("dpkg-source"):
        raise Unavailable("no dpkg-source (package dpkg-dev)")
    try:
        peers.fetch(corner, suite, ["source", package], kind="deb-src")
        unpacked = [path for path in corner.glob(f"{package}-*") if path.is_dir()]
        if len(unpacked) != 1:
            raise Unavailable(f"apt-get source {package} unpacked {len(unpacked)} directories")
        target.parent.mkdir(parents=True, exist_ok=True)
        unpacked[0].rename(target)
    finally:
        shutil.rmtree(corner, ignore_errors=True)
    return target


def version(unpacked: Path) -> str:
    """From debian/changelog: ``crun (1.8.1-1+deb12u1) bookworm; urgency=...``."""
    return (unpacked / "debian" / "changelog").read_text().partition("(")[2].partition(")")[0]


def tools(runc: Path, suite: str) -> Path:
    """A folder with the programs of TOOLS.  Raises Unavailable if one cannot be compiled."""
    target = CACHE / suite / "tools"
    if all((target / name).exists() for name in TOOLS):
        return target
    corner = CACHE / suite / "go"
    try:
        peers.fetch(corner, suite, ["install", "--yes", "--download-only", *GO_PACKAGES])
        root = corner / "root"
        for package in sorted((corner / "cache" / "archives").glob("*.deb")):
            if package.name.startswith(("golang-", "libseccomp")):
                peers.command(["dpkg", "-x", str(package), str(root)])
        target.mkdir(parents=True, exist_ok=True)
        for name, flags in TOOLS.items():
            build(root, runc / "contrib" / "cmd" / name, flags, target / name)
    finally:
        shutil.rmtree(corner, ignore_errors=True)
    return target


def build(root: Path, package: Path, flags: list[str], target: Path) -> None:
    """go build(1), in GOPATH mode: the -dev packages are a GOPATH, no module is looked for on a network."""
    go = next((root / "usr" / "lib").glob("go-*"), None)
    if go is None:
        raise Unavailable("the packages of Go bring no /usr/lib/go-*")
    path = root / "path" / "src" / "github.com" / "opencontainers" / "runc"
    if not path.exists():
        path.parent.mkdir(parents=True)
        path.symlink_to(package.parents[2])
    libraries = next((root / "usr" / "lib").glob("*-linux-gnu"), root)
    environment = {
        **os.environ,
        "GOROOT": str(go), "GOPATH": f"{root}/path:{root}/usr/share/gocode", "GO111MODULE": "off", "GOPROXY": "off",
        "GOCACHE": str(root / "build"), "CGO_ENABLED": "1",
        "PKG_CONFIG_SYSROOT_DIR": str(root), "PKG_CONFIG_PATH": f"{libraries}/pkgconfig",
    }  # fmt: skip
    done = subprocess.run(
        [str(go / "bin" / "go"), "build", *flags, "-o", str(target), "."],
        cwd=path / "contrib" / "cmd" / package.name, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise Unavailable(f"{package.name} cannot be compiled: {done.stderr.strip()[-300:]}")


def busybox_image(suite: str) -> Path:
    """A tar file with the machine's static busybox, laid out as the image that runc's suite would download."""
    target = CACHE / suite / "images" / "busybox.tar"
    if target.exists():
        return target
    tree = target.with_suffix(".part")
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "dev", "etc", "home", "lib", "root", "tmp", "usr/bin", "usr/sbin", "var/spool/mail", "var/www"):
        (tree / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, tree / "bin" / "busybox")
    for applet in peers.command([str(BUSYBOX), "--list"]).split():
        if applet != "busybox":
            os.link(tree / "bin" / "busybox", tree / "bin" / applet)
    (tree / "tmp").chmod(0o1777)
    (tree / "root").chmod(0o700)
    (tree / "etc" / "passwd").write_text(PASSWD)
    (tree / "etc" / "group").write_text(GROUP)
    return packed(tree, target)


def debian_image(suite: str) -> Path:
    """A tar file with debootstrap's smallest variant; from the mirror that debootstrap(8) takes by itself."""
    target = CACHE / suite / "images" / "debian.tar"
    if target.exists():
        return target
    if not shutil.which("debootstrap"):
        raise Unavailable("no debootstrap in PATH")
    tree = target.with_suffix(".part")
    shutil.rmtree(tree, ignore_errors=True)
    tree.parent.mkdir(parents=True, exist_ok=True)
    peers.command(["debootstrap", "--variant=minbase", suite, str(tree)])
    return packed(tree, target)


def packed(tree: Path, target: Path) -> Path:
    peers.command(["tar", "-C", str(tree), "-cf", str(target) + ".new", "."])
    os.rename(str(target) + ".new", target)
    shutil.rmtree(tree)
    return target
