"""What is deleted: ``.wh.NAME`` in a layer's tar (image-spec, layer.md), a 0:0 character device in overlay form.

In overlay form (kernel, filesystems/overlayfs.rst) a directory that hides all below it has an attribute, opaque=y:
``trusted.overlay.`` for the host's root, ``user.overlay.`` for an overlay that is mounted in a user namespace.
"""

from __future__ import annotations

import posix
from errno import ENODATA, EOPNOTSUPP

from minirun.images.tree import CHARACTER, KIND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from posix import stat_result

PREFIX = b".wh."
META = b".wh..wh."  # of aufs; all but the next mean nothing any more
OPAQUE = b".wh..wh..opq"
YES = b"y"
# What overlayfs believes must not come from a tar; labels and signatures are this host's business.
FOREIGN = (b"trusted.overlay.", b"user.overlay.", b"security.selinux", b"security.ima", b"security.evm")


def opaque_name(userxattr: bool) -> str:
    return f"{'user' if userxattr else 'trusted'}.overlay.opaque"


def is_whiteout(status: stat_result) -> bool:
    return status.st_mode & KIND == CHARACTER and status.st_rdev == 0


def is_opaque(fd: int, userxattr: bool) -> bool:
    try:
        return posix.getxattr(fd, opaque_name(userxattr)) == YES
    except OSError as error:
        if error.errno in (ENODATA, EOPNOTSUPP):
            return False
        raise


def make_whiteout(at: int, name: bytes) -> None:
    """Since Linux 5.8 without rights, too."""
    posix.mknod(name, CHARACTER, 0, dir_fd=at)


def travels(xattr: bytes) -> bool:
    """Is this an attribute of the image's own, which a layer carries?"""
    return not xattr.startswith(FOREIGN)
