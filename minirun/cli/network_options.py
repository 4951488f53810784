"""``minirun network``: its verbs."""

from __future__ import annotations

from minirun.cli.groups import Group
from minirun.cli.longer import Longer
from minirun.cli.options import Option, Verb

FILTER = Option(
    long="filter", short="f", value="KEY=VALUE", many=True, help="only those that fit: name, id, driver, label"
)
FORMAT = Option(long="format", value="FORMAT", default="table", help="table, json, or as '{{.Name}}'")

VERBS = (
    Verb(
        name="create", help="describe a network: its bridge comes with the first container",
        arguments=("NAME",),
        options=(
            Option(long="driver", short="d", value="DRIVER", default="bridge", help="bridge is the only one"),
            Option(long="subnet", value="SUBNET", many=True, help="as 10.90.3.0/24; one of IPv4, one of IPv6"),
            Option(long="gateway", value="ADDRESS", many=True, help="the host's address there (default: the first)"),
            Option(long="ip-range", value="RANGE", help="the part of the subnet that addresses are given out from"),
            Option(long="internal", help="no way out, none in, and no published ports"),
            Option(long="ipv6", help="with a private IPv6 subnet (RFC 4193), unless --subnet names one"),
            Option(long="opt", short="o", value="KEY=VALUE", many=True, help="mtu=N, device=NAME (the bridge's)"),
            Option(long="label", value="KEY=VALUE", many=True, help="a label"),
        ),
    ),
    Verb(
        name="ls", help="list networks", arguments=(),
        options=(FORMAT, Option(long="quiet", short="q", help="ids only"),
                 Option(long="no-trunc", help="ids in full"), FILTER),
    ),
    Verb(
        name="inspect", help="print all that is known of networks, as JSON", arguments=("NETWORK",), rest="NETWORK",
        options=(
            Option(long="format", short="f", value="TEMPLATE", default="json", help="json, or as '{{.IPAM.Config}}'"),
        ),
    ),
    Verb(
        name="rm", help="forget networks that no container is on", arguments=("NETWORK",), rest="NETWORK",
        options=(Option(long="force", short="f", help="fine if there is none of that name"),),
    ),
    Verb(
        name="prune", help="forget all networks that no container uses", arguments=(),
        options=(Option(long="force", short="f", help="do not ask"),),
    ),
    Verb(
        name="connect", help="one network more for a container", arguments=("NETWORK", "CONTAINER"),
        options=(
            Option(long="ip", value="ADDRESS", help="its IPv4 address there"),
            Option(long="ip6", value="ADDRESS", help="its IPv6 address there"),
            Option(long="mac-address", value="MAC", help="the interface's hardware address"),
            Option(long="alias", value="NAME", many=True, help="another name for it there"),
        ),
    ),
    Verb(
        name="disconnect", help="one network less for a container", arguments=("NETWORK", "CONTAINER"),
        options=(Option(long="force", short="f", help="fine if it is not on it"),),
    ),
)  # fmt: skip

MORE = {
    "create": Longer(
        text="A network is a bridge of the host's that containers are plugged into by `container run --network NAME`. "
        "They see each other there, by name, too; they do not see those of other networks. Packets leave by the "
        "host's address (masquerade), and come in by published ports only.\n\n"
        "What is made here is a description in the storage. The bridge (minirun0 and upwards) and its rules, a table "
        "of nf_tables called the same, are there while a container uses the network. Without --subnet a free one is "
        "taken, from 10.90.0.0/24 upwards.",
        examples=(
            "minirun network create --subnet 10.5.0.0/24 backend",
            "minirun network create --ipv6 --opt mtu=1400 lan",
            "minirun network create --internal db",
        ),
    ),
    "ls": Longer(
        text="The default network, bridge, is described at its first use. Networks of CNI (docs/network.md) are "
        "listed, too; host and none are no networks, but may stand where one is named.",
        examples=("minirun network ls", "minirun network ls --filter label=app=web -q"),
    ),
    "inspect": Longer(
        text="The members are docker's, but for Live: what the kernel says of the bridge, its ports and rules while "
        "somebody is on the network, and what is wrong with them.",
        examples=("minirun network inspect bridge", "minirun network inspect -f .Live.Problems backend"),
    ),
    "rm": Longer(text="Refused while containers run on it.", examples=("minirun network rm backend",)),
    "prune": Longer(
        text="Those that no container names, running or not. bridge stays. What crashes have left of networks is "
        "removed before.",
        examples=("minirun network prune -f",),
    ),
    "connect": Longer(
        text="A container that runs gets one more interface at once. It is remembered for its next start as well.",
        examples=("minirun network connect --alias db backend postgres",),
    ),
    "disconnect": Longer(
        text="Refused for the network that the container's published ports are on.",
        examples=("minirun network disconnect backend postgres",),
    ),
}

GROUP = Group(
    name="network",
    help="networks for containers",
    longer=Longer(text="`minirun network --help` lists its verbs; each has a page of its own."),
    verbs=VERBS,
    places={
        **dict.fromkeys(("create", "ls", "inspect", "rm", "prune"), "minirun.cli.network"),
        **dict.fromkeys(("connect", "disconnect"), "minirun.cli.network_connect"),
    },
    more=MORE,
)
