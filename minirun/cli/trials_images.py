"""What ``minirun doctor`` tries for images and networks: each in a child with namespaces of its own, gone with it.

The overlay is the one that containers get (``images.snapshot``); the network's parts are made by what
makes them there (``linux.link``, ``linux.nftables``): a bridge, a veth pair, a table that translates addresses.
"""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

from minirun.facts import Facts
from minirun.linux.namespaces import NEWNET, NEWNS, NEWUSER, unshare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MS_PRIVATE = 1 << 18
PRIORITY = 100  # srcnat


def apart(facts: Facts, flags: int, attempt: Callable[[], None]) -> str:
    """``attempt`` in a child with new namespaces, as root of a user namespace where we are not the host's root."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.write(writer, outcome(facts, flags, attempt).encode("utf-8", "replace")[:4000])
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as said:
        why = said.read()
    os.waitpid(pid, 0)
    return why


def outcome(facts: Facts, flags: int, attempt: Callable[[], None]) -> str:
    try:
        if facts.rootless:
            own_user(facts)
        unshare(flags)
        attempt()
    except OSError as error:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    except Exception as error:  # a child must not go on with its parent's work, whatever happened
        return str(error) or error.__class__.__name__
    return ""


def own_user(facts: Facts) -> None:
    """A user namespace in which we are root, and nobody else is."""
    unshare(NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {facts.euid} 1"), ("gid_map", f"0 {facts.egid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def overlay(facts: Facts, place: str) -> str:
    """Two layers and an upper on the storage's own file system, mounted as a container's root."""
    with TemporaryDirectory(prefix=".minirun-doctor-", dir=place) as folder:
        return apart(facts, NEWNS, lambda: mount_overlay(folder, facts.rootless))


def mount_overlay(folder: str, userxattr: bool) -> None:
    from minirun.images.snapshot import Snapshot

    for name in ("lower1", "lower2"):
        os.mkdir(f"{folder}/{name}")
        with open(f"{folder}/{name}/{name}", "w") as file:
            file.write(name)
    snapshot = Snapshot(f"{folder}/own", [f"{folder}/lower1", f"{folder}/lower2"], userxattr=userxattr)
    snapshot.prepare()
    make_private_all()
    snapshot.mount(f"{folder}/root")
    os.unlink(f"{folder}/root/lower2")  # a whiteout, and a file that comes up from below
    with open(f"{folder}/root/lower1", "a") as file:
        file.write("changed")
    snapshot.unmount(f"{folder}/root")
    snapshot.remove()


def make_private_all() -> None:
    """mount_setattr(2) on /: what is mounted from here on stays here."""
    from minirun.linux import mountfd

    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    mountfd.set_attributes(root, flags=mountfd.AT_RECURSIVE, propagation=MS_PRIVATE, path="/")
    os.close(root)


def links(facts: Facts) -> str:
    """A bridge, and a veth pair of which one end is on it."""
    return apart(facts, NEWNET, make_links)


def make_links() -> None:
    from minirun.linux import link, rtnetlink

    route = rtnetlink.Route()
    mac = b"\x02\x6d" + bytes(4)
    link.add_bridge(route, "br", mac, 1500)
    index = link.interface(route, "br").index
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    link.add_veth(route, "a", index, 1500, here, "b", mac)
    os.close(here)


def nftables(facts: Facts) -> str:
    """A table with a rule that translates addresses, in one transaction."""
    return apart(facts, NEWNET, make_table)


def make_table() -> None:
    from minirun.linux import nftables as nft

    batch = nft.Batch()
    batch.table("minirun")
    batch.chain("minirun", "out", "nat", nft.POSTROUTING, PRIORITY)
    batch.rule("minirun", "out", nft.masquerade())
    with nft.Tables() as tables:
        tables.commit(batch)


def mapped(place: str) -> str:
    """Can what lies on the storage's file system be seen with other ids (mount_setattr(2), MOUNT_ATTR_IDMAP)?"""
    from minirun.linux import mountfd

    own = "0 100000 65536"
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        tree = mountfd.open_tree(fd, 0, place)
        namespace = mountfd.user_namespace(own, own)
        mountfd.set_attributes(tree, flags=0, user_namespace=namespace, path=place)
    except OSError as error:
        return str(error.strerror)
    for opened in (fd, tree, namespace):
        os.close(opened)
    return ""
