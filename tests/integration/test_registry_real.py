"""pull, push, login and logout against docker-registry as the distribution has it: plain, with TLS, with passwords,
with tokens; beside skopeo and podman, whose digests must be ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.images import compose, media, upload
from minirun.images.authority import Who
from minirun.images.blobs import digest_of
from minirun.images.media import Descriptor
from minirun.images.progress import Bar
from minirun.images.registry import Client
from minirun.images.store import Images
from tests.conftest import MINIRUN, Json, run
from tests.integration import registries
from tests.integration.real_pulls import BIG, HASTY, fetch, minirun, said, send, small, whole
from tests.integration.registries import Registry, Road
from tests.integration.small_images import image as small_image


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with one image, local/small:1."""
    storage = tmp_path_factory.mktemp("store") / "storage"
    small_image(storage, "local.test/small:1", BIG)
    return storage


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("plain")) as opened:
        yield opened


# there and back, by the command line


def test_push_and_pull(store: Path, plain: Registry, tmp_path: Path) -> None:
    name = f"{plain.host}/team/small:1"
    done = minirun(store, "push", "local.test/small:1", name)
    assert done.returncode == 0, done.stderr
    digest = small(store).manifest_digest
    assert done.stdout.startswith(f"1: digest: {digest} size: ")
    assert "pushed, 3.15MB" in done.stderr and f"1: pushing to {plain.host}/team/small" in done.stderr
    done = minirun(tmp_path, "pull", name)
    assert done.stdout == f"Digest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n"
    assert done.stderr.count(": pulled, ") == len(BIG) + 1
    done = minirun(tmp_path, "pull", name)
    assert done.stdout == f"Digest: {digest}\nStatus: Image is up to date for {name}\n{name}\n"
    assert minirun(tmp_path, "pull", "-q", f"{plain.host}/team/small@{digest}").stderr == ""
    whole(tmp_path, Images(str(tmp_path)).find(name))


def test_what_is_there_is_not_sent_again(store: Path, plain: Registry, tmp_path: Path) -> None:
    send(store, f"{plain.host}/first:1")
    before = len(plain.requests())
    assert "already there" in minirun(store, "push", "local.test/small:1", f"{plain.host}/first:2").stderr
    assert {line.split()[0] for line in plain.requests()[before:]} == {"GET", "HEAD", "PUT"}
    images = Images(str(store))
    images.tag(f"{plain.host}/first:1", small(store).target)
    try:
        done = minirun(store, "push", "local.test/small:1", f"{plain.host}/beside/second:1")
    finally:
        images.untag(f"{plain.host}/first:1")
    assert done.stderr.count("mounted from first") == len(BIG), done.stderr
    fetch(tmp_path, f"{plain.host}/beside/second:1")


@pytest.mark.needs("skopeo")
def test_skopeo_reads_what_we_push_and_we_what_it_pushes(store: Path, plain: Registry, tmp_path: Path) -> None:
    digest = send(store, f"{plain.host}/ours:1").digest
    ours = f"docker://{plain.host}/ours:1"
    found = run("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", ours)
    assert found.stdout.strip() == digest, found.stderr
    copied = run("skopeo", "copy", "--src-tls-verify=false", ours, f"oci:{tmp_path}/layout:1")
    assert copied.returncode == 0, copied.stderr
    index = json.loads((tmp_path / "layout/index.json").read_text())
    assert index["manifests"][0]["digest"] == digest
    for kind, pattern in (("oci", media.MANIFEST), ("v2s2", media.DOCKER_MANIFEST)):
        target = f"docker://{plain.host}/theirs:{kind}"
        sent = run("skopeo", "copy", "--dest-tls-verify=false", "-f", kind, f"oci:{tmp_path}/layout:1", target)
        assert sent.returncode == 0, sent.stderr
        raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", target).stdout
        image = fetch(tmp_path, f"{plain.host}/theirs:{kind}")
        assert image.target.digest == digest_of(raw.encode()) and image.target.mediaType == pattern
        assert image.diff_ids == small(store).diff_ids
        whole(tmp_path / "storage", image)


