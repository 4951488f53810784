"""``minirun image``: its verbs, in tables by concern.

A new concern is a module with ``VERBS``, ``PLACES`` and ``MORE``, and its name below.
"""

from __future__ import annotations

from minirun.cli import image_store_options as storing, registry_options
from minirun.cli.groups import Group
from minirun.cli.image_build_options import BUILD_ROOTFS, BUILD_ROOTFS_LONGER
from minirun.cli.longer import Longer

TABLES = (registry_options, storing)

GROUP = Group(
    name="image",
    help="images: build, pull, push, load, save",
    longer=Longer(text="`minirun image --help` lists its verbs; each has a page of its own."),
    verbs=(BUILD_ROOTFS, *[verb for table in TABLES for verb in table.VERBS]),
    places={
        "build-rootfs": "minirun.cli.image_build",
        **{verb: place for table in TABLES for verb, place in table.PLACES.items()},
    },
    more={
        "build-rootfs": BUILD_ROOTFS_LONGER,
        **{verb: words for table in TABLES for verb, words in table.MORE.items()},
    },
)
