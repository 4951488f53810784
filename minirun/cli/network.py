"""``network create ls inspect rm prune``."""

from __future__ import annotations

from minirun.cli.asking import confirm
from minirun.cli.container_inspect import show
from minirun.cli.oci_list import columns, form_of
from minirun.cli.parse import usage
from minirun.cli.stores import storage_of, store_of, write_out
from minirun.errors import MinirunError
from minirun.facts import user_namespace
from minirun.network import networks
from minirun.network.networks import DEFAULT, Network
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from minirun.cli.main import Call
    from minirun.network.bridge import Device
    from minirun.network.leases import Lease

SHORT = 12
TITLES = ("NETWORK ID", "NAME", "DRIVER", "SUBNETS", "STATE")
KEYS = ("name", "id", "driver", "label")
CNI = "cni"


def create(call: Call) -> int:
    values = call.values
    network = Network(
        name=call.words[0], driver=values.text("driver"), internal=values.on("internal"),
        ipRange=values.text("ip_range"), labels=pairs("label", values.listed("label")),
        **families(values.listed("subnet"), values.listed("gateway")), **options(values.listed("opt")),
    )  # fmt: skip
    if values.on("ipv6") and not network.subnet6:
        from minirun.network.pool import private6

        network.subnet6 = str(private6())
    if user_namespace():
        from minirun.network import outside

        outside.check([network.name])
    made = networks.create(storage_of(call), network)
    write_out(f"{made.id}\n")
    return 0


def families(subnets: Sequence[str], gateways: Sequence[str]) -> dict[str, Any]:
    """At most one of each family."""
    found: dict[str, Any] = {}
    for member, given in (("subnet", subnets), ("gateway", gateways)):
        for word in given:
            name = f"{member}6" if ":" in word else member
            if name in found:
                raise usage(f"--{member} {word}: one of IPv4 and one of IPv6 at most")
            found[name] = word
    return found


def options(given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"options": pairs("opt", given)}
    for key, value in found["options"].items():
        if key in networks.MTU:
            if not (value.isascii() and value.isdigit() and len(value) < 6):
                raise usage(f"--opt {key}={value}: a number is wanted")
            found["mtu"] = int(value)
        elif key in networks.DEVICE:
            found["device"] = value
        else:
            raise usage(
                f"--opt {key}: there is no such option", f"one of {', '.join((*networks.MTU, *networks.DEVICE))}"
            )
    return found


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """A label without a value is an empty one, as in docker."""
    found = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not key or (option == "opt" and not equals):
            raise usage(f"--{option} {word}: KEY=VALUE is wanted")
        found[key] = value
    return found


def ls(call: Call) -> int:
    form, values = form_of(call, go=True), call.values
    rows = [each for each in known(call) if fits(each, values.listed("filter"))]
    if values.on("quiet"):
        write_out("".join(f"{each.id if values.on('no_trunc') else each.id[:SHORT]}\n" for each in rows if each.id))
    elif form == "json":
        write_out("".join(encode(document(call, each)) + "\n" for each in rows))
    elif form != "table":
        from minirun.cli.template import lines

        whole = values.on("no_trunc")
        write_out(
            lines(
                form,
                [{**document(call, each), "ID": each.id if whole else each.id[:SHORT]} for each in rows],
                {"ID": "NETWORK ID"},
            )
        )
    else:
        words = states(call, rows)
        cells = [
            (each.id if values.on("no_trunc") else each.id[:SHORT], each.name, each.driver,
             ", ".join(filter(None, (each.subnet, each.subnet6))), words.get(each.name, "")) for each in rows
        ]  # fmt: skip
        write_out(columns([TITLES, *cells]))
    return 0


def states(call: Call, networks: Sequence[Network]) -> dict[str, str]:
    """Of those that are up; a host where nothing is up is not looked at."""
    up = []
    for each in networks:
        device, leases = now(call, each)
        if device is not None:
            up.append((device, leases))
    if not up:
        return {}
    from minirun.network import live

    return {device.network: word for (device, _), word in zip(up, live.states(up), strict=True)}