@pytest.mark.needs("root", "podman")
def test_podman_reads_what_we_push_and_we_what_it_pushes(store: Path, plain: Registry, tmp_path: Path) -> None:
    digest = send(store, f"{plain.host}/for/podman:1").digest
    runroot = tempfile.mkdtemp(prefix="minirun-")  # podman takes no longer one than 50 characters
    places = ("--root", tmp_path / "root", "--runroot", runroot, "--storage-driver", "vfs")

    def podman(*words: str) -> str:
        done = run("podman", *places, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    try:
        identity = podman("pull", "-q", "--tls-verify=false", f"{plain.host}/for/podman:1")
        assert f"sha256:{identity}" == small(store).id
        assert podman("image", "inspect", "--format", "{{.Digest}}", identity) == digest
        podman("push", "-q", "--tls-verify=false", identity, f"{plain.host}/from/podman:1")
    finally:
        shutil.rmtree(runroot)
    assert fetch(tmp_path, f"{plain.host}/from/podman:1").diff_ids == small(store).diff_ids


def attestation(images: Images, about: str) -> Json:
    """What buildkit puts beside an image: it has a manifest's form, and is none."""
    config = images.blobs.put(b"{}", media.CONFIG)
    statement = images.blobs.put(b'{"_type": "https://in-toto.io/Statement/v0.1"}', "application/vnd.in-toto+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.MANIFEST,
        "config": config.to_json(),
        "layers": [statement.to_json()],
    }
    written = images.blobs.put(json.dumps(manifest).encode(), media.MANIFEST)
    notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about}
    return {**written.to_json(), "platform": {"os": "unknown", "architecture": "unknown"}, "annotations": notes}


def index_in(store: Path, name: str) -> Descriptor:
    """An index of two platforms in a storage."""
    images = Images(str(store))
    with images.shared():
        listed = []
        for architecture in ("amd64", "arm64"):
            base = small(store)
            one = compose.image_from(
                images, base=base, config={"Labels": {"for": architecture}}, name="", platform=f"linux/{architecture}",
                created="2020-01-01T00:00:00Z",
            )  # fmt: skip
            listed.append({**one.target.to_json(), "platform": {"os": "linux", "architecture": architecture}})
        listed.append(attestation(images, listed[0]["digest"]))
        text = json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": listed})
        target = images.blobs.put(text.encode(), media.INDEX)
        images.tag(name, target)
    return target


def test_an_index_by_platform_and_whole(store: Path, plain: Registry, tmp_path: Path) -> None:
    name = f"{plain.host}/both:1"
    target = index_in(store, name)
    assert said(store, "push", "--all-platforms", name).startswith(f"1: digest: {target.digest} ")
    image = Images(str(tmp_path))
    for architecture in ("arm64", "amd64"):
        assert f"Digest: {target.digest}" in said(tmp_path, "pull", "--platform", architecture, name)
        assert image.find(name, architecture).config["config"]["Labels"] == {"for": architecture}
    alone = tmp_path / "alone"
    said(alone, "pull", "--platform", "linux/amd64", name)
    done = minirun(alone, "push", "--all-platforms", name, f"{plain.host}/half:1")
    assert done.returncode == 125 and "of all that it has linux/arm64 is not here" in done.stderr
    said(alone, "pull", "--all-platforms", name)
    assert said(alone, "push", "-q", "--all-platforms", name, f"{plain.host}/half:1")
    done = minirun(tmp_path, "pull", "--platform", "linux/s390x", name)
    assert "there is none for linux/s390x" in done.stderr and "linux/amd64, linux/arm64" in done.stderr


def test_in_parts(store: Path, plain: Registry, tmp_path: Path) -> None:
    """What a registry does not take in one piece it gets in several, as in one with a limit before it."""
    images = Images(str(store))
    client = Client(plain.host, "parts", actions="pull,push", who=Who(), manner=HASTY)
    client.ping()
    for one in small(store).layers:
        fd = images.blobs.open(one.digest)
        upload.in_parts(client, one, upload.begin(client, {}) or "", fd, upload.Sent(Bar()), part=700_000)
        os.close(fd)
        head = client.ask("HEAD", f"parts/blobs/{one.digest}")
        assert head.headers["Content-Length"] == str(one.size)
    assert len([line for line in plain.requests() if line.startswith("PATCH /v2/parts/")]) > len(BIG)


# interrupted


