"""A container's root file system: shared read-only layers below, and an upper directory of its own (overlayfs).

In ``directory``: ``upper`` and ``work``, or with ``ephemeral`` a tmpfs of its own, ``memory``, that holds both and goes
with the last unmount.  The overlay is made by fsopen(2) and attached where the caller says.  With id maps (a
user namespace), layers and upper are id-mapped while they are put together, so what lies on the disk has the ids of
inside, 0 is 0, and the layers are shared with everybody.

Linux 6.5 takes layers one at a time (``lowerdir+``), as many as one likes; an older one has a page for all options, so
their names are made short by links in a directory of the moment.
"""

from __future__ import annotations

import posix
from errno import EINVAL, ENOENT

from minirun.errors import MinirunError
from minirun.facts import user_namespace
from minirun.images.tree import exists, make_directories, remove_tree
from minirun.linux import mount as mounts, mountfd
from minirun.linux.openat2 import O_PATH

MS_PRIVATE = 1 << 18
MOST_LAYERS = 500  # fs/overlayfs/params.h, OVL_MAX_STACK
NOTHING = "nothing"  # an empty directory: overlayfs wants a layer, and an image may have none (FROM scratch)
UNFIT = ':\\,"'  # separators and escapes in overlayfs's options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Snapshot:
    """``lowers`` topmost first, as ``Layers.ensure`` gives them.

    directory  the container's own: ``STORAGE/containers/<id>``
    ephemeral  the upper is a tmpfs that is gone after ``unmount``; ``size`` in bytes limits it (0: half of memory)
    maps       (uid map, gid map), the text of ``/proc/PID/uid_map``, of the container's user namespace
    volatile   nothing need survive a crash (--rm): no unmount waits for the disk
    userxattr  for an overlay mounted in a user namespace: ``user.overlay.*``; None: if we are in one
    """

    def __init__(
        self,
        directory: str,
        lowers: Sequence[str],
        *,
        ephemeral: bool = False,
        size: int = 0,
        maps: tuple[str, str] | None = None,
        userxattr: bool | None = None,
        volatile: bool = False,
    ) -> None:
        self.directory = directory
        self.lowers = list(lowers) or [f"{directory}/{NOTHING}"]
        self.ephemeral = ephemeral
        self.size = size
        self.maps = maps
        self.userxattr = user_namespace() if userxattr is None else userxattr
        self.volatile = volatile

    @property
    def memory(self) -> str:
        """Where an ephemeral snapshot's tmpfs is mounted."""
        return f"{self.directory}/memory"

    @property
    def place(self) -> str:
        """What holds upper and work."""
        return self.memory if self.ephemeral else self.directory

    @property
    def upper(self) -> str:
        """What the container has changed: its files as overlayfs keeps them."""
        return f"{self.place}/upper"

    def prepare(self) -> None:
        """The directories that a mount needs; refuses what cannot be had."""
        if self.size and not self.ephemeral:
            raise MinirunError(
                "cannot limit the size of a container's file system",
                reason="overlayfs has no quota",
                hint="only a tmpfs takes a size: keep the changes in memory",
            )
        if len(self.lowers) > MOST_LAYERS:
            raise MinirunError(
                f"cannot make a root file system of {len(self.lowers)} layers",
                reason=f"overlayfs takes {MOST_LAYERS} at most",
            )
        make_directories(self.directory)
        if self.lowers == [f"{self.directory}/{NOTHING}"]:
            make_directories(self.lowers[0], 0o755)
        if self.ephemeral:
            make_directories(self.memory)
        else:
            self.make_pair()

    def make_pair(self) -> None:
        """Upper and work; the upper's own mode and owner are those of the container's root directory."""
        make_directories(f"{self.place}/work")
        remove_tree(f"{self.place}/work/work/incompat")  # a volatile mount that met its crash
        if not exists(self.upper):
            like = posix.stat(self.lowers[0])
            new = f"{self.upper}.new"
            remove_tree(new)
            posix.mkdir(new, 0o755)
            posix.chown(new, like.st_uid, like.st_gid)
            posix.chmod(new, like.st_mode & 0o7777)
            posix.utime(new, ns=(like.st_mtime_ns, like.st_mtime_ns))
            posix.rename(new, self.upper)

    def mount(self, target: str, *, read_only: bool = False) -> None:
        """The merged tree on ``target``, in the caller's mount namespace, private; undone if it fails.

        The caller knows that nobody uses it: what is mounted there was left by somebody who was killed.
        """
        make_directories(target)
        self.unmount(target)
        if self.ephemeral:
            self.mount_memory()
        try:
            self.mount_overlay(target, read_only)
        except BaseException as error:
            self.unmount(target)
            if isinstance(error, OSError):
                raise failed_mount(error, target) from error
            raise

    def mount_memory(self) -> None:
        options = ["mode=0700", *([f"size={self.size}"] if self.size else [])]
        tree = mountfd.new("tmpfs", "minirun", options)
        try:
            mountfd.set_attributes(tree, flags=0, propagation=MS_PRIVATE)
            mountfd.attach(tree, self.memory)
        finally:
            posix.close(tree)
        self.make_pair()

    def mount_overlay(self, target: str, read_only: bool) -> None:
        if not self.maps:
            attach_overlay(target, *self.parts(self.lowers, self.place, read_only), self.flags())
            return
        bench = f"{self.directory}/mapped"
        try:
            lowers, place = map_all(bench, self.lowers, self.place, self.maps)
            attach_overlay(target, *self.parts(lowers, place, read_only), self.flags())
        finally:
            clear(bench)

    def parts(self, lowers: list[str], place: str, read_only: bool) -> tuple[list[str], str]:
        """(lower directories, what holds upper and work); to look only, the upper is one more layer."""
        return ([f"{place}/upper", *lowers], "") if read_only else (lowers, place)

    def flags(self) -> list[str]:
        """No redirects, made or followed: the upper can be read by itself (``changes``), and no layer can forge one."""
        flags = ["redirect_dir=nofollow", "metacopy=off"] if not self.userxattr else ["userxattr"]
        return [*flags, *(["volatile"] if self.volatile or self.ephemeral else [])]

    def unmount(self, target: str) -> None:
        """Gone from the tree at once, whoever still looks at it; fine if it was not mounted."""
        for place in (target, *([self.memory] if self.ephemeral else [])):
            detach(place)
        clear(f"{self.directory}/mapped")

    def remove(self) -> None:
        """The upper and all that belongs to it; the caller has unmounted.  Never follows a link, never leaves."""
        if self.ephemeral:
            detach(self.memory)
        clear(f"{self.directory}/mapped")
        for name in ("upper", "upper.new", "work", "memory", NOTHING):
            remove_tree(f"{self.directory}/{name}")


