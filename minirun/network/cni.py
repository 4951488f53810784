"""Networks of others: CNI configurations (containernetworking/cni, SPEC.md 1.0), run as the specification says.

ADD goes through the plugins of the list in order, each with the result of the one before as ``prevResult``; DEL in
reverse order, each with the last result.  The configuration and the result are kept in the lease, so that DEL has what
ADD had even if the file has changed.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.linux import link, rtnetlink
from minirun.network import netns as namespaces
from minirun.network.address import parse_ip
from minirun.network.leases import CNI, Lease, Ledger, names_in, read
from minirun.network.networks import valid_name
from minirun.network.wanted import Attached, Interface, Place, Wanted
from minirun.spec.decode import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CONFIGURATIONS, PLUGINS = "/etc/cni/net.d", "/opt/cni/bin:/usr/lib/cni"  # NETCONFPATH, CNI_PATH: as cnitool has them
OLDEST_WITH_DEL_RESULT = (0, 4)
PATIENCE = 60  # seconds, for one plugin


def find(place: Place, name: str) -> dict[str, Any] | None:
    """The list of that name."""
    return next((each for each in configurations(place) if each["name"] == name), None)


def names(place: Place) -> list[str]:
    return sorted({str(each["name"]) for each in configurations(place)})


def configurations(place: Place) -> Iterator[dict[str, Any]]:
    """In the order of the files' names; a single plugin's configuration counts as a list of one.

    Somebody else's broken file is no reason not to find the others.
    """
    folder = place.cniConf or environment("NETCONFPATH") or CONFIGURATIONS
    for file in sorted(names_in(folder)):
        if file.rpartition(".")[2] not in ("conflist", "conf", "json"):
            continue
        try:
            found = decode(read(f"{folder}/{file}"), f"{folder}/{file}")
        except (MinirunError, OSError):
            continue
        if isinstance(found, dict) and valid_name(str(found.get("name", ""))):
            if "plugins" not in found:
                found = {"cniVersion": found.get("cniVersion", "0.2.0"), "name": found["name"], "plugins": [found]}
            yield found


def environment(name: str) -> str:
    return posix.environ.get(name.encode(), b"").decode("utf-8", "surrogateescape")


def join(place: Place, ledger: Ledger, netns: int, wanted: Wanted, lease: Lease, attached: Attached) -> None:
    """ADD."""
    if netns < 0:
        raise cannot(wanted.name, "a machine takes a bridge of minirun's own")
    configuration = find(place, wanted.name)
    assert configuration is not None
    lease.kind, lease.key = CNI, f"cni-{lease.container}"
    lease.cni = {
        "configuration": configuration, "path": place.cniPath or environment("CNI_PATH") or PLUGINS,
        "netns": f"/proc/{posix.getpid()}/fd/{netns}", "inode": posix.fstat(netns).st_ino,
        "runtime": runtime_config(wanted, attached), "result": None,
        "args": ";".join(["IgnoreUnknown=1", *([f"IP={wanted.ip}"] if wanted.ip else [])]),
    }  # fmt: skip
    if not ledger.add(lease):
        raise cannot(wanted.name, "the container is on it")
    result: dict[str, Any] = {}
    for plugin in plugins(configuration):
        result = run("ADD", lease, plugin, lease.cni["netns"], result or None)
        lease.cni["result"] = result
        ledger.change(lease)  # after each: a crash leaves what DEL needs
    got = interface_of(lease, result)
    lease.ip, lease.ip6, lease.mac = got.ip, got.ip6, got.mac
    ledger.change(lease)
    attached.interfaces.append(got)
    attached.nameservers += result.get("dns", {}).get("nameservers", [])


def runtime_config(wanted: Wanted, attached: Attached) -> dict[str, Any]:
    """What plugins may ask for by their capabilities (CONVENTIONS.md)."""
    found: dict[str, Any] = {}
    if attached.ports:
        found["portMappings"] = [
            {"hostPort": each.hostPort, "containerPort": each.port, "protocol": each.protocol, "hostIP": each.hostIp}
            for each in attached.ports
        ]
    if wanted.ip or wanted.ip6:
        found["ips"] = [each for each in (wanted.ip, wanted.ip6) if each]
    if wanted.mac:
        found["mac"] = wanted.mac
    if wanted.aliases:
        found["aliases"] = {wanted.name: list(wanted.aliases)}
    return found


def plugins(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    found = configuration["plugins"]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise cannot(configuration["name"], "plugins is no list of objects")
    return found


def leave(lease: Lease) -> None:
    """DEL: whatever a plugin says, the others are asked, too; the first complaint is raised in the end.  Where ADD has
    come to nothing, complaints are nothing new."""
    path, own = lease.cni["netns"], -1
    if not exists(path) or posix.stat(path).st_ino != lease.cni["inode"]:
        own = stand_in(lease)
        path = f"/proc/{posix.getpid()}/fd/{own}"
    problem: MinirunError | None = None
    try:
        for plugin in reversed(plugins(lease.cni["configuration"])):
            result = lease.cni["result"] if version_of(lease) >= OLDEST_WITH_DEL_RESULT else None
            try:
                run("DEL", lease, plugin, path, result)
            except MinirunError as error:
                problem = problem or error
    finally:
        if own >= 0:
            posix.close(own)
    if problem is not None and lease.cni["result"] is not None:
        raise problem


def stand_in(lease: Lease) -> int:
    """After a crash: a namespace with an interface of that name and those addresses.  Plugins of 1.1 look at it to
    know which rules of the host's to remove."""
    own = namespaces.new()
    route = rtnetlink.Route(own)
    try:
        link.add_bridge(route, lease.inner, b"\x02\x6d" + bytes(4), 1500)
        for each in filter(None, (lease.ip, lease.ip6)):
            text, _, bits = each.partition("/")
            link.add_address(route, link.interface(route, lease.inner).index, parse_ip(text) or b"", int(bits))
    except OSError:  # then without
        pass
    return own


def exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def version_of(lease: Lease) -> tuple[int, ...]:
    words = str(lease.cni["configuration"].get("cniVersion", "0.2.0")).split(".")
    return tuple(int(word) if word.isdigit() else 0 for word in words)


def run(command: str, lease: Lease, plugin: dict[str, Any], path: str, result: dict[str, Any] | None) -> dict[str, Any]:
    """One plugin; its result."""
    import subprocess

    name = lease.network
    document = {**plugin, "name": name, "cniVersion": lease.cni["configuration"].get("cniVersion", "0.2.0")}
    wishes = {key: value for key, value in lease.cni["runtime"].items() if plugin.get("capabilities", {}).get(key)}
    if wishes:
        document["runtimeConfig"] = wishes
    if result is not None:
        document["prevResult"] = result
    environ = {
        **{key.decode(): value.decode("utf-8", "surrogateescape") for key, value in posix.environ.items()},
        "CNI_COMMAND": command, "CNI_CONTAINERID": lease.container, "CNI_NETNS": path, "CNI_IFNAME": lease.inner,
        "CNI_PATH": lease.cni["path"], "CNI_ARGS": lease.cni["args"],
    }  # fmt: skip
    try:
        done = subprocess.run(
            [program(name, str(plugin.get("type", "")), lease.cni["path"])], input=encode(document).encode(),
            capture_output=True, env=environ, timeout=PATIENCE, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise cannot(name, f"{plugin.get('type')} {command}: {error}") from error
    if done.returncode:
        raise cannot(name, f"{plugin.get('type')} {command}: {complaint(done.stdout, done.stderr)}")
    found = decode(done.stdout, f"the answer of {plugin.get('type')}") if done.stdout.strip() else {}
    return found if isinstance(found, dict) else {}


def program(name: str, kind: str, path: str) -> str:
    """A plugin is named, never a path."""
    if kind and "/" not in kind and kind not in (".", ".."):
        for folder in path.split(":"):
            if folder and exists(f"{folder}/{kind}"):
                return f"{folder}/{kind}"
    raise cannot(name, f"no plugin {kind!r} in {path}", "package containernetworking-plugins, or CNI_PATH")


def complaint(output: bytes, errors: bytes) -> str:
    """A plugin that fails writes {code, msg, details} to its standard output."""
    try:
        found = decode(output, "")
        words = " ".join(str(found[key]) for key in ("msg", "details") if found.get(key))
    except (MinirunError, AttributeError):
        words = ""
    return words or errors.decode("utf-8", "replace").strip()[-300:] or "it failed without a word"


def interface_of(lease: Lease, result: dict[str, Any]) -> Interface:
    """The container's interface, in the words of a result (SPEC.md, section 5)."""
    interfaces = result.get("interfaces") or []
    mac = next((each.get("mac", "") for each in interfaces if each.get("sandbox")), "")
    found = Interface(network=lease.network, name=lease.inner, mac=mac)
    for each in result.get("ips") or []:
        if ":" in each["address"]:
            found.ip6, found.gateway6 = found.ip6 or each["address"], found.gateway6 or each.get("gateway", "")
        else:
            found.ip, found.gateway = found.ip or each["address"], found.gateway or each.get("gateway", "")
    return found


def cannot(name: str, reason: str, hint: str = "") -> MinirunError:
    return MinirunError(f"cannot use CNI network {name}", reason=reason, hint=hint)
