"""rootfs/demo-image.sh, as ``make demo`` runs it, on a host of its own: it shows what it says, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT, run


@pytest.mark.needs("root", "busybox", "ip")
def test_the_demo_shows_what_it_says(tmp_path: Path):
    words = f"ip link set lo up && {ROOT}/rootfs/demo-image.sh && ip -br link && nft list tables 2>/dev/null"
    done = run(
        "unshare", "-n", "sh", "-c", words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(tmp_path)}
    )
    assert "minirun: cannot" not in done.stdout and not done.stderr, done.stdout + done.stderr
    assert done.stdout.count("   hello from web") == 3
    assert "A /www/index.html" in done.stdout and "Total reclaimed space: 3." in done.stdout
    shown, _, after = done.stdout.partition("Nothing is left.")
    assert "demo-web" in shown and "minirun" not in after.partition("\n")[2]
    assert not list(tmp_path.iterdir())
