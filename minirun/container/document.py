"""What ``container inspect`` prints: docker's members, as far as minirun has what they say, and our own record."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.container.record import Container, Status
    from minirun.container.shelf import Shelf

NEVER = "0001-01-01T00:00:00Z"  # as docker writes it: scripts read it as a time


def document(shelf: Shelf, container: Container, status: Status) -> dict[str, Any]:
    from minirun.container.bundle import hostname

    asked = container.asked
    directory = shelf.directory(container.id)
    return {
        "Id": container.id,
        "Created": container.created,
        "Path": container.command[0] if container.command else "",
        "Args": container.command[1:],
        "State": state(status),
        "Image": container.imageId,
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": f"{directory}/log" if container.logDriver == "json-file" else "",
        "Name": container.name,
        "RestartCount": status.restarts,
        "Driver": "overlay",
        "Platform": "linux",
        "HostConfig": host_config(container),
        "GraphDriver": {"Name": "overlay", "Data": layers(shelf, container)},
        "Mounts": [mount(shelf, entry) for entry in asked["mounts"]],
        "Config": config(container, hostname(container)),
        "NetworkSettings": network(container, status),
        "Minirun": {
            "isolation": container.isolation or "container",
            "asked": {name: value for name, value in asked.items() if name != "seccompProfile"},
        },
    }


def layers(shelf: Shelf, container: Container) -> dict[str, str]:
    lowers = [f"{shelf.storage}/layers/{chain.partition(':')[2]}/fs" for chain in container.layers]
    directory = shelf.directory(container.id)
    return {
        "LowerDir": ":".join(lowers),
        "MergedDir": shelf.rootfs(container.id),
        "UpperDir": f"{directory}/upper",
        "WorkDir": f"{directory}/work",
    }


def config(container: Container, hostname: str) -> dict[str, Any]:
    asked, image = container.asked, container.imageConfig
    return {
        "Hostname": hostname,
        "Domainname": asked["domainname"],
        "User": asked["user"] or image.get("User", ""),
        "Tty": container.tty,
        "OpenStdin": container.stdin,
        "Env": env(container),
        "Cmd": asked["args"] or image.get("Cmd"),
        "Entrypoint": asked.get("entrypoint", image.get("Entrypoint")),
        "Image": container.image,
        "WorkingDir": asked["workdir"] or image.get("WorkingDir", ""),
        "Labels": container.labels,
        "ExposedPorts": image.get("ExposedPorts") or {},
        "StopSignal": container.stopSignal or "SIGTERM",
        "StopTimeout": container.stopTimeout,
        "Volumes": image.get("Volumes"),
    }


def env(container: Container) -> list[str]:
    made = {}
    for word in [*(container.imageConfig.get("Env") or []), *container.asked["env"]]:
        name, _, value = word.partition("=")
        made[name] = value
    return [f"{name}={value}" for name, value in made.items()]


def state(status: Status) -> dict[str, Any]:
    alive = status.status in ("running", "paused")
    return {
        "Status": status.status,
        "Running": alive,
        "Paused": status.status == "paused",
        "Restarting": status.status == "restarting",
        "OOMKilled": status.oom,
        "Dead": False,
        "Pid": status.pid if alive else 0,
        "ExitCode": status.exitCode,
        "Error": status.error,
        "StartedAt": status.startedAt or NEVER,
        "FinishedAt": status.finishedAt or NEVER,
    }


def host_config(container: Container) -> dict[str, Any]:
    asked = container.asked
    return {
        "NetworkMode": container.network if container.network != "networks" else container.networks[0]["name"],
        "Binds": [
            ":".join(filter(None, (one["source"], one["target"], ",".join(one["options"]))))
            for one in asked["mounts"]
            if one["kind"] != "tmpfs" and not one["anonymous"]
        ],
        "Tmpfs": {one["target"]: ",".join(one["options"]) for one in asked["mounts"] if one["kind"] == "tmpfs"},
        "VolumesFrom": [":".join(one) for one in asked["volumesFrom"]],
        "PublishAllPorts": asked["publishAll"],
        "PortBindings": bindings(container.ports),
        "RestartPolicy": {"Name": container.restart, "MaximumRetryCount": container.retries},
        "AutoRemove": container.remove,
        "LogConfig": {"Type": container.logDriver, "Config": container.logOptions},
        "SecurityOpt": security(asked),
        "CapAdd": asked["capAdd"],
        "CapDrop": asked["capDrop"],
        "CgroupnsMode": asked["cgroupns"],
        "CgroupParent": asked["cgroupParent"],
        "Dns": asked["dns"],
        "DnsSearch": asked["dnsSearch"],
        "DnsOptions": asked["dnsOptions"],
        "ExtraHosts": [f"{name}:{address}" for name, address in asked["addHosts"]],
        "GroupAdd": asked["groups"],
        "IpcMode": ":".join(filter(None, asked["ipc"])),
        "PidMode": "" if asked["pid"][0] == "private" else ":".join(filter(None, asked["pid"])),
        "UTSMode": "" if asked["uts"][0] == "private" else ":".join(filter(None, asked["uts"])),
        "OomScoreAdj": asked.get("oomScoreAdj", 0),
        "Privileged": asked["privileged"],
        "ReadonlyRootfs": asked["readonly"],
        "ShmSize": asked["shmSize"],
        "Sysctls": asked["sysctl"],
        "Init": asked["init"],
        "Ulimits": [{"Name": u["type"][7:].lower(), "Soft": u["soft"], "Hard": u["hard"]} for u in asked["ulimits"]],
        "Devices": [
            {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": access}
            for source, target, access in asked["devices"]
        ],
        **limits(asked["resources"]),
    }


def limits(resources: dict[str, Any]) -> dict[str, Any]:
    memory, cpu = resources.get("memory", {}), resources.get("cpu", {})
    return {
        "Memory": memory.get("limit", 0),
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "CpuShares": cpu.get("shares", 0),
        "CpuPeriod": cpu.get("period", 0),
        "NanoCpus": 10**9 * max(cpu.get("quota", 0), 0) // (cpu.get("period") or 100000),
        "CpuQuota": cpu.get("quota", 0),
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "BlkioWeight": resources.get("blockIO", {}).get("weight", 0),
        "PidsLimit": resources.get("pids", {}).get("limit", 0),
    }


def security(asked: dict[str, Any]) -> list[str]:
    """As --security-opt has them."""
    found = ["no-new-privileges"] if asked["noNewPrivileges"] else []
    return found + [f"{name}={asked[name]}" for name in ("seccomp", "apparmor", "label") if asked[name]]


def mount(shelf: Shelf, entry: dict[str, Any]) -> dict[str, Any]:
    write = "ro" not in entry["options"] and "rro" not in entry["options"]
    source = entry["source"]
    if entry["kind"] == "volume":
        source = f"{shelf.storage}/volumes/{entry['source']}/_data"
    made = {"Type": entry["kind"], "Source": source, "Destination": entry["target"], "RW": write}
    made["Mode"] = ",".join(entry["options"])
    if entry["kind"] == "volume":
        made |= {"Name": entry["source"], "Driver": "local"}
    return made


def bindings(ports: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """80/tcp -> where it is published; docker writes 0.0.0.0 for every address."""
    found: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        inner = f"{port['port']}/{port['protocol']}"
        outer = {"HostIp": port["hostIp"] or "0.0.0.0", "HostPort": str(port["hostPort"] or "")}
        found.setdefault(inner, []).append(outer)
    return found


def published(container: Container, status: Status) -> dict[str, list[dict[str, str]]]:
    """As they are now: the network room fills in the ports of the host that were left to it."""
    given = status.attached.get("ports") if status.status in ("running", "paused") else None
    return bindings(given or container.ports) if given is not None else {}


def network(container: Container, status: Status) -> dict[str, Any]:
    interfaces = status.attached.get("interfaces") or [] if status.status in ("running", "paused") else []
    aliases = {one["name"]: one["aliases"] for one in container.networks}
    networks = {}
    for one in interfaces:
        address, _, width = one["ip"].partition("/")
        address6, _, width6 = one["ip6"].partition("/")
        networks[one["network"]] = {
            "IPAddress": address, "IPPrefixLen": int(width or 0), "Gateway": one["gateway"],
            "GlobalIPv6Address": address6, "GlobalIPv6PrefixLen": int(width6 or 0), "IPv6Gateway": one["gateway6"],
            "MacAddress": one["mac"], "Aliases": aliases.get(one["network"], []),
        }  # fmt: skip
    first: dict[str, Any] = next(iter(networks.values()), {})
    return {
        "Ports": published(container, status),
        "IPAddress": first.get("IPAddress", ""),
        "Gateway": first.get("Gateway", ""),
        "MacAddress": first.get("MacAddress", ""),
        "Networks": networks,
    }
