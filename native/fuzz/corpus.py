"""Write the fuzzer's first inputs: the plans of the examples, whole and as single operations.

Use:

    python native/fuzz/corpus.py DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from minirun.plan import wire  # noqa: E402 (the path is set above)
from tests.unit.examples import EXAMPLES  # noqa: E402

PROGRAM = bytes(range(8)) * 20  # to the decoder instructions are eight bytes each, and nothing more


def seeds() -> dict[str, bytes]:
    """name -> plan.  Single operations are small: the fuzzer gets through them fast."""
    found = {}
    for name, function in EXAMPLES.items():
        ops = function().ops
        filtered = any(op.KIND == "seccomp" for op in ops)
        found[name] = wire.encode(ops, trace=True, dumpable=True, program=PROGRAM if filtered else b"")
        for op in ops:
            found.setdefault(f"op-{op.KIND}", wire.encode([op]))
    return found


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
