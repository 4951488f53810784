"""``minirun image``: its verbs."""

from __future__ import annotations

from minirun.cli import registry_options
from minirun.cli.groups import Group
from minirun.cli.image_build_options import BUILD_ROOTFS, BUILD_ROOTFS_LONGER
from minirun.cli.longer import Longer

GROUP = Group(
    name="image",
    help="images: build, pull, push, load, save",
    longer=Longer(text="`minirun image --help` lists its verbs; each has a page of its own."),
    verbs=(BUILD_ROOTFS, *registry_options.VERBS),
    places={"build-rootfs": "minirun.cli.image_build", **registry_options.PLACES},
    more={"build-rootfs": BUILD_ROOTFS_LONGER, **registry_options.MORE},
)
