"""``minirun container``: its verbs."""

from __future__ import annotations

from minirun.cli.groups import Group
from minirun.cli.longer import Longer

GROUP = Group(
    name="container",
    help="containers for people: from an image, with a name, a network and a log",
    longer=Longer(text="`minirun container --help` lists its verbs; each has a page of its own."),
    verbs=(),
    places={},
    more={},
)
