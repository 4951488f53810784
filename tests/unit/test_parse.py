"""The lean option parser: all forms that runc's callers use, and what it says of the others."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from minirun.cli import options
from minirun.cli.options import Option
from minirun.cli.parse import Values, arguments, parse
from minirun.errors import USAGE, MinirunError

TABLE = (
    Option(long="bundle", short="b", value="DIR", help=""),
    Option(long="detach", short="d", help=""),
    Option(long="tty", short="t", help=""),
    Option(long="env", short="e", value="NAME=VALUE", many=True, help=""),
    Option(long="explain", value="?FORMAT", help=""),
    Option(long="preserve-fds", value="N", default="0", help=""),
    Option(long="seccomp", value="FILE", help="", later="seccomp filters come later"),
)


def read(*argv: str, limit: int | None = None) -> tuple[dict[str, object], list[str]]:
    values, words = parse(list(argv), TABLE, limit)
    return {name: value for name, value in values.items() if (name, value) != ("preserve_fds", "0")}, words


def refused(*argv: str) -> MinirunError:
    with pytest.raises(MinirunError) as caught:
        read(*argv)
    assert caught.value.exit_code == USAGE
    return caught.value


@pytest.mark.parametrize(
    ("argv", "values", "words"),
    [
        (["--bundle", "/b", "id"], {"bundle": "/b"}, ["id"]),
        (["--bundle=/b", "id"], {"bundle": "/b"}, ["id"]),
        (["-bundle", "/b", "id"], {"bundle": "/b"}, ["id"]),  # Go's flag package takes one dash as well
        (["-bundle=/b", "id"], {"bundle": "/b"}, ["id"]),
        (["-b", "/b", "id"], {"bundle": "/b"}, ["id"]),
        (["-b=/b", "id"], {"bundle": "/b"}, ["id"]),
        (["-b/b", "id"], {"bundle": "/b"}, ["id"]),
        (["id", "-b", "/b"], {"bundle": "/b"}, ["id"]),
        (["-dt", "id"], {"detach": True, "tty": True}, ["id"]),
        (["-dtb", "/b", "id"], {"detach": True, "tty": True, "bundle": "/b"}, ["id"]),
        (["-dtb/b"], {"detach": True, "tty": True, "bundle": "/b"}, []),
        (["--detach=true"], {"detach": True}, []),
        (["--detach=false"], {"detach": False}, []),
        (["--bundle", "--detach"], {"bundle": "--detach"}, []),
        (["--bundle="], {"bundle": ""}, []),
        (["-e", "A=1", "--env=B=2", "-eC=3"], {"env": ["A=1", "B=2", "C=3"]}, []),
        (["--explain", "id"], {"explain": "table"}, ["id"]),
        (["--explain=json", "id"], {"explain": "json"}, ["id"]),
        (["--", "-d", "--bundle"], {}, ["-d", "--bundle"]),
        (["id", "--", "-d"], {}, ["id", "-d"]),
        (["-"], {}, ["-"]),
        (["", "x"], {}, ["", "x"]),
        ([], {}, []),
    ],
)
def test_forms(argv: list[str], values: dict[str, object], words: list[str]) -> None:
    assert read(*argv) == (values, words)


def test_after_the_last_argument_everything_is_a_word() -> None:
    """``exec ID sh -c`` leaves -c to sh; options before ID are ours."""
    assert read("-d", "id", "sh", "-d", limit=1) == ({"detach": True}, ["id", "sh", "-d"])
    assert read("id", "--", "sh", limit=1) == ({}, ["id", "--", "sh"])


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["--bundel"], "unknown option --bundel", "did you mean --bundle?"),
        (["--zzz"], "unknown option --zzz", ""),
        (["-z"], "unknown option -z", ""),
        (["-dz"], "unknown option -z", ""),
        (["--bundle"], "--bundle wants a value: DIR", ""),
        (["-b"], "--bundle wants a value: DIR", ""),
        (["-db"], "--bundle wants a value: DIR", ""),
        (["--detach=maybe"], "--detach takes no value", ""),
        (["--seccomp", "x"], "--seccomp is not supported", "seccomp filters come later"),
        (["--seccomp=x"], "--seccomp is not supported", "seccomp filters come later"),
    ],
)
def test_refusals(argv: list[str], message: str, hint: str) -> None:
    error = refused(*argv)
    assert (error.message, error.hint) == (message, hint)


def test_defaults_and_types() -> None:
    values, _ = parse([], TABLE)
    assert values.number("preserve_fds") == 0
    assert (values.text("bundle"), values.on("detach"), values.listed("env")) == ("", False, [])
    values, _ = parse(["--preserve-fds", "3"], TABLE)
    assert values.number("preserve_fds") == 3


@pytest.mark.parametrize("word", ["-1", "1x", "x", "1.5", " 1", "1_000", "٣", "9" * 10, "0x10"])
def test_numbers_are_strict(word: str) -> None:
    with pytest.raises(MinirunError) as caught:
        Values(preserve_fds=word).number("preserve_fds")
    assert caught.value.exit_code == USAGE
    assert caught.value.message == f"--preserve-fds wants a number, not {word!r}"


@given(st.lists(st.text(st.sampled_from("-=bdtez ax"), max_size=6), max_size=5))
def test_any_words_end_in_values_or_in_a_usage_error(argv: list[str]) -> None:
    try:
        read(*argv)
    except MinirunError as error:
        assert error.exit_code == USAGE


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        ("state", [], "state wants ID"),
        ("state", ["a", "b"], "state: too many words, from 'b' on"),
        ("list", ["a"], "list: too many words, from 'a' on"),
        ("kill", [], "kill wants ID SIGNAL"),
        ("exec", [], "exec wants ID"),
    ],
)
def test_the_number_of_words(verb: str, words: list[str], message: str) -> None:
    with pytest.raises(MinirunError) as caught:
        arguments(options.TABLE[verb](), words)
    assert (caught.value.message, caught.value.exit_code) == (message, USAGE)


def test_enough_words() -> None:
    assert arguments(options.TABLE["kill"](), ["a"]) == ["a"]
    assert arguments(options.TABLE["exec"](), ["a", "sh", "-c"]) == ["a", "sh", "-c"]
    assert arguments(options.TABLE["list"](), []) == []


@pytest.mark.parametrize("verb", options.all_verbs().values(), ids=lambda verb: verb.name)
def test_the_table_is_sound(verb: options.Verb) -> None:
    """One option, one name; help for each; an OCI verb's options are runc's and crun's."""
    longs = [option.long for option in verb.options]
    shorts = [option.short for option in verb.options if option.short]
    assert len(set(longs)) == len(longs) and len(set(shorts)) == len(shorts)
    for option in verb.options:
        assert option.help and not option.help.endswith("."), option.long
        assert not (option.many and option.default)
    assert verb.help and not verb.help.endswith(".")
