"""Archives of images that mean harm, made on demand, and what is said of each (test_image_hostile.py)."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from typing import Any

from tests.integration.image_maker import (
    OCI,
    configuration,
    described,
    docker_files,
    encoded,
    index,
    layer,
    layout,
    manifest,
    named,
    one_layout,
    sha,
)

Files = dict[str, Any]
LAYER = layer(hello="world")


def special(name: str, kind: bytes, link: str = "") -> Files:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return {name: entry}


def with_index(value: Any, **files: bytes) -> Files:
    found: Files = {}
    manifest(found, LAYER)
    return {**layout(files=found), "index.json": encoded(value), **files}


def with_manifest(**more: Any) -> Files:
    return one_layout("made:1", **more)


def with_config(**more: Any) -> Files:
    return one_layout("made:1", LAYER, config=configuration(LAYER, **more))


def with_entry(**more: Any) -> Files:
    """The descriptor of the manifest in index.json says something else."""
    files: Files = {}
    made = manifest(files, LAYER)
    return layout({**described(made, "manifest.v1+json", **named("made:1")), **more}, files=files)


def with_layer(**more: Any) -> Files:
    return with_manifest(layers=[{**described(LAYER, "layer.v1.tar"), **more}])


def swapped() -> Files:
    """The layer's blob is not what its name says."""
    files = one_layout("made:1", LAYER)
    files["blobs/sha256/" + sha(LAYER)[7:]] = LAYER.replace(b"world", b"w0rld")
    return files


def chain(depth: int) -> Files:
    files: Files = {}
    one = described(manifest(files, LAYER), "manifest.v1+json")
    for _ in range(depth):
        data = encoded(index(one))
        files["blobs/sha256/" + sha(data)[7:]] = data
        one = described(data, "index.v1+json")
    return layout({**one, **named("made:1")}, files=files)


def loop() -> Files:
    """An index that names itself: it cannot have the digest, so it is a lie."""
    name = "sha256:" + "5" * 64
    data = encoded(index({"mediaType": OCI + "index.v1+json", "digest": name, "size": 300}))
    return layout({"mediaType": OCI + "index.v1+json", "digest": name, "size": len(data)},
                  files={"blobs/sha256/" + "5" * 64: data})  # fmt: skip


def deep(brackets: int) -> bytes:
    return b'{"schemaVersion": 2, "manifests": ' + b"[" * brackets + b"]" * brackets + b"}"


def two_entries() -> list[Any]:
    return [("manifest.json", b"[]"), ("manifest.json", b"{}")]


