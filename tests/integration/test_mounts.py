"""/mounts: file systems and binds, targets, order, copy-up."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import ask, mounts, wait_for

pytestmark = pytest.mark.needs("root", "busybox")


def add(bundle: Bundle, destination: str, kind: str = "tmpfs", source: str = "", *options: str) -> None:
    entry: Json = {"destination": destination, "type": kind, "source": source or kind, "options": list(options)}
    bundle.config["mounts"].append(entry)


def bind(bundle: Bundle, source: Path | str, destination: str, *options: str) -> None:
    add(bundle, destination, "none", str(source), *(options or ("bind",)))


def test_kinds_of_file_systems(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    found = mounts(ask(minirun, bundle, "mountinfo")[0])
    kinds = {target: mount.fstype for target, mount in found.items()}
    expected = {
        "/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue",
        "/sys": "sysfs", "/sys/fs/cgroup": "cgroup2",
    }  # fmt: skip
    assert expected.items() <= kinds.items()
    assert {"ro", "nosuid", "nodev", "noexec"} <= found["/sys"].options
    assert found["/sys/fs/cgroup"].root == "/"
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= found["/dev/pts"].superblock


def test_proc_shows_the_container_only(minirun: Runtime, bundle: Bundle) -> None:
    names = ask(minirun, bundle, "ls /proc")[0].split()
    assert [name for name in names if name.isdigit()] == ["1"]


def test_data_reaches_the_file_system(minirun: Runtime, bundle: Bundle) -> None:
    add(bundle, "/tmp", "tmpfs", "tmpfs", "mode=1750", "size=128k", "uid=7", "gid=8", "nr_inodes=99", "nosuid")
    seen = ask(minirun, bundle, "mountinfo", "stat /tmp")
    mount = mounts(seen[0])["/tmp"]
    assert {"size=128k", "mode=1750", "uid=7", "gid=8", "nr_inodes=99"} <= mount.superblock
    assert "nosuid" in mount.options
    assert seen[1].startswith("dir 1750 7 8")


def test_the_mode_of_a_tmpfs_without_one(minirun: Runtime, bundle: Bundle) -> None:
    """That of the directory below it; where there was none, tmpfs(5)'s own, as with runc."""
    (bundle.rootfs / "var").mkdir()
    (bundle.rootfs / "var").chmod(0o710)
    add(bundle, "/var")
    add(bundle, "/srv/www")
    seen = ask(minirun, bundle, "stat /var", "stat /srv", "stat /srv/www")
    assert [int(line.split()[1], 8) for line in seen] == [0o710, 0o755, 0o1777]