def killed_in_the_middle(storage: Path, road: Road, name: str, sign: signal.Signals) -> subprocess.Popen[str]:
    """A pull that got a third of the way."""
    before = road.passed
    process = subprocess.Popen(
        [str(MINIRUN), "--storage", str(storage), "image", "pull", name], stderr=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 20
    while road.passed - before < 1_500_000 and time.monotonic() < limit:
        time.sleep(0.01)
    assert process.poll() is None, process.stderr and process.stderr.read()
    process.send_signal(sign)
    process.wait(10)
    return process


def test_killed_in_the_middle_it_goes_on_where_it_was(store: Path, plain: Registry, tmp_path: Path) -> None:
    send(store, f"{plain.host}/long:1")
    road = Road(plain.port, 2_000_000)
    name = f"{road.host}/long:1"
    try:
        killed_in_the_middle(tmp_path, road, name, signal.SIGKILL)
        images = Images(str(tmp_path))
        assert images.all() == [] and list((tmp_path / "ingest").glob("*.part"))
        kept = sum(path.stat().st_size for path in (tmp_path / "ingest").iterdir())
        process = killed_in_the_middle(tmp_path, road, name, signal.SIGINT)
        assert process.returncode == 130
        assert "Traceback" not in (process.stderr.read() if process.stderr else "")
        road.rate, before = 0, road.passed
        done = minirun(tmp_path, "pull", name)
        assert done.returncode == 0 and "resumed" in done.stderr, done.stderr
    finally:
        road.close()
    ranges = [line for line in road.lines if line.startswith("Range: bytes=")]
    assert ranges and not any(line == "Range: bytes=0-" for line in ranges)
    total = sum(one.size for one in small(store).layers)
    assert road.passed - before < total - kept + 200_000, "what had come came again"
    whole(tmp_path, Images(str(tmp_path)).find(name))


def test_connections_are_kept(plain: Registry, tmp_path: Path) -> None:
    """Four things at once are four connections, however many requests: each would cost a handshake of TLS."""
    small_image(tmp_path / "many", "local.test/small:1", (1000,) * 12)
    road = Road(plain.port, 0)
    try:
        send(tmp_path / "many", f"{road.host}/many:1")
        assert road.connections <= 5
        fetch(tmp_path, f"{road.host}/many:1")
        assert road.connections <= 10 and len([1 for line in road.lines if line.endswith("HTTP/1.1")]) > 50
    finally:
        road.close()


def test_two_at_once_pull_the_same(store: Path, plain: Registry, tmp_path: Path) -> None:
    name = f"{plain.host}/twice:1"
    send(store, name)
    pulls = [
        subprocess.Popen(
            [str(MINIRUN), "--storage", str(tmp_path), "image", "pull", "-q", name], stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    assert [(process.communicate(timeout=30)[1], process.returncode) for process in pulls] == [("", 0)] * 4
    whole(tmp_path, Images(str(tmp_path)).find(name))


# what goes wrong


def test_errors_say_what_was_asked_and_what_to_do(store: Path, plain: Registry, tmp_path: Path) -> None:
    done = minirun(tmp_path, "pull", f"{plain.host}/absent:9")
    assert (done.returncode, done.stdout) == (125, "")
    assert f"cannot pull {plain.host}/absent:9: the registry has no such image" in done.stderr
    assert f"GET http://{plain.host}/v2/absent/manifests/9 -> 404 MANIFEST_UNKNOWN" in done.stderr
    done = minirun(tmp_path, "pull", "192.0.2.1.invalid/x")
    assert "cannot be resolved" in done.stderr and "is there a network" in done.stderr
    done = minirun(store, "push", "absent:1", f"{plain.host}/x:1")
    assert done.returncode == 125 and "there is no image absent:1" in done.stderr
    done = minirun(store, "push", "local.test/small:1", f"{plain.host}/x@sha256:{'0' * 64}")
    assert "a push needs a tag" in done.stderr
    for words in (("pull",), ("pull", "a", "b"), ("pull", "--tls-verify=perhaps", "a"), ("login", "a/b"),
                  ("pull", "--platform", "arm64", "--all-platforms", "a"), ("logout", "--all", "a")):  # fmt: skip
        assert minirun(tmp_path, *words).returncode == 2
