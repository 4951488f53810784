"""The row of ``minirun image build-rootfs``, and its words."""

from __future__ import annotations

from minirun.cli.longer import Longer
from minirun.cli.options import Option, Verb

BUILD_ROOTFS = Verb(
    name="build-rootfs", help="make an image from a recipe: busybox, debian, host, or a file",
    arguments=("RECIPE",), at_least=0,
    options=(
        Option(long="name", short="t", value="NAME", help="the image's name (default: the recipe's)"),
        Option(long="locked", help="refuse inputs that the recipe or its lock does not pin"),
        Option(long="quiet", short="q", help="print the image's id only"),
        Option(long="program", value="PROGRAM", many=True, help="host: a program, with its loader and libraries"),
        Option(long="with", value="SET,...", many=True,
               help="host: sets of files, as python, nss, certificates, locale (see rootfs/host.toml)"),
        Option(long="add", value="PATH", many=True, help="host: a file or directory, with the libraries it needs"),
        Option(long="suite", value="SUITE", help="debian: bookworm, trixie ... (default: this host's, else bookworm)"),
        Option(long="include", value="PACKAGE,...", many=True, help="debian: more packages"),
        Option(long="mirror", value="URL", many=True, help="debian: where to fetch packages (default: as apt here)"),
        Option(long="lock", value="FILE", help="debian: the packages have to be those of this lock"),
        Option(long="write-lock", value="FILE", help="debian: write a lock of what was used"),
    ),
)  # fmt: skip

BUILD_ROOTFS_LONGER = Longer(
    text="A recipe is a small file that says what a root filesystem is made of; without one the known ones are listed. "
    "A file's name has a / in it or ends in .toml: docs/images.md says what may stand in it.\n\n"
    "busybox takes the distribution's static busybox and needs neither root nor a network. host takes programs of "
    "this host and what they need by their ELF loader and libraries. debian runs mmdebstrap, or debootstrap.\n\n"
    "The same inputs give the same image, digest for digest: entries are sorted, dates are the recipe's or earlier, "
    "and caches, logs and host names are left out. What the inputs were is printed, and kept in the image's labels.",
    examples=(
        "minirun image build-rootfs busybox",
        "minirun image build-rootfs host --program /usr/bin/python3 --with python,nss -t python",
        "minirun image build-rootfs debian --suite trixie --include curl",
        "minirun image build-rootfs debian --locked --lock debian.lock",
    ),
)