def test_wrong_data_is_said_in_the_kernels_words(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    add(bundle, "/tmp", "tmpfs", "tmpfs", "size=lots")
    done = minirun.run(bundle)
    assert done.returncode == 125
    assert "size" in done.stderr and "/mounts/7" in done.stderr


def test_bind_a_directory_and_a_file(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("in d")
    (tmp_path / "file").write_text("a file")
    bind(bundle, tmp_path / "d", "/home")
    bind(bundle, tmp_path / "file", "/etc/group", "bind", "ro")
    seen = ask(minirun, bundle, "cat /home/f", "write /home/new out", "cat /etc/group", "openrw /etc/group")
    assert (seen[0], seen[2], seen[3]) == ("in d", "a file", "EROFS")
    assert (tmp_path / "d/new").read_text() == "out"


def test_missing_targets_are_made(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    bind(bundle, tmp_path / "file", "/new/deep/file")
    add(bundle, "/other/deep/dir")
    seen = ask(minirun, bundle, "cat /new/deep/file", "stat /other/deep", "mountinfo")
    assert seen[0] == "a file"
    assert seen[1].startswith("dir 0755 0 0")
    assert mounts(seen[2])["/other/deep/dir"].fstype == "tmpfs"


def test_relative_destination_and_source(minirun: Runtime, bundle: Bundle) -> None:
    """A destination is seen from /, a source from the bundle (config.md, Mounts)."""
    (bundle.path / "data").mkdir()
    (bundle.path / "data/f").write_text("bundled")
    bind(bundle, "data", "mnt/../home//x/")
    assert ask(minirun, bundle, "cat /home/x/f") == ["bundled"]


def test_a_link_in_the_rootfs_is_followed_inside(minirun: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "link").symlink_to("/home")
    add(bundle, "/link/below")
    assert "/home/below" in mounts(ask(minirun, bundle, "mountinfo")[0])


def test_listed_order(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """A later mount lies over an earlier one; below a mount made before, targets are made in that mount."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("last")
    add(bundle, "/home")
    add(bundle, "/home/inner", "tmpfs", "tmpfs", "size=64k")
    add(bundle, "/tmp")
    bind(bundle, tmp_path / "d", "/tmp")
    seen = ask(minirun, bundle, "ls /home", "cat /tmp/f")
    assert seen == ["inner", "last"]
    assert list((bundle.rootfs / "home").iterdir()) == []


def nested(tmp_path: Path) -> Path:
    """A directory with a mount in it (made in this test's own mount namespace: see `host_mount`)."""
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/below").write_text("under the mount")
    return tmp_path / "tree"


@pytest.mark.parametrize(("word", "there"), [("bind", "below\n"), ("rbind", "mounted\n")])
def test_recursive_bind(
    minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None, word: str, there: str
) -> None:
    tree = nested(tmp_path)
    bind(bundle, tree, "/home", word)
    bundle.args("/probe", "ls", "/home/sub")
    script = 'mount -t tmpfs none "$1" && touch "$1/mounted" && shift && exec "$@"'
    words = [str(minirun.program), "--root", str(minirun.root), "run", "-b", str(bundle.write()), minirun.name()]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", str(tree / "sub"), *words],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == (there, "")


def test_tmpcopyup(minirun: Runtime, bundle: Bundle) -> None:
    """Contents, owners, modes, links; the tmpfs takes the directory's own mode and owner; the rootfs stays as it is."""
    home = bundle.rootfs / "home"
    (home / "d/e").mkdir(parents=True)
    (home / "d/e/f").write_text("deep")
    (home / "s").write_text("x" * 40000)
    (home / "l").symlink_to("/d/e")
    os.chmod(home / "s", 0o4751)
    os.chown(home / "d", 0, 8)
    os.chown(home / "l", 3, 4, follow_symlinks=False)
    os.chmod(home / "d", 0o2711)
    os.chown(home, 5, 6)
    os.chmod(home, 0o1775)
    add(bundle, "/home", "tmpfs", "tmpfs", "tmpcopyup")
    seen = ask(
        minirun, bundle, "stat /home", "stat /home/d", "stat /home/s", "readlink /home/l", "cat /home/d/e/f",
        "write /home/d/e/f changed", "mountinfo", "stat /home/l", "cat /home/s",
    )  # fmt: skip
    assert seen[0].startswith("dir 1775 5 6")
    assert seen[1].startswith("dir 2711 0 8")
    assert seen[2].startswith("file 4751 0 0") and seen[2].endswith("40000")
    assert seen[3:5] == ["/d/e", "deep"]
    assert seen[7].startswith("link 0777 3 4")
    assert seen[8] == "x" * 40000
    assert mounts(seen[6])["/home"].fstype == "tmpfs"
    assert (home / "d/e/f").read_text() == "deep"
    assert sorted(path.name for path in home.iterdir()) == ["d", "l", "s"]


def test_cgroup_without_a_namespace_of_its_own(minirun: Runtime, bundle: Bundle) -> None:
    """Its own directory is bound there: nothing of the others is seen."""
    spaces = bundle.config["linux"]["namespaces"]
    bundle.config["linux"]["namespaces"] = [space for space in spaces if space["type"] != "cgroup"]
    seen = ask(minirun, bundle, "cat /sys/fs/cgroup/cgroup.procs", "cgroup", "mountinfo")
    assert seen[0] == "1"
    assert seen[1].splitlines()[-1] == f"0::/minirun/{minirun.used[-1]}"
    assert mounts(seen[2])["/sys/fs/cgroup"].root == f"/minirun/{minirun.used[-1]}"


def test_host_mounts_reach_a_slave(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """rslave: what the host mounts later below a shared source appears inside (Kubernetes' HostToContainer)."""
    source = tmp_path / "shared"
    source.mkdir()
    bind(bundle, source, "/home", "rbind", "rslave")
    words = [str(minirun.program), "--root", str(minirun.root)]
    name = minirun.name()
    mark = source / "late/there"
    bundle.args("/bin/sh", "-c", "while [ ! -e /home/late/there ]; do sleep 0.02; done; echo seen")
    script = (
        'src=$1; shift; mount --bind "$src" "$src"; mount --make-shared "$src"; "$@" > "$src.out" & '
        'while ! "$1" --root "$3" state "$7" >/dev/null 2>&1; do sleep 0.05; done; mkdir "$src/late";'
        ' mount -t tmpfs none "$src/late"; touch "$src/late/there"; wait'
    )
    subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", str(source), *words, "run", "-b", str(bundle.write()), name],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    wait_for(lambda: (tmp_path / "shared.out").read_text() == "seen\n", 2)
    assert not mark.exists()


def test_sockets_and_fifos_are_bound(minirun: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        os.mkfifo(tmp_path / "f")
        for name in "sf":
            bind(bundle, tmp_path / name, f"/run/{name}")
        kinds = [text.split()[0] for text in ask(minirun, bundle, "stat /run/s", "stat /run/f")]
    assert kinds == ["socket", "fifo"]


def test_overlay(minirun: Runtime, bundle: Bundle, tmp_path: Path, clean_host: None) -> None:
    """As podman writes a volume with :O."""
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/x").write_text("below")
    data = (f"lowerdir={tmp_path}/lower", f"upperdir={tmp_path}/upper", f"workdir={tmp_path}/work")
    add(bundle, "/home", "overlay", "overlay", *data, "private")
    assert ask(minirun, bundle, "cat /home/x", "write /home/new y", "ls /home") == ["below", "", "new\nx"]
    assert (tmp_path / "upper/new").read_text() == "y"


def test_proc_with_options_of_its_own(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"][0]["options"] = ["nosuid", "hidepid=2"]
    mount = mounts(ask(minirun, bundle, "mountinfo")[0])["/proc"]
    assert "nosuid" in mount.options and "hidepid=invisible" in mount.superblock


def test_without_any_mounts(minirun: Runtime, bundle: Bundle) -> None:
    """The devices are made in the rootfs itself; what is masked or read-only is simply not there."""
    bundle.config["mounts"] = []
    assert "null" in ask(minirun, bundle, "ls /dev", "pid")[0].split()
    assert (bundle.rootfs / "dev/null").is_char_device()


@pytest.mark.parametrize("target", ["/run/resolve/stub", "../run/resolve/stub"])
def test_dangling_link_as_target(minirun: Runtime, bundle: Bundle, target: str) -> None:
    """/etc/resolv.conf of many images: what the link leads to is made, inside the rootfs."""
    (bundle.rootfs / "etc" / "resolv.conf").symlink_to(target)
    (bundle.path / "dns").write_text("nameserver 10.0.0.1\n")
    bundle.config["mounts"].append(
        {"destination": "/etc/resolv.conf", "type": "bind", "source": "dns", "options": ["bind", "ro"]}
    )
    assert minirun.output(bundle, "/probe", "cat", "/etc/resolv.conf") == "nameserver 10.0.0.1\n"
    assert (bundle.rootfs / "run" / "resolve" / "stub").is_file()


def test_dangling_link_out_of_the_rootfs(minirun: Runtime, bundle: Bundle) -> None:
    """However far up a link climbs, it ends in the rootfs."""
    outside = bundle.path / "canary"
    (bundle.rootfs / "etc" / "resolv.conf").symlink_to("../../../../../../../.." + str(outside))
    (bundle.path / "dns").write_text("x")
    bundle.config["mounts"].append(
        {"destination": "/etc/resolv.conf", "type": "bind", "source": "dns", "options": ["bind"]}
    )
    minirun.run(bundle.args("/probe", "pid"))
    assert not outside.exists()


def test_option_longer_than_fsconfig_takes(minirun: Runtime, bundle: Bundle) -> None:
    """The lowerdir of an overlay (podman's volumes): more than 255 bytes go through mount(2)."""
    layers = []
    for number in range(4):
        layer = bundle.path / ("layer" * 20) / str(number)
        layer.mkdir(parents=True)
        (layer / f"file{number}").write_text(str(number))
        layers.append(str(layer))
    options = [f"lowerdir={':'.join(layers)}", "ro", "nodev", "noatime"]
    assert len(options[0]) > 255
    bundle.config["mounts"].append({"destination": "/mnt", "type": "overlay", "source": "overlay", "options": options})
    assert ask(minirun, bundle, "ls /mnt")[0].split() == ["file0", "file1", "file2", "file3"]
    found = mounts(ask(minirun, bundle, "mountinfo")[0])["/mnt"]
    assert {"ro", "nodev", "noatime"} <= set(found.options)
