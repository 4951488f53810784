"""Files of a bundle under each isolation: what a program does to them, and what the host then sees, is the same."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.vm.both import Isolated

pytestmark = pytest.mark.needs("root", "busybox", "compiler")

WORK = r"""
exec 2>&1; cd /task
mkdir -p a/b/c && echo text > a/b/c/d && mv a/b e && ln e/c/d hard && ln -s /etc/passwd link && ln -s e/c rel
rmdir a; echo $(find . | sort)
echo links $(stat -c %h hard) $(head -c 5 link) $(ls rel) $(readlink link)
mkfifo fifo; (echo through > fifo &); echo fifo $(cat fifo)
umask 027; touch mode; mkdir modes; umask 022; echo modes $(stat -c %a mode modes)
echo x > held; exec 5< held; rm held; echo held $(cat <&5); exec 5<&-
for n in $(seq 150); do : > many$n; done; echo many $(ls | grep -c many); rm many*; echo left $(ls | grep -c many)
echo one > log; echo two >> log; echo log $(cat log); truncate -s 2 log; echo short $(cat log)
ln hard /other/hard 2>&1 | sed 's/.*: //'
mv /task/mode /other/moved && echo moved $(ls /other)
(echo x > /read/only/x) 2>&1 | sed 's/.*: //'
(echo more >> /etc/one) && cat /etc/one
(echo x > /etc/two) 2>&1 | sed 's/.*: //'
rmdir /other 2>&1 | sed 's/.*: //'
cp /bin/sh busybox && chmod 755 busybox && ./busybox echo executed
chown 12:34 hard; chmod 4755 hard; echo owner $(stat -c '%u:%g %a' hard)
touch -d '2001-02-03 04:05:06' hard; echo time $(stat -c %Y hard)
echo space $(df -k /task | awk 'END { print ($2 > 0) }')
dd if=/dev/zero of=sparse bs=1 count=1 seek=1048575 2> /dev/null
echo sparse $(stat -c %s sparse) $(($(stat -c %b sparse) < 64))
"""
EXPECTED = """\
. ./e ./e/c ./e/c/d ./hard ./link ./rel
links 2 root: d /etc/passwd
fifo through
modes 640 750
held x
many 150
left 0
log one two
short on
Invalid cross-device link
moved moved
Read-only file system
first
more
Read-only file system
Device or resource busy
executed
owner 12:34 4755
time 981173106
space 1
sparse 1048576 1
"""


def test_a_program_works_with_files(isolated: Isolated, bundle: Bundle) -> None:
    path = bundle.path
    for name in ("task", "other", "ro"):
        (path / name).mkdir()
    (path / "one").write_text("first\n")
    (path / "two").write_text("second\n")
    bundle.config["mounts"] += [
        {"destination": "/task", "source": "task", "type": "bind", "options": ["rbind"]},
        {"destination": "/other", "source": "other", "type": "bind", "options": ["bind"]},
        {"destination": "/read/only", "source": "ro", "type": "bind", "options": ["bind", "ro"]},
        {"destination": "/etc/one", "source": "one", "options": ["bind"]},
        {"destination": "/etc/two", "source": "two", "options": ["bind", "ro"]},
    ]
    bundle.config["root"]["readonly"] = False
    every = ["CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID", "CAP_DAC_OVERRIDE"]
    bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), every)
    assert isolated.output(bundle, "/bin/sh", "-c", WORK) == EXPECTED
    hard = (path / "task" / "hard").stat()
    assert (hard.st_uid, hard.st_gid, stat.S_IMODE(hard.st_mode), hard.st_nlink) == (12, 34, 0o4755, 2)
    assert (path / "other" / "moved").stat().st_mode & 0o777 == 0o640
    assert (path / "one").read_text() == "first\nmore\n" and (path / "two").read_text() == "second\n"
    assert os.readlink(path / "task" / "link") == "/etc/passwd"
    assert stat.S_ISFIFO((path / "task" / "fifo").lstat().st_mode) and not list((path / "ro").iterdir())


def test_links_lead_nowhere_outside(isolated: Isolated, bundle: Bundle, tmp_path: Path) -> None:
    """Links in the rootfs and in a volume, absolute and upwards: they mean the container's own files."""
    (tmp_path / "secret").write_text("the host's")
    volume = bundle.path / "volume"
    volume.mkdir()
    far = "../" * 20 + str(tmp_path)[1:] + "/secret"
    for name, target in (("absolute", str(tmp_path / "secret")), ("up", "../secret"), ("far", far)):
        (volume / name).symlink_to(target)
        (bundle.rootfs / f"root-{name}").symlink_to(target)
    bundle.config["mounts"] += [{"destination": "/volume", "source": "volume", "options": ["rbind"]}]
    script = "cd /; for each in volume/* root-*; do cat $each 2>&1 | sed 's/.*: //'; done; ls -d /volume/../etc"
    assert isolated.output(bundle, "/bin/sh", "-c", script) == "No such file or directory\n" * 6 + "/volume/../etc\n"


def test_the_hosts_null_device_is_out_of_reach(isolated: Isolated, bundle: Bundle) -> None:
    """As a standard stream it could be open inside, and fchmod(2) would be the whole host's."""
    script = "chmod 600 /proc/self/fd/0 /dev/stdin /dev/null; chmod 600 /proc/self/fd/1"
    isolated.run(
        bundle.args("/bin/sh", "-c", script), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, capture_output=False
    )
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666
