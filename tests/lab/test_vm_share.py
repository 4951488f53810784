"""Debian's virtio-fs and vsock drivers on ours: a Linux guest works in shared directories, and talks to the host."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.vm import kernel
from minirun.vm.devices.fs import Export, FileSystem
from minirun.vm.devices.vsock import Vsock
from tests.lab.devices_guest import Guest
from tests.needs import BUSYBOX

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "kvm", "compiler")]
MIB = 1 << 20
SCRIPT = r"""
mkdir /mnt
mount -t virtiofs minirun /mnt && echo yes | say mounted
cd /mnt/root
ls /mnt | tr '\n' ' ' | say exports
cat hello | say hello
sum < large | say large
dd if=/dev/urandom of=/tmp/data bs=1M count=4 2> /dev/null
sum < /tmp/data | say data
cp /tmp/data copy && sync && sum < copy | say copy
dd if=/tmp/data of=direct bs=64k oflag=direct 2> /dev/null; sum < direct | say direct
echo one > log; for word in two three; do echo $word >> log; done; tr '\n' ' ' < log | say log
mkdir -p a/b/c && touch a/b/c/d && mv a/b e && ln e/c/d hard && ln -s ../../../etc/passwd link
find e | sort | tr '\n' ' ' | say tree
cat link 2>&1 | say link
stat -c '%h %i' hard e/c/d | sort -u | wc -l | say same
mkfifo fifo; (echo through > fifo &); cat fifo | say fifo
mknod null c 1 3; echo gone > null; stat -c '%t:%T' null | say device
umask 027; touch mode; mkdir modes; umask 022; stat -c %a mode modes | tr '\n' ' ' | say modes
bin/tool as 1234 touch dir1777/theirs; stat -c %u:%g dir1777/theirs | say owner
bin/tool as 1234 sh -c 'cat secret' 2>&1 | say secret
cp hello suid; chmod 4777 suid; chown 0:0 suid; chmod 4777 suid; stat -c %a suid | say suid
bin/tool as 1234 sh -c 'echo x >> suid'; stat -c %a suid | say written
echo gone > unlinked; exec 5< unlinked; rm unlinked; cat <&5 | say unlinked; exec 5<&-
bin/busybox echo executed | say program
bin/tool tmpfile . named && cat named | say named
many=many; mkdir $many; for n in $(seq 300); do : > $many/file$n; done; ls $many | wc -l | say many
rm -r $many; ls -d $many 2>&1 | say removed
(echo x > /mnt/ro/hello) 2>&1 | sed 's/.*: //' | say read-only
cat /mnt/0 | say single
df -k . | tail -1 | awk '{print ($2 > 1000)}' | say space
truncate -s 5 hello2; stat -c %s hello2 | say truncated
bin/tool lock log && echo yes | say lock
tar cf - e hard | tar tf - | wc -l | say tar
time -f %e dd if=large of=/dev/null bs=1M iflag=direct 2>&1 | tail -1 | say reading
time -f %e dd if=/dev/zero of=zero bs=1M count=8 2>&1 | tail -1 | say writing
time -f %e sh -c 'for n in $(seq 20); do cat hello > /dev/null; done' 2>&1 | say opens
cd /; umount /mnt && mount -t virtiofs minirun /mnt && cat /mnt/root/hello | say again

