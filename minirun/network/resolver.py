"""resolv.conf(5) for a container, from the host's."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

STUB = "/run/systemd/resolve/resolv.conf"  # behind systemd-resolved's 127.0.0.53


def resolv_conf(
    host: str, *, own: bool, dns: Sequence[str] = (), search: Sequence[str] = (), options: Sequence[str] = ()
) -> str:
    """``host``: the host's file.  ``own``: the container has a network of its own, where the host's loopback is not
    the host.  Whatever is given replaces the host's lines of that kind."""
    lines = [line.split() for line in host.splitlines() if line.strip() and line.strip()[0] not in "#;"]
    servers = list(dns) or [line[1] for line in lines if line[0] == "nameserver" and len(line) > 1]
    if own and not dns:
        servers = [server for server in servers if not is_loopback(server)]
    domains = list(search) or next((line[1:] for line in reversed(lines) if line[0] in ("search", "domain")), [])
    chosen = list(options) or [word for line in lines if line[0] == "options" for word in line[1:]]
    text = "".join(f"nameserver {server}\n" for server in servers)
    if domains and domains != ["."]:
        text += f"search {' '.join(domains)}\n"
    return text + (f"options {' '.join(chosen)}\n" if chosen else "")


def is_loopback(server: str) -> bool:
    return server.startswith("127.") or server.partition("%")[0] == "::1"


def host_resolv_conf() -> str:
    """The file that names real servers: systemd-resolved's own list where /etc/resolv.conf names only its stub."""
    text = read("/etc/resolv.conf")
    servers = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver") and len(line.split()) > 1]
    if servers and all(is_loopback(server) for server in servers):
        return read(STUB) or text
    return text


def read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
