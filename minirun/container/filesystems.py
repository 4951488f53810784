"""/mounts of config.json: docker's usual file systems, the container's own three files, and what was asked for.  PURE.

Usual ones come first, in an order that lets each lie in the one before; then what was asked for, the shallower first,
so that /srv does not cover /srv/data.  What is asked for takes the place of a usual one with the same target.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.container.record import Container

QUIET = ("nosuid", "noexec", "nodev")
SHM = "shm"  # a tmpfs in the directory of a container that shares it (--ipc shareable)
PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def usual(asked: dict[str, Any], storage: str, directory: str) -> list[dict[str, Any]]:
    """What every container has.  /dev/shm is a part of what an IPC namespace is to programs (shm_open(3))."""
    write = "rw" if asked["privileged"] else "ro"
    kind, other = asked["ipc"]
    found = [
        mount("/proc", "proc", "proc", *QUIET),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        mount("/sys", "sysfs", "sysfs", *QUIET, write),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", *QUIET, "relatime", write),
    ]
    if kind == "host":
        found.append(mount("/dev/mqueue", "bind", "/dev/mqueue", "bind", *QUIET))
    else:
        found.append(mount("/dev/mqueue", "mqueue", "mqueue", *QUIET))
    if kind == "private":
        found.append(mount("/dev/shm", "tmpfs", "shm", *QUIET, "mode=1777", f"size={asked['shmSize']}"))
    elif kind != "none":
        places = {"host": "/dev/shm", "container": f"{storage}/containers/{other}/{SHM}"}
        found.append(mount("/dev/shm", "bind", places.get(kind, f"{directory}/{SHM}"), "bind", *QUIET))
    return found


def own_files(directory: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    write = ("ro",) if asked["readonly"] else ()
    return [
        mount(f"/etc/{name}", "bind", f"{directory}/{name}", "bind", *write)
        for name in ("resolv.conf", "hostname", "hosts")
    ]


def wanted(entry: dict[str, Any], storage: str, parts: dict[str, str]) -> dict[str, Any]:
    """One that was asked for (``mounts.Wanted``); ``parts``: where a part of a volume was found (subpaths.py)."""
    options = list(entry["options"])
    if entry["kind"] == "tmpfs":
        return mount(entry["target"], "tmpfs", "tmpfs", "nosuid", "nodev", "noexec", *options)
    source = entry["source"]
    if entry["kind"] == "volume":
        source = f"{storage}/volumes/{source}/_data" + (f"/{entry['subpath']}" if entry["subpath"] else "")
        source = parts.get(entry["target"], source)
    if not any(option in PROPAGATION for option in options):
        options.append("rprivate")
    return mount(entry["target"], "bind", source, "rbind" if entry["recursive"] else "bind", *options)


def every(
    asked: dict[str, Any], storage: str, directory: str, network: str, parts: dict[str, str]
) -> list[dict[str, Any]]:
    """``network``: the directory of the container whose network, and so whose three files, this one has."""
    chosen = [wanted(entry, storage, parts) for entry in asked["mounts"]]
    targets = {entry["destination"] for entry in chosen}
    first = [*usual(asked, storage, directory), *own_files(network, asked)]
    first = [entry for entry in first if entry["destination"] not in targets]
    return first + sorted(chosen, key=lambda entry: entry["destination"].count("/"))


def in_user_namespace(mounts: list[dict[str, Any]], container: Container, storage: str) -> list[dict[str, Any]]:
    """What a user namespace may not mount is the host's, bound: a sysfs shows a network namespace, and a procfs a PID
    namespace, that must be its own.  What belongs to containers is id-mapped: on the disk root is root, for all.
    """
    found = []
    for entry in mounts:
        kind, options = entry["type"], entry["options"]
        if (kind == "sysfs" and container.network not in ("none", "networks")) or (
            kind == "proc" and container.asked["pid"][0] == "host"
        ):
            options = ["rro" if option == "ro" else option for option in options]  # what is mounted below it, too
            entry = mount(entry["destination"], "bind", entry["destination"], "rbind", "rslave", *options)
        elif kind == "bind" and entry["source"].startswith((f"{storage}/volumes/", f"{storage}/containers/")):
            entry = {**entry, "options": [*options, "idmap"]} if not entry["source"].endswith(f"/{SHM}") else entry
        found.append(entry)
    return found


def propagation(mounts: list[dict[str, Any]]) -> str:
    """Of the rootfs: what comes in from the host must be able to reach the binds that ask for it."""
    words = {option.lstrip("r") for entry in mounts for option in entry["options"] if option in PROPAGATION}
    return "rshared" if "shared" in words else "rslave" if "slave" in words else "rprivate"
