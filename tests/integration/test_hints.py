"""Every row of minirun/hints.py, provoked for real: the error's whole face is looked at, not only the advice.

A provocation gets the bundle, spoils it, and says how to run it.  A row that no test provokes fails
``test_every_row_is_provoked``; what this kernel cannot be made to say has a row with a reason in ``CANNOT``.
"""

from __future__ import annotations

import re
import shutil

import pytest

from minirun.hints import HINTS
from tests.conftest import Bundle, Runtime
from tests.integration import (  # noqa: F401 (they enter their rows)
    provocations_cgroup,
    provocations_kernel,
    provocations_more,
    provocations_mounts,
    provocations_rootless,
    provocations_seccomp,
)
from tests.integration.provocations import CANNOT, PROVOKED

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.mark.parametrize("row", sorted(PROVOKED))
def test_row(minirun: Runtime, bundle: Bundle, clean_host: None, row: str) -> None:
    pointer, code, provoke = PROVOKED[row]
    hint = next(hint for hint in HINTS if hint.name == row)
    before = bundle.path
    try:
        done = provoke(minirun, bundle)
        for name in minirun.used:
            minirun("delete", "--force", name)
    finally:
        if bundle.path != before:
            shutil.rmtree(bundle.path.parent)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("minirun: warning")]
    assert done.returncode == code, done.stderr
    assert re.match("minirun: cannot .*: .", lines[0]), done.stderr
    config = re.escape(str(bundle.path / "config.json"))
    assert re.match(f"  config   {re.escape(pointer)} in {config}$", lines[1]), done.stderr
    assert re.match(rf"  step     \d+ of \d+, (host|init), .* -> {hint.errno}$", lines[2]), done.stderr
    said = hint.text.format(detail="\0").split("\0")
    assert lines[3].startswith("  hint     ") and all(part in lines[3] for part in said), done.stderr
    assert len(lines) == 4, done.stderr


def test_every_row_is_provoked() -> None:
    assert set(PROVOKED) | set(CANNOT) == {hint.name for hint in HINTS}
    assert not set(PROVOKED) & set(CANNOT)
