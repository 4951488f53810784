"""The pure parts of a container's life: records, names, policies, filters, stamps, keys, the log's form."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from minirun.container import listing, logs, names, restart
from minirun.container.client_side import Face, detach_keys
from minirun.container.logfile import LogFile, check, limits
from minirun.container.protocol import pack, unpack
from minirun.container.record import Container, Status, container_from, seconds_of, stamp, status_from
from minirun.container.shelf import Shelf, check_name
from minirun.errors import MinirunError


def made(**members: object) -> Container:
    return Container(**{"id": "0" * 64, "name": "n", "created": stamp(0), **members})  # type: ignore[arg-type]


def test_records_survive_the_disk() -> None:
    container = made(labels={"a": "b"}, ports=[{"port": 80}], imageConfig={"x": [1, None]})
    assert container_from(container.to_json(), "f") == container
    status = Status(status="running", pid=7)
    assert status_from(status.to_json()[:-1] + b',"newer":1}', "f") == status, "what a newer minirun wrote is left out"
    with pytest.raises(MinirunError):
        container_from(b"[]", "f")


@given(st.integers(0, 4102444800 * 10**9))
def test_stamps_are_read_back(nanoseconds: int) -> None:
    text = stamp(nanoseconds)
    assert abs(seconds_of(text) - nanoseconds / 1e9) < 1e-6
    assert datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp() == nanoseconds // 10**9


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "é", "x" * 129, "../x"])
def test_bad_names(name: str) -> None:
    with pytest.raises(MinirunError):
        check_name(name)


def test_made_up_names_are_names() -> None:
    assert all(check_name(name) for _ in range(20) for name in names.candidates())


@pytest.mark.parametrize(
    ("word", "most", "code", "restarts", "stopped", "wanted"),
    [
        ("no", 0, 1, 0, False, False), ("always", 0, 0, 9, False, True), ("always", 0, 0, 9, True, False),
        ("on-failure", 0, 0, 0, False, False), ("on-failure", 0, 1, 99, False, True),
        ("on-failure", 3, 1, 2, False, True), ("on-failure", 3, 1, 3, False, False),
        ("unless-stopped", 0, 1, 0, True, False),
    ],
)  # fmt: skip
def test_policies(word: str, most: int, code: int, restarts: int, stopped: bool, wanted: bool) -> None:
    assert restart.again(word, most, code, restarts, stopped) is wanted


def test_the_pause_doubles_to_a_minute_and_begins_anew() -> None:
    pauses = [0.0]
    for _ in range(12):
        pauses.append(restart.pause(pauses[-1], 1))
    assert pauses[1:4] == [0.1, 0.2, 0.4] and pauses[-1] == 60
    assert restart.pause(60, 11) == 0.1


def test_detach_keys() -> None:
    assert detach_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert detach_keys("a,ctrl-[,ctrl-@") == b"a\x1b\x00"
    assert detach_keys("") == b""
    for text in ("ctrl-", "ctrl-é", "alt-x", "ab", ",", "ctrl-1"):
        with pytest.raises(MinirunError):
            detach_keys(text)


@given(st.lists(st.binary(max_size=6), max_size=6))
def test_keys_are_found_however_they_come(pieces: list[bytes]) -> None:
    """Piece by piece or at once: the same is passed on, and the sequence is never missed."""

    def walk(parts: list[bytes]) -> tuple[bytes, bool]:
        face = Face.__new__(Face)
        face.keys, face.matched = b"\x10\x11", 0
        passed = b""
        for part in parts:
            data, left = face.without_keys(part)
            passed += data
            if left:
                return passed, True
        return passed, False

    whole = b"".join(pieces)
    assert walk(pieces) == walk([whole])
    passed, left = walk([whole])
    assert left == (b"\x10\x11" in whole)
    assert whole.startswith(passed)


def test_errors_travel_whole() -> None:
    error = MinirunError("a", reason="b\udcff", pointer="/x", hint="c", step="d", problems=[("/p", "q")], exit_code=127)
    told = unpack(pack(error)[1:])
    assert (told.message, told.pointer, told.exit_code, told.problems) == ("a", "/x", 127, (("/p", "q"),))
    assert len(pack(MinirunError("a", reason="x" * 100000))) < 40000


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=40)), max_size=12))
def test_the_log_has_every_byte_in_order(pieces: list[tuple[str, bytes]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        log = LogFile(folder, {"max-size": "100", "max-file": "1000"})
        for stream, data in pieces:
            log.write(stream, data)
        log.close()
        read = logs.Reader(folder)
        lines = [line for raw in read.more() if (line := logs.parse(raw))]
        read.close()
        for stream in ("stdout", "stderr"):
            given_ = b"".join(data for name, data in pieces if name == stream).decode("utf-8", "replace")
            found = "".join(line.text for line in lines if line.stream == stream)
            assert found == given_ or "\ufffd" in given_, "what is no UTF-8 is cut where lines are"


def test_a_record_cut_short_is_left_out_and_the_next_is_whole(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"log":"a\\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}\n{"log":"b')
    log = LogFile(str(tmp_path), {})
    log.write("stdout", b"c\n")
    log.close()
    assert [line.text for raw in logs.Reader(str(tmp_path)).more() if (line := logs.parse(raw))] == ["a\n", "c\n"]
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["log"] == "c\n"


def test_a_log_that_cannot_be_rotated_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for another file must not end the monitor."""
    log = LogFile(str(tmp_path), {"max-size": "100"})
    monkeypatch.setattr("posix.open", no_room)
    for _ in range(5):
        log.write("stdout", b"a line of some length\n")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["log"] and (tmp_path / "log").read_text().count("\n") == 5
    log.write("stdout", b"the next\n")
    assert (tmp_path / "log").read_text().count("\n") == 1 and (tmp_path / "log.1").read_text().count("\n") == 5
    log.close()


