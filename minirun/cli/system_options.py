"""``minirun system``: its verbs."""

from __future__ import annotations

from minirun.cli.groups import Group
from minirun.cli.longer import Longer
from minirun.cli.options import FORMAT, Option, Verb

DF = Verb(
    name="df", help="show what images, layers, containers and volumes take of the disk", arguments=(),
    options=(FORMAT, Option(long="verbose", short="v", help="each of them")),
)  # fmt: skip
INFO = Verb(
    name="info", help="show versions, places, and how many there are of everything", arguments=(), options=(FORMAT,)
)
PRUNE = Verb(
    name="prune", help="take away what nobody uses, and what a crash has left", arguments=(),
    options=(
        Option(long="all", short="a", help="every image that no container was made of, not only those without a name"),
        Option(long="volumes", help="anonymous volumes that no container has, too"),
        Option(long="force", short="f", help="do not ask"),
    ),
)  # fmt: skip

GROUP = Group(
    name="system",
    help="what is kept: its size, and taking away what nobody uses",
    longer=Longer(text="`minirun system --help` lists its verbs; each has a page of its own."),
    verbs=(DF, INFO, PRUNE),
    places=dict.fromkeys(("df", "info", "prune"), "minirun.cli.system"),
    more={
        "df": Longer(
            text="Images are counted as they are stored, compressed, each blob once; layers as they are unpacked, once "
            "for all containers. A container's size is what it has changed, and its log.\n\n"
            "RECLAIMABLE is what `minirun system prune --all --volumes` could take away: with named volumes, "
            "`minirun volume prune --all`.",
            examples=("minirun system df", "minirun system df -v"),
        ),
        "info": Longer(
            text="What `minirun doctor` finds out by trying is not repeated here: this only reads.",
            examples=("minirun system info", "minirun system info --format json"),
        ),
        "prune": Longer(
            text="In order: what a crash has left is repaired or removed (containers whose monitor was killed, leases, "
            "bridges and rules without a user, downloads and unpacking that were interrupted); then containers that do "
            "not run, networks without containers, anonymous volumes with --volumes, images without a name (--all: "
            "without a container), and at last blobs and layers that nothing leads to.\n\n"
            "What was taken away is listed, and how much space that was. Running containers and what they need stay.",
            examples=("minirun system prune", "minirun system prune --all --volumes --force"),
        ),
    },
)