def known(call: Call) -> list[Network]:
    """Ours, with the default one first; then CNI's."""
    from minirun.network.cni import names
    from minirun.network.wanted import Place

    storage = storage_of(call)
    found = networks.every(storage)
    if not any(each.name == DEFAULT for each in found):
        found.append(Network(name=DEFAULT))
    found.sort(key=lambda each: (each.name != DEFAULT, each.name))
    ours = {each.name for each in found}
    foreign = names(Place(storage=storage, root=store_of(call).root))
    return found + [Network(name=name, driver=CNI) for name in foreign if name not in ours]


def fits(network: Network, filters: Sequence[str]) -> bool:
    """Every label, and one of the values of every other key."""
    tests = {"name": network.name.__contains__, "id": network.id.startswith, "driver": network.driver.__eq__}
    seen: dict[str, bool] = {}
    for word in filters:
        key, equals, value = word.partition("=")
        if not equals or key not in KEYS:
            raise usage(f"--filter {word}: KEY=VALUE is wanted", "KEY is one of " + ", ".join(KEYS))
        if key == "label":
            name, _, content = value.partition("=")
            seen[word] = name in network.labels and ("=" not in value or network.labels[name] == content)
        else:
            seen[key] = seen.get(key, False) or bool(tests[key](value))
    return all(seen.values())


def inspect(call: Call) -> int:
    def one(word: str) -> dict[str, Any]:
        network = networks.find(storage_of(call), word)
        return {**document(call, network), "Live": alive(call, network)}

    return show(call, [lambda word=word: one(word) for word in call.words])  # type: ignore[misc]


def alive(call: Call, network: Network) -> dict[str, Any] | None:
    """What the kernel says of it; nothing while nobody is on it."""
    device, leases = now(call, network)
    if device is None:
        return None
    from minirun.network import live

    return live.document(device, leases)


def document(call: Call, network: Network) -> dict[str, Any]:
    """As `docker network inspect` has it, and what there is of it now."""
    device, leases = now(call, network)
    subnets = [(network.subnet, network.gateway, network.ipRange), (network.subnet6, network.gateway6, "")]
    return {
        "Name": network.name, "Id": network.id, "Created": network.created, "Driver": network.driver, "Scope": "local",
        "EnableIPv6": bool(network.subnet6), "Internal": network.internal,
        "IPAM": {"Config": [
            {"Subnet": subnet, "Gateway": gateway, **({"IPRange": part} if part else {})}
            for subnet, gateway, part in subnets if subnet
        ]},
        "Device": device.device if device else "", "Options": network.options, "Labels": network.labels,
        "Containers": {
            each.container: {
                "Name": each.name, "Interface": each.inner, "MacAddress": each.mac, "IPv4Address": each.ip,
                "IPv6Address": each.ip6, "HostInterface": each.link,
            }
            for each in leases
        },
    }  # fmt: skip


def now(call: Call, network: Network) -> tuple[Device | None, list[Lease]]:
    """Its bridge as it is written down, and who is on it; nothing is made for the question."""
    import posix

    from minirun.network.bridge import device_of
    from minirun.network.leases import FOLDER, Ledger

    root = store_of(call).root
    if not posix.access(f"{root}/{FOLDER}", posix.F_OK):
        return None, []
    with Ledger(root) as ledger:
        return device_of(ledger, network.name), ledger.leases(network.name)


def rm(call: Call) -> int:
    failed = 0
    for word in call.words:
        try:
            write_out(f"{networks.remove(storage_of(call), store_of(call).root, word).name}\n")
        except MinirunError as error:
            if call.values.on("force") and networks.is_foreign(storage_of(call), word):
                continue
            call.log.error(error)
            failed = 1
    return failed


def prune(call: Call) -> int:
    from minirun.cli.places import shelf_of
    from minirun.network.repair import orphans, repair

    if not call.values.on("force"):
        confirm("all networks that no container uses")
    root = store_of(call).root
    for word in repair(root) + orphans():
        call.log.warn(f"{word}: removed")
    used = {each["name"] for container in shelf_of(call).all() for each in container.networks}
    for network in networks.every(storage_of(call)):
        if network.name != DEFAULT and network.name not in used and network.id not in used:
            write_out(f"{networks.remove(storage_of(call), root, network.name).name}\n")
    return 0