def no_room(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_log_options() -> None:
    assert limits({}) == (10 << 20, 3) and limits({"max-size": "5m", "max-file": "1"}) == (5 << 20, 1)
    assert limits({"max-size": "-1"})[0] == 0 and limits({"max-size": "2KB"})[0] == 2048
    check("none", {})
    for driver, options in (("syslog", {}), ("none", {"max-size": "1m"}), ("json-file", {"max-size": "x"})):
        with pytest.raises(MinirunError):
            check(driver, options)


def test_times_on_the_command_line() -> None:
    assert logs.moment("1h30m", "--since", 10000) == 10000 - 5400
    assert logs.moment("1700000000.5", "--since", 0) == 1700000000.5
    assert logs.moment("1970-01-02", "--since", 0) == logs.moment("1970-01-02T00:00:00Z", "--since", 0) == 86400
    for text in ("soon", "1x", "-", "10"[:0] + "h"):
        with pytest.raises(MinirunError):
            logs.moment(text, "--since", 0)


def test_filters() -> None:
    web = made(name="web", image="busybox:latest", labels={"a": "1", "b": ""}, id="ab" * 32)
    up = Status(status="running")
    down = Status(status="exited", exitCode=3)

    def fits(*words: str, status: Status = up) -> bool:
        return listing.filtered(words, lambda word: web)(web, status)

    assert fits() and fits("name=we") and fits("id=abab") and fits("label=a", "label=a=1") and fits("ancestor=busybox")
    assert fits("status=exited", "status=running") and fits("network=bridge")
    assert not fits("label=a", "label=c") and not fits("name=x") and not fits("exited=3")
    assert fits("exited=3", status=down)
    for word in ("name", "colour=red", "status=asleep", "exited=x"):
        with pytest.raises(MinirunError):
            fits(word)


def test_words_for_people() -> None:
    assert listing.ago(0.5) == "Less than a second" and listing.ago(45) == "45 seconds"
    assert listing.ago(90) == "About a minute" and listing.ago(3 * 86400) == "3 days"
    port = {"hostIp": "", "hostPort": 8080, "port": 80, "protocol": "tcp"}
    assert listing.port_words([port]) == "0.0.0.0:8080->80/tcp"
    assert (
        listing.state_words(Status(status="exited", exitCode=2, finishedAt=stamp(0)), 7) == "Exited (2) 7 seconds ago"
    )


def test_the_shelf_forgets_what_was_abandoned(tmp_path: Path) -> None:
    shelf = Shelf(str(tmp_path / "s"))
    making = shelf.new("one")
    with pytest.raises(MinirunError, match="is taken"):
        shelf.new("one")
    making.abandon()
    again = shelf.new("one")
    again.complete(made(id=again.id, name="one"))
    assert shelf.find("one").id == again.id and shelf.find(again.id[:5]).name == "one"
    with shelf.hold(again.id), pytest.raises(BlockingIOError):
        shelf.hold(again.id, wait=False)
    shelf.rename(shelf.find("one"), "two")
    assert shelf.owner("one") == "" and shelf.find("two").id == again.id
    shelf.forget(again.id, "two")
    assert shelf.every_id() == [] and list((tmp_path / "s/names").iterdir()) == []
