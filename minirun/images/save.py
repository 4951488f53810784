"""Images to files: what ``docker save`` writes, an OCI archive, or an OCI layout in a directory.

The same images are the same bytes: files in a fixed order, no times, no owners.  A docker-archive has layers without
compression, as all of its readers expect, and no manifest: what has a digest to keep is better in OCI's form.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.images import layout, media
from minirun.images.archive_write import ArchiveWriter
from minirun.images.blobs import CHUNK, hasher, make_directory
from minirun.images.compression import Decompressed, File
from minirun.images.docker_archive import MANIFEST_FILE
from minirun.images.garbage import below
from minirun.images.reference import familiar
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from minirun.images.media import Descriptor
    from minirun.images.store import Image, Images

    Wanted = list[tuple[Image, list[str]]]  # an image, and the names that go with it


def docker_archive(images: Images, wanted: Wanted, out: Callable[[bytes], object]) -> None:
    """Layers as <diff id>.tar, configurations as <id>.json, manifest.json at the end."""
    archive = ArchiveWriter(out)
    done: set[str] = set()
    listed = []
    for image, names in together(wanted, lambda image: image.id):
        for layer, diff_id in zip(image.layers, image.diff_ids, strict=True):
            if diff_id not in done:
                done.add(diff_id)
                add_layer(images, archive, layer, diff_id)
        config = f"{image.id.partition(':')[2]}.json"
        archive.file(config, images.blobs.read(image.id))
        layers = [layer_name(diff_id) for diff_id in image.diff_ids]
        listed.append({"Config": config, "RepoTags": [familiar(name) for name in names] or None, "Layers": layers})
    archive.file(MANIFEST_FILE, encode(listed).encode())
    archive.close()


def layer_name(diff_id: str) -> str:
    return f"{diff_id.partition(':')[2][:64]}.tar"


def add_layer(images: Images, archive: ArchiveWriter, layer: Descriptor, diff_id: str) -> None:
    """Its content, verified; a compressed one goes through a file without a name first, as its length must be known."""
    kind = media.COMPRESSIONS[layer.mediaType]
    hashed = hasher(diff_id.partition(":")[0])
    fd = images.blobs.open(layer.digest)
    try:
        if kind:
            decompress(images, fd, kind, layer)
        archive.begin(layer_name(diff_id), posix.fstat(fd).st_size)
        for data in pieces(fd):
            hashed.update(data)
            archive.write(data)
        archive.end()
    finally:
        posix.close(fd)
    if f"{diff_id.partition(':')[0]}:{hashed.hexdigest()}" != diff_id:
        raise MinirunError(f"cannot save the layer {layer.digest}", reason=f"its content is not {diff_id}")


def decompress(images: Images, fd: int, kind: str, layer: Descriptor) -> None:
    """``fd`` is the content afterwards, in a file that nobody else can see."""
    make_directory(f"{images.storage}/tmp")
    to = posix.open(f"{images.storage}/tmp", posix.O_TMPFILE | posix.O_RDWR | posix.O_CLOEXEC, 0o600)
    try:
        reader = Decompressed(File(fd, layer.digest), kind, f"the layer {layer.digest}")
        while data := reader.read(CHUNK):
            write_all(to, data)
        posix.lseek(to, 0, 0)
        posix.dup2(to, fd, inheritable=False)
    finally:
        posix.close(to)


def oci_archive(images: Images, wanted: Wanted, out: Callable[[bytes], object]) -> None:
    """A layout as a tar archive, with docker's manifest.json, which ``docker load`` wants and nobody else minds."""
    archive = ArchiveWriter(out)
    chosen = together(wanted, lambda image: image.target.digest)
    targets = [(whole(images, image), names) for image, names in chosen]
    archive.file(layout.LAYOUT_FILE, layout_file())
    archive.file(layout.INDEX_FILE, encode(layout.index_of(targets)).encode())
    archive.directory("blobs")
    digests = sorted(everything(images, [target for target, _ in targets]))
    for algorithm in sorted({digest.partition(":")[0] for digest in digests}):
        archive.directory(f"blobs/{algorithm}")
    for digest in digests:
        fd = images.blobs.open(digest)
        try:
            archive.begin(f"blobs/{digest.replace(':', '/')}", posix.fstat(fd).st_size)
            for data in verified(fd, digest):
                archive.write(data)
            archive.end()
        finally:
            posix.close(fd)
    archive.file(MANIFEST_FILE, encode([in_blobs(image, names) for image, names in chosen]).encode())
    archive.close()


def in_blobs(image: Image, names: list[str]) -> dict[str, object]:
    """An entry of manifest.json whose files are a layout's blobs."""
    tags = [familiar(name) for name in names] or None
    layers = [layout.path_of(layer) for layer in image.layers]
    return {"Config": f"blobs/{image.id.replace(':', '/')}", "RepoTags": tags, "Layers": layers}


def directory(images: Images, wanted: Wanted, path: str) -> None:
    """A layout; one that is there already keeps its images, but for those whose names are given again."""
    made: list[str] = []
    try:
        make_public(path, made)
        fill(images, wanted, path, made)
    except BaseException:
        for name in reversed(made):
            take_back(name)
        raise


