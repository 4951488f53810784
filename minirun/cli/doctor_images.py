"""The doctor's part about containers from images: where they are kept, overlays, certificates, tools for recipes."""

from __future__ import annotations

import os
import shutil

from minirun.cli import trials_images as trials
from minirun.cli.doctor import LIMITED, OK, Finding
from minirun.facts import Facts, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ENOUGH = 1 << 30  # of free space: a Debian image, unpacked, a few times
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
RECIPES = {"busybox": ("busybox-static", ("/bin/busybox", "/usr/bin/busybox")), "debian": ("mmdebstrap", ())}


def images(facts: Facts, storage: str) -> Iterator[Finding]:
    yield kept(storage)
    place = nearest(storage)
    if os.access(place, os.W_OK):
        why = trials.overlay(facts, place)
        hint = "modprobe overlay; or --storage on ext4, xfs or btrfs: another overlay or NFS takes no upper directory"
        if facts.rootless:
            hint = "a kernel of at least 5.11, and user namespaces with mounts in them; " + hint
        found = why or "layers one by one, an upper on the storage, " + (
            "user.* attributes" if facts.rootless else "as root"
        )
        yield Finding(name="overlay", status=LIMITED if why else OK, found=found, hint=hint if why else "")
        if not facts.rootless:
            why = trials.mapped(place)
            hint = "--storage on ext4, xfs or btrfs; only --userns needs it"
            found = (
                f"{file_system(place)} cannot: {why}" if why else f"{file_system(place)} shows layers with other ids"
            )
            yield Finding(name="id-mapped layers", status=LIMITED if why else OK, found=found, hint=hint if why else "")
    yield certificates()
    yield recipes()


def nearest(path: str) -> str:
    """The path itself, or what is there above it."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def kept(storage: str) -> Finding:
    place = nearest(storage)
    free = os.statvfs(place)
    room = free.f_bavail * free.f_frsize
    found = f"{storage} on {file_system(place)}, {room / 1e9:.1f} GB free"
    found += "" if place == storage else " (made when first needed)"
    if not os.access(place, os.W_OK):
        hint = "--storage DIR or MINIRUN_STORAGE names another place"
        return Finding(name="storage", status=LIMITED, found=f"{found}; not ours to write", hint=hint)
    hint = "minirun system prune, or --storage on another disk" if room < ENOUGH else ""
    return Finding(name="storage", status=LIMITED if hint else OK, found=found, hint=hint)


def file_system(path: str) -> str:
    """Its type, by the longest mount point that the path begins with (proc_pid_mountinfo(5))."""
    path = os.path.realpath(path)
    best, kind = "", "?"
    for line in read_all("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def read_all(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def certificates() -> Finding:
    """What a registry's TLS certificate is checked against."""
    given = os.environ.get("SSL_CERT_FILE", "")
    found = next((path for path in (given, *BUNDLES) if path and os.path.exists(path)), "")
    if not found:
        hint = "install the package ca-certificates; only image pull and push need it"
        return Finding(
            name="certificates", status=LIMITED, found="none that a registry's could be checked by", hint=hint
        )
    number = read_all(found).count("BEGIN CERTIFICATE")
    return Finding(name="certificates", status=OK, found=f"{number} authorities in {found}")


def recipes() -> Finding:
    """What ``image build-rootfs`` can make here."""
    made, lacking = ["host"], []
    if any(os.path.exists(path) for path in ("/bin/busybox", "/usr/bin/busybox")):
        made.append("busybox")
    else:
        lacking.append("busybox-static for busybox")
    if shutil.which("mmdebstrap") or (
        os.geteuid() == 0 and shutil.which("debootstrap", path="/usr/sbin:/sbin:/usr/bin")
    ):
        made.append("debian")
    else:
        lacking.append("mmdebstrap for debian")
    found = f"{' '.join(sorted(made))} can be built"
    hint = f"install the package {'; the package '.join(lacking)}" if lacking else ""
    return Finding(name="recipes", status=LIMITED if lacking else OK, found=found, hint=hint)


def networks(facts: Facts) -> Iterator[Finding]:
    why = trials.links(facts)
    hint = "a kernel with CONFIG_BRIDGE and CONFIG_VETH (modprobe bridge veth); --net none and host need neither"
    found = why or "a bridge and a veth pair can be made"
    yield Finding(name="bridge", status=LIMITED if why else OK, found=found, hint=hint if why else "")
    why = trials.nftables(facts)
    hint = "a kernel with CONFIG_NF_TABLES, CONFIG_NFT_NAT and CONFIG_NFT_MASQ (modprobe nf_tables nft_chain_nat)"
    found = why or "a table with a rule that translates addresses, in one transaction"
    yield Finding(name="nftables", status=LIMITED if why else OK, found=found, hint=hint if why else "")
    yield forwarding()
    yield passer()


TUN = "/dev/net/tun"


def forwarding() -> Finding:
    """The one switch of the host's that a bridge to the outside needs; who turns it on is said in docs/network.md."""
    on = read("/proc/sys/net/ipv4/ip_forward").strip() == "1"
    six = read("/proc/sys/net/ipv6/conf/all/forwarding").strip() == "1"
    states = f"IPv4 {'on' if on else 'off'}, IPv6 {'on' if six else 'off'}"
    found = states if on and six else f"{states}; turned on when a network first needs it"
    return Finding(name="forwarding", status=OK, found=found)


def passer() -> Finding:
    """Who carries an ordinary user's packets."""
    found = [name for name in ("pasta", "slirp4netns") if shutil.which(name)]
    if found and not os.access(TUN, os.R_OK | os.W_OK):
        said = f"{' '.join(found)}, but {TUN} cannot be opened: an ordinary user's containers have --net none or host"
        return Finding(name="users' networks", status=LIMITED, found=said, hint=f"modprobe tun; chmod 0666 {TUN}")
    hint = "" if found else "install the package passt (or slirp4netns); only ordinary users need it"
    said = " ".join(found) or "neither pasta nor slirp4netns: an ordinary user's containers have --net none or host"
    return Finding(name="users' networks", status=OK if found else LIMITED, found=said, hint=hint)
