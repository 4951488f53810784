"""What is generated and committed is what would be generated now; what documents claim of tables is so."""

from __future__ import annotations

import re

from minirun.cli.groups import every_word
from minirun.cli.human_options import ALL, EVERY, HEADINGS
from minirun.cli.longer import LONGER
from minirun.spec.schema import CONFIG, UNSUPPORTED
from native import docs
from tests.conftest import ROOT


def test_generated_documents_are_fresh():
    assert docs.stale() == [], "python native/docs.py rewrites them"


def test_every_verb_has_its_words():
    assert {*LONGER, *every_word()} == set(EVERY)
    assert sorted(name for _, names in HEADINGS for name in names) == sorted(ALL)


def test_config_document_names_all_that_is_refused():
    text = (ROOT / "docs" / "config.md").read_text()
    assert [pointer for pointer in UNSUPPORTED if f"`{pointer}`" not in text] == []


def test_links_between_documents_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    links = [(page, target) for page in pages for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())]
    broken = [f"{page.name}: {target}" for page, target in links if not (page.parent / target).exists()]
    assert broken == []


def test_security_names_tests_that_exist():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    there = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 15
    assert [name for name in sorted(named) if f"def {name}(" not in there] == []


def test_config_document_names_every_member():
    """Each member that the decoder knows, by its name; common ones of several objects once."""
    text = (ROOT / "docs/config.md").read_text()
    words = set(re.findall(r"\w+", text))
    missing = {pointer for pointer, name in members(CONFIG, "") if name and name not in words}
    assert not missing


def members(shape, pointer):
    if isinstance(shape, dict):
        for name, below in shape.items():
            yield f"{pointer}/{name}", name
            yield from members(below, f"{pointer}/{name}")
    elif isinstance(shape, (list, tuple)):
        for below in shape:
            yield from members(below, pointer)
