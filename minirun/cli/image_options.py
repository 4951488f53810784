"""``minirun image``: its verbs, in tables by concern.

A new concern is a module with ``VERBS``, ``PLACES`` and ``MORE``, and its name below.
"""

from __future__ import annotations

from minirun.cli import image_store_options as storing
from minirun.cli.groups import Group
from minirun.cli.longer import Longer

TABLES = (storing,)

GROUP = Group(
    name="image",
    help="images: build, pull, push, load, save",
    longer=Longer(text="`minirun image --help` lists its verbs; each has a page of its own."),
    verbs=tuple(verb for table in TABLES for verb in table.VERBS),
    places={verb: place for table in TABLES for verb, place in table.PLACES.items()},
    more={verb: words for table in TABLES for verb, words in table.MORE.items()},
)
