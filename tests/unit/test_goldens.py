"""The plans of the examples, as --explain prints them: whoever changes the planner sees in the diff what it changes.

``pytest tests/unit/test_goldens.py --update-goldens`` rewrites them; the diff is then read, not skipped.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from minirun.plan.explain import table
from tests.unit.examples import EXAMPLES

FOLDER = Path(__file__).parent / "golden"


def text_of(name: str) -> str:
    function = EXAMPLES[name]
    made = function()
    notes = "".join(f"warning: {text}\n" for text in made.warnings)
    return f"{function.__doc__}\n\n{table(made.ops)}\n{notes}"


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    path = FOLDER / f"{name}.plan"
    if request.config.getoption("--update-goldens"):
        path.write_text(text_of(name))
    assert text_of(name) == path.read_text(), "pytest --update-goldens rewrites it; read the diff"


def test_no_golden_is_an_orphan() -> None:
    assert {path.stem for path in FOLDER.glob("*.plan")} == set(EXAMPLES)


def test_the_examples_use_every_operation() -> None:
    from minirun.plan.ops import OPS

    used = {op.KIND for function in EXAMPLES.values() for op in function().ops}
    assert used == {cls.KIND for cls in OPS}


@pytest.mark.parametrize("name", EXAMPLES)
def test_planning_is_pure(name: str) -> None:
    """The same inputs give the same list; start plans again to name a step that failed."""
    assert EXAMPLES[name]() == EXAMPLES[name]()
