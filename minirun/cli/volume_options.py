"""``minirun volume``: its verbs."""

from __future__ import annotations

from minirun.cli.groups import Group
from minirun.cli.longer import Longer

GROUP = Group(
    name="volume",
    help="volumes: directories that outlive containers",
    longer=Longer(text="`minirun volume --help` lists its verbs; each has a page of its own."),
    verbs=(),
    places={},
    more={},
)