def attach_overlay(target: str, lowers: list[str], place: str, flags: list[str]) -> None:
    """``place`` holds upper and work, or is "": nothing can be written."""
    unfit = next((path for path in (*lowers, place) if any(letter in path for letter in UNFIT)), "")
    if unfit:
        raise MinirunError(
            f"cannot mount layers of {unfit}", reason=f"overlayfs cannot take a path with one of {UNFIT}"
        )
    own = [f"upperdir={place}/upper", f"workdir={place}/work"] if place else ["ro"]
    volatile = [flag for flag in flags if flag != "volatile" or place]
    if not one_by_one():
        attach_by_page(target, lowers, own, volatile)
        return
    tree = mountfd.new("overlay", "minirun", [f"lowerdir+={path}" for path in lowers] + own + volatile)
    try:
        mountfd.set_attributes(tree, flags=0, propagation=MS_PRIVATE)
        mountfd.attach(tree, target)
    finally:
        posix.close(tree)


def attach_by_page(target: str, lowers: list[str], own: list[str], flags: list[str]) -> None:
    """mount(2) with relative names: links 0, 1, 2 ... beside the target, for the moment that the call takes."""
    names, before = f"{target}.layers", posix.open(".", O_PATH | posix.O_CLOEXEC)
    remove_tree(names)
    make_directories(names)
    try:
        posix.chdir(names)
        for number, path in enumerate(lowers):
            posix.symlink(path, str(number))
        stack = "lowerdir=" + ":".join(str(number) for number in range(len(lowers)))
        mounts.mount("minirun", target, "overlay", ",".join([stack, *own, *flags]))
        mounts.make_private(target)
    finally:
        posix.fchdir(before)
        posix.close(before)
        remove_tree(names)


def one_by_one() -> bool:
    """Does overlayfs take lowerdir+?  By the kernel's number: asking costs a mount."""
    numbers = posix.uname().release.split(".")
    return (int(numbers[0]), int("".join(c for c in numbers[1] if c.isdigit()) or 0)) >= (6, 5)


def map_all(bench: str, lowers: list[str], place: str, maps: tuple[str, str]) -> tuple[list[str], str]:
    """Id-mapped clones of the layers and of ``place``, attached below ``bench``: overlayfs takes no detached ones."""
    clear(bench)
    space = mountfd.user_namespace(*[with_mounter(text) for text in maps])
    try:
        for number, path in enumerate([place, *lowers]):
            spot = f"{bench}/{number}"
            make_directories(spot)
            source = posix.open(path, O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
            try:
                tree = mountfd.open_tree(source, 0, path)
            finally:
                posix.close(source)
            try:
                mountfd.set_attributes(tree, flags=0, propagation=MS_PRIVATE, user_namespace=space, path=path)
                mountfd.attach(tree, spot)
            finally:
                posix.close(tree)
    finally:
        posix.close(space)
    return [f"{bench}/{number}" for number in range(1, len(lowers) + 1)], f"{bench}/0"


def with_mounter(text: str) -> str:
    """Us, too, as the id above all others: overlayfs makes its work directory as whoever mounts it.

    What the container's processes make has their ids all the same (ovl_override_creator_creds).
    """
    rows = [[int(word) for word in line.split()] for line in text.splitlines()]
    if any(host <= 0 < host + count for _, host, count in rows):
        return text
    return f"{text.rstrip()}\n{max(inside + count for inside, _, count in rows)} 0 1\n"


def clear(bench: str) -> None:
    """Nothing is mounted below ``bench`` any more, and it is not there."""
    if exists(bench):
        for name in posix.listdir(bench):
            detach(f"{bench}/{name}")
        remove_tree(bench)


def detach(path: str) -> None:
    """Everything that is mounted on ``path``; MNT_DETACH never waits."""
    while True:
        try:
            mounts.detach(path)
        except OSError as error:
            if error.errno in (EINVAL, ENOENT):  # nothing (more) is mounted there
                return
            raise


def failed_mount(error: OSError, target: str) -> MinirunError:
    """Why there is no root file system, with what to do about it."""
    call = getattr(error, "call", "mount")
    hint = {
        "fsopen": "overlayfs is not in this kernel: modprobe overlay",
        "mount_setattr": "this file system cannot map ids: keep the storage on ext4, xfs or btrfs",
    }.get(call, "")
    if "not supported as upperdir" in str(error):
        hint = "the storage lies on a file system that overlayfs cannot write to (another overlay?): --storage another"
    return MinirunError(
        f"cannot mount the root file system on {target}",
        reason=error.strerror or str(error),
        step=f"{call} {error.filename or ''}".strip(),
        hint=hint,
    )