echo from the guest | /mnt/root/bin/tool call 1024 | say vsock
/mnt/root/bin/tool call 1025 < /dev/null 2>&1 | say refused
/mnt/root/bin/tool call 1026 < /tmp/data | sum | say echoed
/mnt/root/bin/tool serve 52
"""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "bin").mkdir(parents=True)
    (folder / "dir1777").mkdir()
    (folder / "dir1777").chmod(0o1777)
    folder.chmod(0o777)
    (folder / "hello").write_text("hello, guest\n")
    (folder / "secret").write_text("of root's\n")
    (folder / "secret").chmod(0o600)
    (folder / "large").write_bytes(os.urandom(8 * MIB))
    shutil.copy(BUSYBOX, folder / "bin" / "busybox")
    source = Path(__file__).with_name("guest_tool.c")
    subprocess.run(["cc", "-O1", "-static", "-o", folder / "bin" / "tool", source], check=True)
    return folder


def serve(path: Path, answer: bytes) -> None:
    """One caller: ``answer``, and what it said."""
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    door.listen()

    def talk() -> None:
        with door.accept()[0] as caller:
            heard = b""
            while piece := caller.recv(1 << 16):
                heard += piece
            caller.sendall(answer + heard)

    threading.Thread(target=talk, daemon=True).start()


def call(path: Path, said: list[bytes]) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(path))
        end.sendall(b"CONNECT 52\nfrom the host")
        line = b""
        while not line.endswith(b"\n"):
            line += end.recv(1)
        said.append(line)
        end.shutdown(socket.SHUT_WR)
        while piece := end.recv(100):
            said.append(piece)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("vcpus", [1, 2])
def test_a_guest_lives_in_a_share(vcpus: int, tmp_path: Path, shared: Path) -> None:
    try:
        kernel.find()
    except MinirunError as error:
        pytest.skip(f"{error}")
    (tmp_path / "single").write_text("one file\n")
    exports = [
        Export(name=name, fd=os.open(path, os.O_PATH), read_only=name == "ro")
        for name, path in (("root", shared), ("ro", shared), ("0", tmp_path / "single"))
    ]
    path = tmp_path / "v.sock"
    serve(Path(f"{path}_1024"), b"answer to ")
    serve(Path(f"{path}_1026"), b"")
    heard: list[bytes] = []
    files = FileSystem("minirun", exports)
    guest = Guest(SCRIPT, [files, Vsock(3, str(path))], vcpus=vcpus)
    guest.watch["serving: now"] = lambda: threading.Thread(target=call, args=(path, heard), daemon=True).start()
    said = guest.run()
    assert guest.end == "shutdown" and files.defect is None, said
    for name in ("reading", "writing", "opens"):
        print(f"{vcpus} vCPU: {name}: {said[name]}")
    check_files(said, shared)
    assert said["vsock"] == "answer to from the guest"
    assert said["refused"].endswith("Connection reset by peer")
    assert said["echoed"] == said["data"]
    assert heard[0].startswith(b"OK 10737") and b"".join(heard[1:]) == b"guest: from the host"


def check_files(said: dict[str, str], shared: Path) -> None:
    assert (said["mounted"], said["exports"]) == ("yes", "0 ro root")
    assert said["hello"] == said["again"] == "hello, guest"
    assert said["large"] == md5((shared / "large").read_bytes())
    for name in ("copy", "direct"):
        assert said[name] == said["data"] == md5((shared / name).read_bytes())
    assert said["log"] == "one two three"
    assert said["tree"] == "e e/c e/c/d" and said["same"] == "1"
    assert said["link"].endswith("No such file or directory"), "the guest's own /etc, not the host's"
    assert (said["fifo"], said["device"]) == ("through", "1:3")
    assert stat.S_ISCHR((shared / "null").stat().st_mode)
    assert said["modes"] == "640 750" and stat.S_IMODE((shared / "modes").stat().st_mode) == 0o750
    assert said["owner"] == "1234:1234" and (shared / "dir1777" / "theirs").stat().st_uid == 1234
    assert said["secret"].endswith("Permission denied")
    assert (said["suid"], said["written"]) == ("4777", "777")
    assert (said["unlinked"], said["program"]) == ("gone", "executed")
    assert said["named"] == "mapped and linked"
    assert said["many"] == "300" and said["removed"].endswith("No such file or directory")
    assert said["read-only"] == "Read-only file system"
    assert (said["single"], said["space"], said["truncated"], said["lock"]) == ("one file", "1", "5", "yes")
    assert said["tar"] == "4"
