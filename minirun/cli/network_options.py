"""``minirun network``: its verbs."""

from __future__ import annotations

from minirun.cli.groups import Group
from minirun.cli.longer import Longer

GROUP = Group(
    name="network",
    help="networks for containers",
    longer=Longer(text="`minirun network --help` lists its verbs; each has a page of its own."),
    verbs=(),
    places={},
    more={},
)
