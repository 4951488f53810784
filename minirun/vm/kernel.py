"""Which kernel a guest gets, and the initramfs that goes with it.

Searched in this order; the first that is there is taken:

1. what was asked for: ``vm run --kernel``, an annotation, ``vm.kernel.path`` of config.json, ``$MINIRUN_KERNEL``
2. ``/var/lib/minirun/guest``: installed for this machine
3. the checkout's ``.cache/guest/default`` (``make guest-kernel``)
4. this machine's own: ``/boot/vmlinuz-RELEASE`` with ``/lib/modules/RELEASE``

A kernel is a file (bzImage or ELF vmlinux), or a folder with ``vmlinux`` or ``vmlinuz`` in it.  Its modules are in
``modules/`` beside it, else in ``/lib/modules/RELEASE``, where the release is read from the bzImage; a kernel
without modules is taken to have everything built in.  modules.dep(5) and modules.builtin say what it has: one that
lacks a driver which the machine needs is refused here, by name, not by a guest that never answers.
"""

from __future__ import annotations

import posix
from _blake2 import blake2b

from minirun.errors import MinirunError
from minirun.record import Record
from minirun.vm import initramfs
from minirun.vm.boot import bzimage
from minirun.vm.boot.entry import BadKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INSTALLED = "/var/lib/minirun/guest"
CHECKOUT = __file__.rpartition("/minirun/vm/")[0] + "/.cache/guest/default"
IMAGES = ("vmlinux", "vmlinuz", "bzImage")  # in a folder: the uncompressed one first, it starts sooner
LARGEST = 1 << 30  # of what is read whole
EINVAL, EFBIG = 22, 27
HINT = (
    "make guest-kernel fetches Debian's kernel for guests; MINIRUN_KERNEL, or the annotation dev.minirun.vm.kernel, "
    "names another: a bzImage, a vmlinux, or a folder with one"
)


class Kernel(Record):
    """``image`` is a file; ``modules`` a folder with modules.dep, or "" if all is built in; ``why`` says who chose."""

    image: str
    modules: str = ""
    why: str = ""


def find(asked: str = "", *, why: str = "asked for", environ: Mapping[bytes, bytes] = posix.environ) -> Kernel:
    """The kernel for a guest.  Raises MinirunError."""
    if asked:
        return at(asked, why)
    given = environ.get(b"MINIRUN_KERNEL", b"").decode("utf-8", "surrogateescape")
    if given:
        return at(given, "MINIRUN_KERNEL")
    for folder, reason in ((INSTALLED, "installed for guests"), (CHECKOUT, "the checkout's own")):
        if image_in(folder):
            return at(folder, reason)
    own = f"/boot/vmlinuz-{posix.uname().release}"
    if exists(own):
        return at(own, "this machine's own")
    raise MinirunError("there is no kernel for a virtual machine here", hint=HINT)


def at(path: str, why: str = "") -> Kernel:
    """The kernel that ``path`` (a file or a folder) means.  Raises MinirunError."""
    image = image_in(path)
    if not image:
        raise MinirunError(f"cannot find a kernel at {path}", reason=reason_for(path), hint=HINT)
    beside = image.rpartition("/")[0] or "."
    for modules in (f"{beside}/modules", f"/lib/modules/{release(image)}"):
        if exists(f"{modules}/modules.dep"):
            return Kernel(image=image, modules=modules, why=why)
    return Kernel(image=image, why=why)


def image_in(path: str) -> str:
    """``path`` itself if it is a file; the image in it if it is a folder; "" if there is none."""
    try:
        kind = posix.stat(path).st_mode & 0o170000
    except OSError:
        return ""
    if kind == 0o040000:
        return next((f"{path}/{name}" for name in IMAGES if exists(f"{path}/{name}")), "")
    return path if kind == 0o100000 else ""


def reason_for(path: str) -> str:
    try:
        posix.stat(path)
    except OSError as error:
        return error.strerror or ""
    return f"neither a kernel nor a folder with {', '.join(IMAGES)}"


def exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def release(image: str) -> str:
    """uname(2)'s release of a bzImage: x86/boot.rst, kernel_version; "-" if it does not say."""
    head = read(image, 0x10000)
    if head[0x202:0x206] != b"HdrS":
        return "-"
    start = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    text = head[start : start + 128].partition(b"\0")[0].partition(b" ")[0].decode("ascii", "replace")
    return text if text and "/" not in text else "-"


def initramfs_for(kernel: Kernel, devices: Iterable[str] = initramfs.USUAL, *, init: str, cache: str = "") -> bytes:
    """The archive for a machine with ``devices``; ``init`` is minirun-init's path.  Raises MinirunError, OSError.

    A distribution that compresses its modules would cost a tenth of a second at every start: what is made of such
    is kept in ``cache``, a folder of our own, under what it is made of.
    """
    paths = module_paths(kernel, initramfs.wanted(devices))
    kept = f"{cache}/{fingerprint([init, *paths])}" if cache and any(not path.endswith(".ko") for path in paths) else ""
    data = look_up(kept) if kept else b""
    if not data:
        data = initramfs.build(read(init), [(initramfs.module_name(path), uncompressed(path)) for path in paths])
        if kept:
            keep(kept, data)
    return data


