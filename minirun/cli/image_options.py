"""``minirun image``: its verbs."""

from __future__ import annotations

from minirun.cli import registry_options
from minirun.cli.groups import Group
from minirun.cli.longer import Longer

GROUP = Group(
    name="image",
    help="images: build, pull, push, load, save",
    longer=Longer(text="`minirun image --help` lists its verbs; each has a page of its own."),
    verbs=(*registry_options.VERBS,),
    places={**registry_options.PLACES},
    more={**registry_options.MORE},
)
