"""A container with files of every kind in it, and what is read from standard output."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time

from tests.integration.shop import Shop

SETUP = """mkdir -p /srv/d/e; echo inner > /srv/d/f; echo deep > /srv/d/e/g; chown 5:6 /srv/d/f; chmod 4751 /srv/d/f
ln /srv/d/f /srv/d/hard; ln -s f /srv/d/soft; ln -s /etc /srv/out; ln -s ../../../../../../etc /srv/up; rm /etc/passwd
echo new > /etc/new; exec sleep 1000"""


def boxed(shop: Shop) -> Shop:
    """A container "box" with a few files, running."""
    shop.background("sh", "-c", SETUP, name="box")
    end = time.monotonic() + 5
    while shop("exec", "box", "test", "-e", "/etc/new").returncode and time.monotonic() < end:
        time.sleep(0.02)
    return shop


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return sorted(archive.getnames())


def stream(shop: Shop, *argv: str, **more: object) -> bytes:
    done = subprocess.run(shop.command(*argv), capture_output=True, timeout=30, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    out: bytes = done.stdout
    return out
