"""spec.check: the shape of config.json, tried out at every node of the schema with values made from the schema."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.spec import check
from minirun.spec.schema import CONFIG, PROCESS, RESOURCES, UNSUPPORTED
from tests.unit.documents import Json, checked, default, put

INTEGERS = {"uint16": 1 << 16, "uint32": 1 << 32, "int32": 1 << 31, "int64": 1 << 63, "uint64": 1 << 64}
OBJECT, ARRAY, STRING, BOOLEAN = "an object", "an array", "a string", "true or false"
WORDS = {dict: OBJECT, list: ARRAY, str: STRING, bool: BOOLEAN, int: "an integer", float: "a fraction"}
ANYTHING = [{}, [], "x", 7, 1.5, True]


def is_map(schema: Any) -> bool:
    return isinstance(schema, tuple) and schema[0] == "map" and len(schema) == 2


def sample(schema: Any) -> Any:
    """The least that has the shape."""
    if isinstance(schema, dict):
        return {name: sample(schema[name]) for name in schema.get("", ())}
    if isinstance(schema, list):
        return []
    if is_map(schema):
        return {}
    if isinstance(schema, tuple):
        return schema[-1]
    return {"str": "x", "bool": True}.get(schema, 1)


def nodes(schema: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every node, by its pointer; one element of an array, one member of a map."""
    yield pointer, schema
    if isinstance(schema, dict):
        for name, member in schema.items():
            if name:
                yield from nodes(member, f"{pointer}/{name}")
    elif isinstance(schema, list):
        yield from nodes(schema[0], f"{pointer}/0")
    elif is_map(schema):
        yield from nodes(schema[1], f"{pointer}/some~1name")


def around(schema: Any, pointer: str, value: Any) -> Any:
    """A document of the right shape but for ``value`` at ``pointer``."""
    if not pointer:
        return value
    head, _, rest = pointer[1:].partition("/")
    rest = "/" + rest if rest else ""
    if isinstance(schema, list):
        return [around(schema[0], rest, value)]
    if is_map(schema):
        return {head.replace("~1", "/"): around(schema[1], rest, value)}
    return {**sample(schema), head: around(schema[head], rest, value)}


def found(document: Any) -> dict[str, str]:
    """pointer -> message, of everything that check says."""
    try:
        check.config(document, "config.json")
    except MinirunError as error:
        if error.problems:
            return dict(error.problems)
        assert error.pointer is not None
        return {error.pointer: error.reason}
    return {}


def shape(document: Any) -> dict[str, str]:
    """The same of the shape alone, without rules and refusals."""
    problems = check.Problems()
    check.walk(document, CONFIG, "", problems)
    return dict(problems.found)


def wants(schema: Any) -> tuple[str, list[Any]]:
    """What the message must ask for, and values that are something else."""
    if isinstance(schema, dict) or is_map(schema):
        return OBJECT, [v for v in ANYTHING if not isinstance(v, dict)]
    if isinstance(schema, list):
        return ARRAY, [v for v in ANYTHING if not isinstance(v, list)]
    if isinstance(schema, tuple) or schema == "str":
        return STRING, [v for v in ANYTHING if not isinstance(v, str)]
    if schema == "bool":
        return BOOLEAN, [v for v in ANYTHING if not isinstance(v, bool)]
    return "an integer", [v for v in ANYTHING if not isinstance(v, int) or isinstance(v, bool)]


EVERY = list(nodes(CONFIG))


def test_the_schema_is_all_there() -> None:
    assert len(EVERY) > 200


@pytest.mark.parametrize(("pointer", "schema"), EVERY, ids=[pointer or "/" for pointer, _ in EVERY])
def test_a_wrong_type_is_named_at_its_place(pointer: str, schema: Any) -> None:
    word, wrong = wants(schema)
    for value in wrong:
        problems = shape(around(CONFIG, pointer, copy.deepcopy(value)))
        assert problems == {pointer: f"must be {word}, not {WORDS[type(value)]}"}


@pytest.mark.parametrize(("pointer", "schema"), EVERY, ids=[pointer or "/" for pointer, _ in EVERY])
def test_null_is_as_if_absent(pointer: str, schema: Any) -> None:
    """In an object; an element of an array or of a map has no way to be absent."""
    problems = shape(around(CONFIG, pointer, None))
    if pointer.endswith(("/0", "~1name")) or not pointer:
        assert problems == {pointer: f"must be {wants(schema)[0]}, not null"}
    else:
        assert not problems or problems == {pointer: "is missing"}


@pytest.mark.parametrize(("pointer", "schema"), [(p, s) for p, s in EVERY if isinstance(s, str) and s in INTEGERS])
def test_numbers_have_ranges(pointer: str, schema: str) -> None:
    least = 0 if schema.startswith("u") else -INTEGERS[schema]
    for value in (least - 1, INTEGERS[schema], 10**40):
        problems = shape(around(CONFIG, pointer, value))
        assert list(problems) == [pointer]
        assert problems[pointer].startswith(f"must be from {least} to {INTEGERS[schema] - 1}, not ")


