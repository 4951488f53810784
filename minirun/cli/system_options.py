"""``minirun system``: its verbs."""

from __future__ import annotations

from minirun.cli.groups import Group
from minirun.cli.longer import Longer

GROUP = Group(
    name="system",
    help="what is kept: its size, and taking away what nobody uses",
    longer=Longer(text="`minirun system --help` lists its verbs; each has a page of its own."),
    verbs=(),
    places={},
    more={},
)
