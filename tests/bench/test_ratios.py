"""The promises about speed and memory, as ratios to the peers measured in the same minute.

Noise makes a program look slower than it is, hardly ever faster: so a claim may be measured up to five times, and
the attempts are shared by all claims.  Nothing is downloaded here; ``make bench`` fetches a crun where the machine's
own does not run, and the claim about crun is checked from then on.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
MINIRUN = HERE.parents[1] / ".venv" / "bin" / "minirun"
PYTHON = "/usr/bin/python3"

ATTEMPTS = 5
SECONDS_PER_ATTEMPT = 120

# Row, peer, the aim; and, because an interpreter and a kernel of a slow machine cannot be had cheaper by any runtime in
# Python: the share of the peer that these two alone may have for the aim to be asked, and what is asked beyond it.
CLAIMS = [
    pytest.param("run", "runc", 0.5, 0.33, 0.75, id="run-beside-runc"),
    pytest.param("run, filtered", "runc", 0.55, 0.33, 0.75, id="filtered-run-beside-runc"),
    pytest.param("run", "crun", 1.7, 1.1, 2.5, id="run-beside-crun"),
    pytest.param("PSS of waiting init", "runc", 0.1, 1e9, 0.1, id="waiting-init-beside-runc"),
]


def need(present: object, reason: str) -> None:
    """Skip, or fail where MINIRUN_REQUIRE says that the benchmark must not be skipped."""
    if present:
        return
    if "bench" in os.environ.get("MINIRUN_REQUIRE", "").split(","):
        pytest.fail(f"required by MINIRUN_REQUIRE: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    need(os.geteuid() == 0, "the benchmark needs root")
    need(shutil.which("runc"), "no runc on PATH to compare with")
    need(shutil.which("cc"), "no C compiler")
    need(Path("/bin/busybox").exists(), "no /bin/busybox (package busybox-static)")
    need(os.access(MINIRUN, os.X_OK), f"{MINIRUN} does not exist yet")


@functools.cache
def attempt(number: int) -> dict[str, Any]:
    """Figures of one quick run; the same number gives the same figures to every claim."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [PYTHON, str(HERE / "run.py"), "--quick", "--offline", "--json", str(figures)]
        bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said, _ = bench.communicate(timeout=SECONDS_PER_ATTEMPT)
        except BaseException:
            # Not kill: the benchmark takes its containers and cgroups away when it is asked to end.
            bench.terminate()
            bench.wait()
            raise
        assert bench.returncode == 0, said
        data: dict[str, Any] = json.loads(figures.read_text())
    assert "minirun" in data["versions"], "\n".join(data["notes"])
    print(f"attempt {number + 1}:\n{said}")
    return data


def given_share(data: dict[str, Any], peer: str) -> float:
    """What the bare interpreter and the floor take of the peer's run."""
    run = data["ms"]["run"]
    share: float = (run["python"]["median"] + run["floor"]["median"]) / run[peer]["median"]
    return share


@pytest.mark.parametrize(("row", "peer", "aim", "possible", "beyond"), CLAIMS)
def test_ratio(row: str, peer: str, aim: float, possible: float, beyond: float) -> None:
    seen = []
    for number in range(ATTEMPTS):
        data = attempt(number)
        if peer not in data["versions"]:
            # Not ``need``: a crun that runs may be impossible to have without a download.
            pytest.skip("; ".join(line for line in data["notes"] if line.startswith(peer)))
        if row not in data["ratios"]:
            pytest.skip("no profile to filter with (package golang-github-containers-common)")
        ratio = data["ratios"][row][peer]
        limit = aim if given_share(data, peer) <= possible else beyond
        if ratio <= limit:
            return
        seen.append(ratio)
    pytest.fail(f"{row}: minirun / {peer} was {seen}, promised is at most {limit}")
