"""The rows about ids: helpers that refuse, namespaces that are somebody else's; they enter themselves."""

from __future__ import annotations

import os
import subprocess

from tests.conftest import Bundle, Runtime, base_config, require
from tests.integration.people import Account, account
from tests.integration.provocations import Done, as_if, move_into_the_open, provokes, user_namespace, without_mounts
from tests.integration.seen import wait_for


def by_an_ordinary_user(minirun: Runtime, bundle: Bundle, who: Account, gid: int, *rows: tuple[int, int, int]) -> Done:
    bundle.config = base_config(rootless=True, uid=who.uid, gid=who.gid)
    members = ("containerID", "hostID", "size")
    bundle.config["linux"]["uidMappings"] = [dict(zip(members, row, strict=True)) for row in rows]
    move_into_the_open(minirun, bundle)
    os.chown(minirun.root, who.uid, gid)
    return as_if(minirun, bundle, "setpriv", "--reuid", str(who.uid), "--regid", str(gid), "--clear-groups")


@provokes("maps-range", "/linux/uidMappings")
def ids_of_somebody_else(minirun: Runtime, bundle: Bundle) -> Done:
    """The first range is the user's, the second is not: the command that is shown gives the second."""
    require("uidmap", "userns")
    with account() as who:
        foreign = who.first + who.size
        done = by_an_ordinary_user(
            minirun, bundle, who, who.gid, (0, who.uid, 1), (1, who.first, 10), (11, foreign, 100)
        )  # fmt: skip
        assert f"[{foreign}-{foreign + 100}) not allowed" in done.stderr, "newuidmap's own words"
        assert f"usermod --add-subuids {foreign}-{foreign + 99} {who.name}\n" in done.stderr
        assert "host, newuidmap(1) -> EPERM" in done.stderr
        return done


@provokes("maps-accounts", "/linux/uidMappings")
def the_hosts_root(minirun: Runtime, bundle: Bundle) -> Done:
    require("uidmap", "userns")
    with account() as who:
        done = by_an_ordinary_user(minirun, bundle, who, who.gid, (0, 0, 1))
        assert "[0-1) not allowed" in done.stderr and "usermod" not in done.stderr
        return done


@provokes("maps-helper", "/linux/uidMappings")
def a_group_that_is_not_his_own(minirun: Runtime, bundle: Bundle) -> Done:
    require("uidmap", "userns")
    with account() as who:
        done = by_an_ordinary_user(minirun, bundle, who, 65534, (0, who.uid, 1), (1, who.first, 10))
        assert "owned by a different user" in done.stderr
        return done


@provokes("user-unmapped", "/process/user")
def unmapped_user_of_a_joined_namespace(minirun: Runtime, bundle: Bundle) -> Done:
    """A new namespace's mappings are looked at before anything is begun; a joined one's only the kernel knows."""
    user_namespace(bundle, size=1)
    without_mounts(bundle, "/dev/pts")  # gid=5 is not mapped either
    first = minirun.start(bundle.args("/probe", "pause"))
    bundle.config["linux"]["namespaces"][-1]["path"] = f"/proc/{minirun.state(first)['pid']}/ns/user"
    bundle.config["process"]["user"] = {"uid": 5, "gid": 0}
    return minirun.run(bundle)


@provokes("user-groups", "/process/user")
def groups_where_they_are_denied(minirun: Runtime, bundle: Bundle) -> Done:
    without_mounts(bundle, "/dev/pts")
    with subprocess.Popen(["unshare", "-U", "-r", "sleep", "60"]) as other:
        try:
            wait_for(lambda: os.readlink(f"/proc/{other.pid}/ns/user") != os.readlink("/proc/self/ns/user"))
            wait_for(lambda: open(f"/proc/{other.pid}/gid_map").read())  # noqa: SIM115
            bundle.config["linux"]["namespaces"].append({"type": "user", "path": f"/proc/{other.pid}/ns/user"})
            bundle.config["process"]["user"]["additionalGids"] = [0]
            return minirun.run(bundle)
        finally:
            other.kill()


@provokes("join-denied", "/linux/namespaces/6/path")
def the_hosts_network(minirun: Runtime, bundle: Bundle) -> Done:
    require("userns")
    bundle.config = base_config(rootless=True, uid=65534, gid=65534)
    bundle.config["linux"]["namespaces"].append({"type": "network", "path": "/proc/self/ns/net"})
    move_into_the_open(minirun, bundle)
    return as_if(minirun, bundle, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
