"""``minirun volume``: its verbs."""

from __future__ import annotations

from minirun.cli.groups import Group
from minirun.cli.longer import Longer
from minirun.cli.options import Option, Verb

FORMAT = Option(long="format", value="FORMAT", default="table", help="table, json, or as '{{.Name}}'")
FILTER = Option(
    long="filter", short="f", value="NAME=VALUE", many=True, help="dangling=true, name=, label=NAME[=VALUE]"
)
MEMBER = Option(long="format", short="f", value="TEMPLATE", default="json", help="json, or as '{{.Mountpoint}}'")
FORCE = Option(long="force", short="f", help="do not ask")
LABELS = Option(
    long="filter", value="label=NAME[=VALUE]", many=True, help="only those with this label (label!= without)"
)

GROUP = Group(
    name="volume",
    help="volumes: directories that outlive containers",
    longer=Longer(text="`minirun volume --help` lists its verbs; each has a page of its own."),
    verbs=(
        Verb(
            name="create", help="make a volume", arguments=("NAME",), at_least=0,
            options=(
                Option(long="label", value="NAME[=VALUE]", many=True, help="a label"),
                Option(long="driver", short="d", value="NAME", default="local", help="local: a directory"),
                Option(long="opt", short="o", value="NAME=VALUE", help="as in docker",
                       later="a volume is a directory; --mount type=bind or type=tmpfs takes other file systems"),
            ),
        ),
        Verb(
            name="ls", help="list volumes", arguments=(),
            options=(Option(long="quiet", short="q", help="names only"), FILTER, FORMAT),
        ),
        Verb(
            name="rm", help="remove volumes", arguments=("VOLUME",), rest="VOLUME",
            options=(Option(long="force", short="f", help="fine if one does not exist"),),
        ),
        Verb(
            name="inspect", help="print all that is known of volumes, as JSON", arguments=("VOLUME",), rest="VOLUME",
            options=(MEMBER,),
        ),
        Verb(
            name="prune", help="remove volumes that no container has", arguments=(),
            options=(Option(long="all", short="a", help="named ones, too, not only anonymous ones"), FORCE, LABELS),
        ),
    ),
    places=dict.fromkeys(("create", "ls", "rm", "inspect", "prune"), "minirun.cli.volume"),
    more={
        "create": Longer(
            text="A name that is taken is no error: the volume is there. Without a name it gets one of 64 digits.",
            examples=("minirun volume create data", "minirun container run -v data:/srv busybox ls /srv"),
        ),
        "ls": Longer(
            text="dangling=true: those that no container has.", examples=("minirun volume ls -q -f dangling=true",)
        ),
        "rm": Longer(text="One that a container has is kept, and an error.", examples=("minirun volume rm data",)),
        "inspect": Longer(text="docker's members.", examples=("minirun volume inspect -f .Mountpoint data",)),
        "prune": Longer(
            text="Anonymous ones, which `container rm` has left because it was not told -v; with --all every one.",
            examples=("minirun volume prune", "minirun volume prune --all --force"),
        ),
    },
)  # fmt: skip