def to_boot(kernel: Kernel, cache: str = "") -> str:
    """The file to load: the vmlinux in a bzImage, kept in ``cache``, for a guest that unpacks itself loses a second.

    Where there is no cache, or the host cannot unpack it, the guest does: then it is the bzImage itself.
    """
    image = kernel.image
    if not cache or not bzimage.is_bzimage(read(image, 0x206)):
        return image
    kept = f"{cache}/vmlinux-{fingerprint([image])}"
    if not is_ours(kept):
        from minirun.vm.boot.unpack import vmlinux

        try:
            data = vmlinux(read(image))
        except BadKernel:
            return image  # the guest will say what is wrong with it
        if data:
            keep(kept, data)
    return kept if is_ours(kept) else image


def module_paths(kernel: Kernel, names: list[str]) -> list[str]:
    """The files to load, in order.  A kernel that has no ``names``, neither as a module nor built in, is refused."""
    if not kernel.modules:
        return []
    paths, unknown = initramfs.load_order(read(f"{kernel.modules}/modules.dep").decode(), names)
    if unknown:
        built_in = (
            read(f"{kernel.modules}/modules.builtin").decode() if exists(f"{kernel.modules}/modules.builtin") else ""
        )
        have = {initramfs.module_name(line) for line in built_in.splitlines()}
        lacking = [name for name in unknown if name not in have]
        if lacking:
            raise MinirunError(f"the kernel {kernel.image} has no {', '.join(lacking)}", hint=HINT)
    return [path if path.startswith("/") else f"{kernel.modules}/{path}" for path in paths]


def fingerprint(paths: list[str]) -> str:
    """Changes when a file of ``paths`` does, by stat(2)."""
    words = []
    for path in paths:
        found = posix.stat(path)
        words.append(f"{path} {found.st_size} {found.st_mtime_ns} {found.st_ino}")
    return blake2b("\n".join(words).encode(), digest_size=16).hexdigest()


def uncompressed(path: str) -> bytes:
    """A module's bytes.  Raises MinirunError for a compression that Python cannot undo."""
    data = read(path)
    if data.startswith(b"\x7fELF"):
        return data
    if data.startswith(b"\xfd7zXZ"):
        from lzma import decompress

        return decompress(data)
    if data.startswith(b"\x1f\x8b"):
        from zlib import decompressobj

        return decompressobj(31).decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return by_zstd(path)
    raise MinirunError(f"cannot read the kernel module {path}", reason="compressed in an unknown way")


def by_zstd(path: str) -> bytes:
    """Python learns Zstandard in 3.14; until then its program does it."""
    from subprocess import run

    try:
        done = run(["zstd", "-dcq", path], capture_output=True, check=False)
    except OSError as error:
        raise MinirunError(f"cannot read the kernel module {path}", reason=str(error), hint="install zstd") from error
    if done.returncode:
        raise MinirunError(
            f"cannot read the kernel module {path}", reason=done.stderr.decode("utf-8", "replace").strip()
        )
    return done.stdout


def read(path: str, most: int = -1) -> bytes:
    """Of a regular file: a fifo would let us wait, a device give without end.  Raises OSError."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:
        found = posix.fstat(fd)
        if found.st_mode & 0o170000 != 0o100000:
            raise OSError(EINVAL, "it is not a regular file", path)
        if most < 0 and found.st_size > LARGEST:
            raise OSError(EFBIG, f"it has {found.st_size} bytes", path)
        return file.read(most) if most >= 0 else file.readall()


def look_up(path: str) -> bytes:
    """What is kept there, if it is of our own; else nothing."""
    try:
        return read(path) if is_ours(path) else b""
    except OSError:
        return b""


def is_ours(path: str) -> bool:
    """It is there, and nobody else could have written it."""
    try:
        found = posix.lstat(path)
    except OSError:
        return False
    return found.st_uid == posix.geteuid() and found.st_mode & ~0o755 == 0o100000


def keep(path: str, data: bytes) -> None:
    """A cache that cannot be written is no cache, and no error.  Renamed into place: never half a file."""
    aside = f"{path}.{posix.getpid()}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
    try:
        if not exists(folder := path.rpartition("/")[0]):
            posix.mkdir(folder, 0o700)
        with open(posix.open(aside, flags, 0o600), "wb", buffering=0) as file:
            file.write(data)
        posix.rename(aside, path)
    except OSError:
        if exists(aside):
            posix.unlink(aside)
