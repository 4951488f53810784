"""pasta(1): the container has the host's own addresses, and connections are carried over without translation.

It goes to the background once the interface is up.  Nothing of the host's loopback is reachable from the container
(``-T none``, ``--no-map-gw``), and only the published ports of the container's from the host.
"""

from __future__ import annotations

from minirun.network.carrier import run
from minirun.network.resolver import host_resolv_conf, is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirun.network.ports import Port

DNS = "169.254.1.1"  # link-local: whatever goes there goes to the host's own resolver


def start(path: str, base: str, ports: Sequence[Port]) -> tuple[int, list[str], list[int]]:
    """Its pid, the nameservers that the container must use ([]: the host's), and no descriptors."""
    lines = [line.split() for line in host_resolv_conf().splitlines()]
    servers = [line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1]
    stub = bool(servers) and all(is_loopback(server) for server in servers)
    words = [
        "pasta", "--config-net", "--netns", f"{base}.netns", "--netns-only", "--quiet", "--ns-ifname", "eth0",
        "--no-map-gw", "--tcp-ns", "none", "--udp-ns", "none", "--pid", f"{base}.pid",
        *(["--dns-forward", DNS] if stub else []),
        *forwards("--tcp-ports", [port for port in ports if port.protocol == "tcp"]),
        *forwards("--udp-ports", [port for port in ports if port.protocol == "udp"]),
    ]  # fmt: skip
    run(path, words, f"{base}.log")
    with open(f"{base}.pid", "rb") as file:
        return int(file.read()), [DNS] if stub else [], []


def forwards(option: str, ports: Sequence[Port]) -> list[str]:
    words = []
    for port in ports:
        address = f"{port.hostIp}/" if port.hostIp else ""
        words += [option, f"{address}{port.hostPort}:{port.port}"]
    return words or [option, "none"]
