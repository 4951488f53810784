"""Debian's own programs under every isolation: dynamically linked, from a tree that is not minirun's.

The bundle's rootfs has the links of a merged /usr, and binds this machine's /usr and /etc, read-only.  The lab is
Debian inside, too, so the same tree is there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox")
SCRIPT = r"""
set -eu
. /etc/os-release
echo "$ID"
printf '%s\n' c a b | sort | tr '\n' ' '
ls /usr/bin/env
printf 'one\ntwo\n' | grep -c w
perl -e 'print 6 * 7, "\n"'
/usr/bin/python3 -c 'import json, os; print(json.dumps([os.getpid() > 1, sum(range(10))]))'
dpkg --version | head -1 | cut -d' ' -f1-2
exit 5
"""


def test_debian_s_programs(isolated: Isolated, bundle: Bundle) -> None:
    if not Path("/etc/debian_version").exists() or not Path("/bin").is_symlink():
        pytest.skip("this machine is no Debian with a merged /usr")
    rootfs = bundle.path / "debian"
    rootfs.mkdir()
    for name in ("bin", "sbin", "lib", "lib64"):
        (rootfs / name).symlink_to(f"usr/{name}")
    bundle.config["root"]["path"] = "debian"
    bundle.config["mounts"] += [
        {"destination": f"/{name}", "source": f"/{name}", "type": "bind", "options": ["rbind", "ro"]}
        for name in ("usr", "etc")
    ]
    done = isolated.run(bundle.args("/bin/bash", "-c", SCRIPT))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "debian", "a b c /usr/bin/env", "1", "42", "[true, 45]", "Debian 'dpkg'",
    ]  # fmt: skip
    assert done.returncode == 5