@pytest.mark.parametrize(("pointer", "schema"), [(p, s) for p, s in EVERY if isinstance(s, dict)])
def test_required_members_are_asked_for(pointer: str, schema: dict[str, Any]) -> None:
    problems = shape(around(CONFIG, pointer, {}))
    for name in schema.get("", ()):
        assert problems[f"{pointer}/{name}"] == "is missing"


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_strings_must_be_possible_in_the_kernel(bad: str) -> None:
    for pointer, schema in EVERY:
        if schema == "str":
            problems = shape(around(CONFIG, pointer, bad))
            assert "NUL" in problems[pointer] or "Unicode" in problems[pointer]


def test_a_map_s_names_are_strings_too() -> None:
    assert found(put(default(), "/annotations", {"a\0b": "x"})) == {"/annotations/a\0b": "must not contain a NUL"}


def test_words_outside_a_list_of_words() -> None:
    problems = found(put(default(), "/linux/rootfsPropagation", "sideways"))
    assert problems["/linux/rootfsPropagation"].startswith("must be one of shared, rshared, slave, ")
    assert problems["/linux/rootfsPropagation"].endswith(", not 'sideways'")


def test_unknown_members_are_ignored() -> None:
    """config.md, Extensibility."""
    document = default()
    for pointer, schema in EVERY:
        at = document if not pointer else None
        if isinstance(schema, dict) and at is not None:
            at["x-unknown"] = {"any": ["thing", None, 1.5]}
    document["process"]["x-unknown"] = document["linux"]["x-unknown"] = document["mounts"][0]["x-unknown"] = 1.5
    assert found(document) == {}


@pytest.mark.parametrize("pointer", UNSUPPORTED)
def test_what_is_not_carried_out_is_refused(pointer: str) -> None:
    """By name, if it holds something: running without it would not be what was asked."""
    real = pointer.replace("*", "0")
    schema = dict(EVERY).get(real)
    value: Any = sample(schema) if schema is not None else {"x": 1}
    value = value or ([sample(schema[0])] if isinstance(schema, list) else {"x": 1})
    problems = found(put(default(), real, value))
    assert problems[real].startswith("is not supported yet")
    for empty in (None, {}) if schema is None else (None, type(value)()):
        if not isinstance(empty, int) or empty is None:
            assert real not in found(put(default(), real, empty))


def test_all_problems_at_once_in_the_document_s_order() -> None:
    document = default()
    document["process"]["cwd"] = 7
    document["hostname"] = []
    document["mounts"][2]["options"] = "ro"
    document["linux"]["namespaces"][0]["type"] = None
    with pytest.raises(MinirunError) as caught:
        check.config(document, "config.json")
    assert [pointer for pointer, _ in caught.value.problems] == [
        "/process/cwd", "/hostname", "/mounts/2/options", "/linux/namespaces/0/type",
    ]  # fmt: skip
    assert caught.value.headline() == "the configuration is not valid: 4 problems"
    assert caught.value.exit_code == 125
    assert "  problem  /hostname: must be a string, not an array" in caught.value.face()


def test_one_problem_is_the_headline() -> None:
    with pytest.raises(MinirunError) as caught:
        check.config(put(default(), "/hostname", 7), "./config.json")
    assert caught.value.face().splitlines() == [
        "minirun: the configuration is not valid: must be a string, not an integer",
        "  config   /hostname in ./config.json",
    ]


@pytest.mark.parametrize("value", [None, [], "x", 7, True, 1.5])
def test_the_document_itself_has_a_type(value: Any) -> None:
    assert list(found(value)) == [""]


def test_null_members_are_dropped_everywhere() -> None:
    document: Json = default()
    document["hooks"] = None
    document["process"]["oomScoreAdj"] = None
    document["linux"]["resources"]["memory"] = {"limit": None}
    spec = checked(document)
    assert "hooks" not in spec and "oomScoreAdj" not in spec["process"]
    assert spec["linux"]["resources"]["memory"] == {}


def test_parts_on_their_own() -> None:
    """``exec --process`` and ``update -r`` take a part of the document."""
    assert check.process({"cwd": "/", "args": ["x"]}, "p.json")
    assert check.resources({"pids": {"limit": 3}}, "r.json")
    for function, schema, value in ((check.process, PROCESS, {"cwd": 1}), (check.resources, RESOURCES, {"cpu": 1})):
        assert isinstance(schema, dict)
        with pytest.raises(MinirunError) as caught:
            function(value, "part.json")
        assert caught.value.pointer in ("/cwd", "/cpu")
    with pytest.raises(MinirunError) as caught:
        check.process({"cwd": "x", "args": []}, "p.json")
    assert [pointer for pointer, _ in caught.value.problems] == ["/args", "/cwd"]
    with pytest.raises(MinirunError) as caught:
        check.process({"cwd": "x", "args": ["y"]}, "config.json", "/process")
    assert caught.value.pointer == "/process/cwd"
