"""Every member that the schema knows has a test: the table in docs/members.md has no holes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from minirun.spec.schema import CONFIG

HERE = Path(__file__).resolve().parent
# The specification has these, and what is below them; inside there is nothing to see, or runc and crun have not got it.
ELSEWHERE = {
    "/ociVersion": "tests/unit/test_rules.py",
    "/process/commandLine": "another platform's",
    "/process/user/username": "another platform's",
    "/vm/kernel": "tests/unit/test_plan_machine.py",
    "/vm/hwConfig": "tests/unit/test_plan_machine.py: vCPUs and memory; the others are another hypervisor's",
    "/vm/hypervisor": "refused by name",
    "/vm/image": "refused by name",
}


def leaves(schema: Any, at: str = "") -> set[str]:
    """Pointers of the members that hold a value; of arrays and maps, without the index."""
    if isinstance(schema, list):
        return leaves(schema[0], at)
    if isinstance(schema, dict):
        return set().union(*(leaves(member, f"{at}/{name}") for name, member in schema.items() if name))
    return {at}


def spoken_of() -> set[str]:
    """The pointers in the markers, read and not run: a test that cannot run here counts."""
    found: set[str] = set()
    for path in HERE.glob("test_members_*.py"):
        names = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        found |= {name for name in names if isinstance(name, str) and name.startswith("/")}
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    found |= {f"/hooks/{kind}" for kind in kinds} | {
        f"/process/capabilities/{kind}" for kind in ("bounding", "effective", "permitted")
    }
    return found | {
        f"/linux/resources/blockIO/throttle{kind}Device" for kind in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")
    }


def test_every_member_has_a_test() -> None:
    tested = spoken_of() | set(ELSEWHERE)
    missing = {
        leaf for leaf in leaves(CONFIG)
        if not any(leaf == one or leaf.startswith(one + "/") for one in tested)
    }  # fmt: skip
    assert not missing, sorted(missing)
