"""minirun under a chosen isolation, for the suite that is the same for all of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Bundle, Runtime

PATIENCE = 120  # seconds: the lab is an emulator, and the guest runs in it


class Isolated(Runtime):
    """minirun with ``--isolation``."""

    def __init__(self, root: Path, isolation: str) -> None:
        super().__init__(root)
        self.isolation = isolation

    def __call__(self, *argv: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        return super().__call__("--isolation", self.isolation, *argv, **{"timeout": PATIENCE, **more})

    def words(self, *argv: str | Path) -> list[str]:
        return [str(self.program), "--root", str(self.root), "--isolation", self.isolation, *map(str, argv)]

    def create(self, bundle: Bundle, *flags: str) -> str:
        name = self.name()
        with open(bundle.path / "out", "wb") as out, open(bundle.path / "err", "w+b") as err:
            subprocess.run(
                self.words("create", "-b", bundle.write(), *flags, name),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=PATIENCE, check=False,
            )  # fmt: skip
        assert self("state", name).returncode == 0, (bundle.path / "err").read_text()
        return name
