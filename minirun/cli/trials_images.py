"""What ``minirun doctor`` tries for images and networks: each in a child with namespaces of its own, gone with it.

The overlay is the one that containers get (``images.snapshot``); the network's parts are made by the messages that
make them: a bridge, a veth pair, a table with a chain for addresses.
"""

from __future__ import annotations

import os
import socket
from struct import pack
from tempfile import TemporaryDirectory

from minirun.facts import Facts
from minirun.linux.namespaces import NEWNET, NEWNS, NEWUSER, unshare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NETLINK_NETFILTER = 12
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN = 16, 17, 0xA00, 0xA03
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NESTED = 1, 4, 0x400, 0x200, 0x8000
MS_PRIVATE = 1 << 18
NFPROTO_INET, NFPROTO_UNSPEC, NF_INET_POST_ROUTING, PRIORITY = 1, 0, 4, 100


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
    from minirun.linux.rtnetlink import IFLA_IFNAME, LINK, NUMBER, RTM_NEWLINK, RTM_SETLINK, Route, attribute

    info, kind, data, peer, master = (
        18,
        1,
        2,
        1,
        10,
    )  # IFLA_LINKINFO, IFLA_INFO_KIND, _DATA, VETH_INFO_PEER, IFLA_MASTER
    route = Route()
    nothing = LINK.pack(0, 0, 0, 0, 0)

    def named(name: str) -> bytes:
        return attribute(IFLA_IFNAME, name.encode() + b"\0")

    route.ask(
        RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, nothing + named("br") + attribute(info, attribute(kind, b"bridge"))
    )
    pair = attribute(kind, b"veth") + attribute(data, attribute(peer, nothing + named("b")))
    route.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, nothing + named("a") + attribute(info, pair))
    body = LINK.pack(0, 0, route.link("a").index, 0, 0) + attribute(master, NUMBER.pack(route.link("br").index))
    route.ask(RTM_SETLINK, 0, body)


def nftables(facts: Facts) -> str:
    """A table with a chain that translates addresses, in one transaction."""
    return apart(facts, NEWNET, make_table)


def make_table() -> None:
    from minirun.linux.rtnetlink import attribute

    def message(number: int, kind: int, flags: int, family: int, body: bytes = b"", resource: int = 0) -> bytes:
        content = pack("=BB", family, 0) + pack(">H", resource) + body
        return pack("=IHHII", 16 + len(content), kind, NLM_F_REQUEST | flags, number, 0) + content

    table = attribute(1, b"minirun\0")
    hook = attribute(1, pack(">I", NF_INET_POST_ROUTING)) + attribute(2, pack(">i", PRIORITY))
    chain = attribute(1, b"minirun\0") + attribute(3, b"out\0") + attribute(4 | NESTED, hook) + attribute(7, b"nat\0")
    batch = [
        message(0, NFNL_MSG_BATCH_BEGIN, 0, NFPROTO_UNSPEC, resource=10),
        message(1, NFT_MSG_NEWTABLE, NLM_F_ACK | NLM_F_CREATE, NFPROTO_INET, table),
        message(2, NFT_MSG_NEWCHAIN, NLM_F_ACK | NLM_F_CREATE, NFPROTO_INET, chain),
        message(3, NFNL_MSG_BATCH_END, 0, NFPROTO_UNSPEC, resource=10),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        netlink.settimeout(5)
        netlink.send(b"".join(batch))
        for _ in range(2):
            answer = netlink.recv(8192)
            number = -int.from_bytes(answer[16:20], "little", signed=True)
            if number:
                raise OSError(number, os.strerror(number))


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