INDEX_AND_MANIFEST = {"manifests": [], "mediaType": OCI + "manifest.v1+json"}
CORPUS: dict[str, tuple[Callable[[], Files], str]] = {
    # digests and sizes
    "a layer of another digest": (swapped, "has another digest"),
    "a layer of another size": (lambda: with_layer(size=len(LAYER) - 1), "bytes, not"),
    "a manifest of another size": (lambda: with_entry(size=7), "bytes, not 7"),
    "a manifest of another digest": (lambda: with_entry(digest="sha256:" + "0" * 64), "is not in it"),
    "a negative size": (lambda: with_entry(size=-1), "the size of"),
    "a size of 2**70": (lambda: with_entry(size=1 << 70), "the size of"),
    "a size that is a float": (lambda: with_entry(size=1.5), "the size of"),
    "a size that is true": (lambda: with_entry(size=True), "the size of"),
    "a digest with a path in it": (lambda: with_entry(digest="sha256:../../../etc/passwd"), "is not a digest"),
    "a digest in capitals": (lambda: with_entry(digest="sha256:" + "A" * 64), "is not a digest"),
    "a digest of md5": (lambda: with_entry(digest="md5:" + "0" * 32), "is not a digest"),
    "a layer that is not there": (lambda: with_layer(digest="sha256:" + "1" * 64), "is not in it"),
    "a docker layer of another content": (lambda: docker_files(LAYER, config=configuration(b"x")), "its content is"),
    "a docker layer too many": (lambda: docker_files(LAYER, config=configuration(LAYER, LAYER)), "2 diff ids for 1"),
    "a docker layer of broken gzip": (
        lambda: docker_files(gzip.compress(LAYER)[:-9], config=configuration(LAYER)), "it ends in the middle"),
    # indexes
    "an index without end": (lambda: chain(4), "more than 3 deep"),
    "an index that names itself": (loop, "has another digest"),
    "an index of 1001 images": (
        lambda: with_index(index(*[described(b"x", "manifest.v1+json")] * 1001)), "more than 1000"),
    "an index of nothing": (lambda: with_index(index()), "there is no image in it"),
    "an index that is a list": (lambda: with_index([1]), "not one JSON object"),
    "an index whose manifests are a string": (lambda: with_index(index(manifests="x")), "is not a list"),
    "an index whose manifest is a number": (lambda: with_index(index(manifests=[7])), "a descriptor is not an object"),
    "an index in a manifest's clothes": (lambda: with_manifest(**INDEX_AND_MANIFEST), "a manifest at once"),
    "a manifest in an index's clothes": (lambda: with_manifest(mediaType=OCI + "index.v1+json"), "its media type is"),
    "a manifest called an index": (lambda: with_entry(mediaType=OCI + "index.v1+json"), "its media type is"),
    "a manifest of schema 1": (lambda: with_manifest(schemaVersion=1), "schema version is not 2"),
    # documents
    "a document of 5 MiB": (lambda: with_index(b"{" + b" " * (5 << 20) + b"}"), "larger than 4 MiB"),
    "a manifest of 5 MiB": (lambda: with_manifest(annotations={"a": "x" * (5 << 20)}), "larger than 4 MiB"),
    "a document 100000 levels deep": (lambda: with_index(deep(100_000)), "not valid"),
    "a document 33 levels deep": (lambda: with_index(deep(33)), "deeper than 32 levels"),
    "a member twice": (lambda: with_index(b'{"manifests": [], "manifests": []}'), "named twice"),
    "not UTF-8": (lambda: with_index(b'{"\xff": 1}'), "not JSON"),
    "half a document": (lambda: with_index(b'{"manifests": ['), "not JSON"),
    "NaN": (lambda: with_index(b'{"manifests": NaN}'), "not JSON"),
    "an empty document": (lambda: with_index(b""), "not JSON"),
    "a configuration that is a list": (lambda: one_layout("made:1", LAYER, config=[]), "not one JSON object"),
    "a configuration whose Env is a number": (lambda: with_config(config={"Env": 7}), "Env is not a list"),
    "a configuration whose Cmd has numbers": (lambda: with_config(config={"Cmd": [7]}), "Cmd is not a list"),
    "a configuration with a NUL": (lambda: with_config(config={"Cmd": ["a\0b"]}), "NUL"),
    "a configuration whose User is a list": (lambda: with_config(config={"User": []}), "User is not a string"),
    "a configuration whose Labels are lists": (lambda: with_config(config={"Labels": {"a": []}}), "Labels is not"),
    "a configuration without layers": (lambda: with_config(rootfs={}), "0 diff ids for 1"),
    "a configuration with bad diff ids": (lambda: with_config(rootfs={"diff_ids": ["../x"]}), "is not a diff id"),
    "a history of numbers": (lambda: with_config(history=[7]), "history is not"),
    "an architecture that is a number": (lambda: with_config(architecture=7), "architecture is not a string"),
    "an artifact": (lambda: with_manifest(kind="text/plain"), "an artifact, not an image"),
    "a layer of an unknown kind": (lambda: with_layer(mediaType="text/plain"), "cannot be unpacked"),
    "1001 layers": (lambda: with_manifest(layers=[described(LAYER, "layer.v1.tar")] * 1001), "more than 1000"),
    "a layout of version 2": (
        lambda: {**one_layout(), "oci-layout": b'{"imageLayoutVersion": "2.0"}'}, "the version of its layout"),
    "a manifest.json without a list": (lambda: {**docker_files(), "manifest.json": b"7"}, "is not a list"),
    "a manifest.json that breaks out": (lambda: {**docker_files(), "manifest.json": b'[],"x":1'}, "is not a list"),
    "a manifest.json with a name that is none": (lambda: docker_files(tags=("../x",)), "is not the name of an image"),
    "a Config that is a number": (lambda: docker_files(Config=7), "no configuration"),
    "Layers that are numbers": (lambda: docker_files(Layers=[7]), "lists of strings"),
    "a parent that is its own": (
        lambda: {"a/json": b'{"parent": "a"}', "repositories": b'{"x": {"1": "a"}}'}, "in a circle"),
    # the archive itself
    "a name with ..": (lambda: {**docker_files(), "../evil": b"x"}, "leads out of it"),
    "a name within with ..": (lambda: {**docker_files(), "a/../../evil": b"x"}, "leads out of it"),
    "an absolute name": (lambda: {**docker_files(), "/tmp/evil": b"x"}, "leads out of it"),
    "a layer by a path that leads out": (lambda: docker_files(Layers=["../../etc/passwd"]), "is not in it"),
    "a configuration by an absolute path": (lambda: docker_files(Config="/etc/passwd"), "is not in it"),
    "a symlink out": (
        lambda: {**docker_files(), **special("0/layer.tar", tarfile.SYMTYPE, "../../etc/passwd")}, "leads out of it"),
    "an absolute symlink": (lambda: {**docker_files(), **special("x", tarfile.SYMTYPE, "/etc/passwd")}, "leads out"),
    "a hard link out": (lambda: {**docker_files(), **special("x", tarfile.LNKTYPE, "../etc/passwd")}, "leads out"),
    "links in a circle": (
        lambda: {**docker_files(Layers=["x"]), **special("x", tarfile.SYMTYPE, "y"),
                 **special("y", tarfile.SYMTYPE, "x")}, "in a circle"),
    "a device": (lambda: {**docker_files(), **special("sda", tarfile.BLKTYPE)}, "neither a file nor a directory"),
    "a fifo": (lambda: {**docker_files(), **special("pipe", tarfile.FIFOTYPE)}, "neither a file nor a directory"),
    "a layout's blob that is a link": (
        lambda: {**one_layout("made:1", LAYER),
                 **special("blobs/sha256/" + sha(LAYER)[7:], tarfile.SYMTYPE, "../../index.json")}, "bytes, not"),
    "nothing that is an image": (lambda: {"hello": b"world"}, "cannot find an image"),
}  # fmt: skip
