"""``minirun container``: its verbs, in tables by concern.

A new concern is a module with ``VERBS``, ``PLACES`` and ``MORE``, and its name below.
"""

from __future__ import annotations

from minirun.cli import (
    container_files_options as files,
    container_life_options as life,
    container_run_options as making,
)
from minirun.cli.groups import Group
from minirun.cli.longer import Longer

TABLES = (making, life, files)

GROUP = Group(
    name="container",
    help="containers for people: from an image, with a name, a network and a log",
    longer=Longer(text="`minirun container --help` lists its verbs; each has a page of its own."),
    verbs=tuple(verb for table in TABLES for verb in table.VERBS),
    places={verb: place for table in TABLES for verb, place in table.PLACES.items()},
    more={verb: words for table in TABLES for verb, words in table.MORE.items()},
)
