"""spec.decode: bytes to JSON value and back, and what it says of bytes that are no JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given, strategies as st

from minirun.errors import MinirunError
from minirun.spec.decode import decode, encode
from tests.conftest import ROOT, run

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refused(data: bytes) -> str:
    with pytest.raises(MinirunError) as caught:
        decode(data, "config.json")
    assert caught.value.message == "cannot read the configuration"
    assert caught.value.config == "config.json"
    assert caught.value.reason.startswith("not JSON: ")
    return caught.value.reason.removeprefix("not JSON: ")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "line 1 column 1: a value was expected"),
        (b"  \n\t ", "line 2 column 3: a value was expected"),
        (b"nonsense", "line 1 column 1: a value was expected"),
        (b'{"a": 1,\n "b": }', "line 2 column 7: a value was expected"),
        (b'{"a": 1,\n  b: 2}', "line 2 column 3: expecting property name enclosed in double quotes"),
        (b"{'a': 1}", "line 1 column 2: expecting property name enclosed in double quotes"),
        (b'{"a" 1}', "line 1 column 6: expecting ':' delimiter"),
        (b'{"a": 1', "line 1 column 8: expecting ',' delimiter"),
        (b'["a" "b"]', "line 1 column 6: expecting ',' delimiter"),
        (b'{"a": "', "line 1 column 7: unterminated string starting at"),
        (b'{"a": "\n"}', "line 1 column 8: invalid control character at"),
        (b'{"a": "\\q"}', "line 1 column 8: invalid \\escape"),
        (b"{}\n{}", "line 2 column 1: something follows the document"),
        (b"{} x", "line 1 column 4: something follows the document"),
        (b"\xef\xbb\xbf{}", "line 1 column 1: a value was expected"),
        (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "byte 0 is not UTF-8"),
        (b'{"a": NaN}', "nan is not json"),
        (b'{"a": Infinity}', "infinity is not json"),
        (b"[-Infinity]", "-infinity is not json"),
    ],
)
def test_what_is_not_json_has_a_place(data: bytes, reason: str) -> None:
    assert refused(data).startswith(reason)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_depth_is_bounded(data: bytes) -> None:
    assert "recursion" in refused(data)


def test_the_place_is_known_in_a_cold_interpreter_too() -> None:
    """The C scanner raises json.decoder's error only where that module was imported: here it was not."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from minirun.errors import MinirunError
from minirun.spec.decode import decode
assert "json" not in sys.modules
for data in (b'{{"a": tru}}', b'{{"a" 1}}', b"[1, 2", b'["', b"[" * 100000):
    try:
        decode(data, "x")
    except MinirunError as error:
        print(error.reason)
"""
    done = run(sys.executable, "-ISE", "-c", program)
    assert done.stderr == ""
    assert done.stdout.splitlines()[:4] == [
        "not JSON: line 1 column 7: a value was expected",
        "not JSON: line 1 column 6: expecting ':' delimiter",
        "not JSON: line 1 column 6: expecting ',' delimiter",
        "not JSON: line 1 column 2: unterminated string starting at",
    ]
    assert len(done.stdout.splitlines()) == 5


def test_a_number_of_a_million_digits() -> None:
    assert refused(b"[" + b"9" * 1_000_000 + b"]")


def test_a_member_given_twice_has_its_last_value() -> None:
    assert decode(b'{"a": 1, "a": 2}', "") == {"a": 2}


@given(st.binary(max_size=60))
def test_any_bytes_end_in_a_value_or_in_our_error(data: bytes) -> None:
    try:
        decode(data, "x")
    except MinirunError as error:
        assert error.reason


@given(JSON, st.sampled_from(["", "  ", "\t"]))
def test_encode_is_read_back_by_json(value: Any, indent: str) -> None:
    text = encode(value, indent)
    assert json.loads(text) == value
    assert decode(text.encode(), "x") == value


@given(JSON)
def test_decode_agrees_with_json(value: Any) -> None:
    assert decode(json.dumps(value, indent=1).encode(), "x") == value


def test_indented_output_is_that_of_other_runtimes() -> None:
    """runc's ``state`` is json.MarshalIndent(..., "", "  "); Python's indent=2 gives the same."""
    value = {"ociVersion": "1.2.1", "pid": 7, "annotations": {"a/b": "c"}, "none": [], "empty": {}, "list": [1, "x"]}
    assert encode(value, "  ") == json.dumps(value, indent=2)
    assert encode(value) == json.dumps(value, separators=(",", ":"))