def fill(images: Images, wanted: Wanted, path: str, made: list[str]) -> None:
    """``made``: what was not there before, to be taken back if not everything can be written."""
    before = old_entries(path)
    targets = [(whole(images, image), names) for image, names in together(wanted, lambda image: image.target.digest)]
    fresh = layout.index_of(targets)
    named = {name for _, names in targets for name in names} | {target.digest for target, names in targets if not names}
    kept = [one for one in before if not named & {*layout.names_of(one), one.digest}]
    fresh["manifests"] = [one.to_json() for one in kept] + fresh["manifests"]
    make_public(f"{path}/blobs", made)
    for digest in sorted(everything(images, [target for target, _ in targets])):
        name = f"{path}/blobs/{digest.replace(':', '/')}"
        make_public(name.rpartition("/")[0], made)
        if not is_there(name, images.blobs.size(digest)):
            fd = images.blobs.open(digest)
            try:
                write_file(name, verified(fd, digest))
            finally:
                posix.close(fd)
            made.append(name)
    if layout.LAYOUT_FILE not in posix.listdir(path):
        write_file(f"{path}/{layout.LAYOUT_FILE}", [layout_file()])
        made.append(f"{path}/{layout.LAYOUT_FILE}")
    write_file(f"{path}/{layout.INDEX_FILE}", [encode(fresh).encode()])


def old_entries(path: str) -> list[Descriptor]:
    """What is in a layout already; an error where something else is."""
    names = posix.listdir(path)
    if layout.INDEX_FILE not in names:
        if names:
            raise MinirunError(f"cannot export to {path}", reason="it is neither empty nor an image layout")
        return []
    from minirun.images.spool import Directory

    source = Directory(None, path)
    try:
        layout.check_version(media.document(source.read(layout.LAYOUT_FILE), layout.LAYOUT_FILE), path)
        what = f"{layout.INDEX_FILE} in {path}"
        return media.index_of(media.document(source.read(layout.INDEX_FILE), what), what)
    finally:
        source.close()


def together(wanted: Wanted, key: Callable[[Image], str]) -> list[tuple[Image, list[str]]]:
    """Each image once, in the order of the command line, with all names that were asked for."""
    found: dict[str, tuple[Image, list[str]]] = {}
    for image, names in wanted:
        known = found.setdefault(key(image), (image, []))
        known[1].extend(name for name in names if name not in known[1])
    return list(found.values())


def whole(images: Images, image: Image) -> Descriptor:
    """The target if all of it is here; of an index that is not whole, only the image that was found."""
    if image.target.digest == image.manifest_digest:
        return layout.bare(image.target)
    every = everything(images, [image.target])
    return layout.bare(image.target if all(map(images.blobs.has, every)) else image.manifest_descriptor)


def everything(images: Images, targets: Iterable[Descriptor]) -> set[str]:
    found: set[str] = set()
    waiting = [target.digest for target in targets]
    while waiting:
        digest = waiting.pop()
        if digest not in found:
            found.add(digest)
            waiting += below(images, digest)
    return found


def layout_file() -> bytes:
    return encode({"imageLayoutVersion": layout.VERSION}).encode()


def pieces(fd: int) -> Iterator[bytes]:
    while data := posix.read(fd, CHUNK):
        yield data


def verified(fd: int, digest: str) -> Iterator[bytes]:
    """Of a blob; the last thing is an error if it is not what it was."""
    hashed = hasher(digest.partition(":")[0])
    for data in pieces(fd):
        hashed.update(data)
        yield data
    if f"{digest.partition(':')[0]}:{hashed.hexdigest()}" != digest:
        raise MinirunError(f"the blob {digest} is damaged", hint="minirun image rm, then pull or load it again")


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[posix.write(fd, view) :]
    except BrokenPipeError:  # whoever read it has had enough
        raise
    except OSError as error:
        raise MinirunError("cannot write the image", reason=error.strerror or "") from error


def write_file(path: str, data: Iterable[bytes]) -> None:
    """Whole, or not at all."""
    making = f"{path}.{posix.getpid()}.new"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC | posix.O_NOFOLLOW
    try:
        fd = posix.open(making, flags, 0o644)
    except OSError as error:
        raise MinirunError(f"cannot write {path}", reason=error.strerror or "") from error
    try:
        for piece in data:
            write_all(fd, piece)
        posix.rename(making, path)
        making = ""
    finally:
        posix.close(fd)
        if making:
            posix.unlink(making)


def is_there(path: str, size: int) -> bool:
    try:
        return posix.stat(path, follow_symlinks=False).st_size == size
    except OSError:
        return False


def make_public(path: str, made: list[str]) -> None:
    try:
        posix.mkdir(path, 0o755)
        made.append(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise MinirunError(f"cannot make {path}", reason=error.strerror or "") from error


def take_back(path: str) -> None:
    try:
        posix.rmdir(path)
    except NotADirectoryError:
        posix.unlink(path)
    except OSError:  # somebody else's are in it
        pass
