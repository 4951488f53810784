"""Roads that break and registries that are busy, slow or silent: what passes is waited for, the rest ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minirun.errors import MinirunError
from tests.integration.odd_pulls import BLOB, LAYER, blob_of, fetch, left, refused
from tests.integration.odd_registry import MANIFEST, Odd, broken, digest_of, reply, say, trickle


@pytest.fixture
def odd() -> Iterator[Odd]:
    made = Odd()
    yield made
    made.close()


def test_what_breaks_off_goes_on_where_it_was(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    odd.odd[BLOB] = broken(LAYER, 100_000, [2])
    fetch(odd, tmp_path)
    assert [headers.get("Range") for headers in odd.asked(digest_of(LAYER))] == [None, "bytes=100000-", "bytes=200000-"]


def test_what_always_breaks_off_is_an_error_and_is_kept_for_the_next(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    odd.odd[BLOB] = broken(LAYER, 50_000, [3])
    with pytest.raises(MinirunError, match=r"cannot pull .*the connection .* broke|ended after") as caught:
        fetch(odd, tmp_path)
    assert "goes on from there" in caught.value.hint
    assert [name for name in left(tmp_path) if name.endswith(".part")]
    fetch(odd, tmp_path)
    assert odd.asked(digest_of(LAYER))[-1]["Range"] == "bytes=150000-"


def test_a_piece_that_was_wrong_costs_one_more_try(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    ingest = tmp_path / "storage" / "ingest"
    ingest.mkdir(parents=True)
    part = ingest / f"{digest_of(LAYER).removeprefix('sha256:')}.part"
    for wrong in (b"wrong" * 1000, LAYER[:-1] + b"!", LAYER + b"too long"):
        part.write_bytes(wrong)
        fetch(odd, tmp_path)
        assert (tmp_path / "storage/blobs/sha256" / part.stem).read_bytes() == LAYER
        (tmp_path / "storage/blobs/sha256" / part.stem).unlink()
    odd.odd[BLOB] = blob_of(LAYER)  # knows no Range
    part.write_bytes(LAYER[:1000])
    fetch(odd, tmp_path)


def test_a_registry_that_is_started_anew_meanwhile(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])

    def act(handler: Any) -> None:
        del odd.odd[BLOB]
        handler.close_connection = True
        odd.restart(0.3)

    odd.odd[BLOB] = act
    fetch(odd, tmp_path, attempts=5, pause=0.1)
    assert len(odd.asked(digest_of(LAYER))) == 2


def test_a_busy_registry_is_asked_again(odd: Odd, tmp_path: Path) -> None:
    odd.image([LAYER])
    path = "/v2/x/manifests/latest"
    answers = [503, 429]

    def act(handler: Any) -> None:
        if answers:
            say(handler, answers.pop(), "TOOMANYREQUESTS", "later", headers={"Retry-After": "0"})
        else:
            reply(handler, odd.things[path][1], headers={"Content-Type": MANIFEST})

    odd.odd[path] = act
    fetch(odd, tmp_path)
    assert len(odd.asked("latest")) == 3


def test_a_registry_that_is_busy_for_long(odd: Odd, tmp_path: Path) -> None:
    odd.odd["/v2/x/manifests/latest"] = lambda handler: say(
        handler, 429, "TOOMANYREQUESTS", "you have reached your limit", headers={"Retry-After": "3600"}
    )
    error = refused(odd, tmp_path, "has had enough requests")
    assert len(odd.asked("latest")) == 1 and "3600" in error.hint and "you have reached your limit" in error.step
    odd.odd["/v2/x/manifests/latest"] = lambda handler: reply(handler, b"oops", status=500)
    refused(odd, tmp_path, "the registry has failed")
    assert len(odd.asked("latest")) == 1 + 3


def test_a_registry_that_trickles(odd: Odd, tmp_path: Path) -> None:
    """Each is within its time by the socket's own clock, which starts anew with every byte; ours does not."""
    impatient: dict[str, Any] = {"attempts": 1, "silence": 0.6, "answer": 1.0}
    over = r"sends next to nothing|no answer from .* in time|no whole answer from|is silent"
    odd.image([LAYER])
    manifest = "/v2/x/manifests/latest"
    for path, act in (
        (BLOB, trickle(odd, LAYER)),
        (manifest, trickle(odd, b"", head=True)),
        (manifest, trickle(odd, b" " * 9999)),
        ("/v2/", lambda handler: time.sleep(1.5)),
    ):
        odd.odd[path] = act
        before = time.monotonic()
        with pytest.raises(MinirunError, match=over):
            fetch(odd, tmp_path, **impatient)
        assert time.monotonic() - before < 8


def test_what_is_no_registry(odd: Odd, tmp_path: Path) -> None:
    odd.odd["/v2/"] = lambda handler: reply(handler, b"welcome", status=404)
    error = refused(odd, tmp_path, "does not answer as registries do")
    assert error.step.endswith("/v2/ -> 404")
    free = Odd()
    free.close()
    error = refused(free, tmp_path, "connection refused")
    assert (
        error.step.endswith("-> connection refused")
        and free.host in error.reason
        and "does a registry listen there" in error.hint
    )
