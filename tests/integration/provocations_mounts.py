"""The rows about id-mapped mounts and about the kinds of targets: they enter themselves into ``PROVOKED``."""

from __future__ import annotations

import os

from tests.conftest import ROOT, Bundle, Runtime
from tests.integration.provocations import Done, as_if, provokes, user_namespace


def bind(bundle: Bundle, source: str, target: str, *options: str, **more: object) -> None:
    entry = {"destination": target, "type": "none", "source": source, "options": ["bind", *options], **more}
    bundle.config["mounts"].append(entry)


def mapping(*rows: tuple[int, int, int]) -> dict[str, object]:
    table = [dict(zip(("containerID", "hostID", "size"), row, strict=True)) for row in rows]
    return {"uidMappings": table, "gidMappings": table}


@provokes("idmap-rows", "/mounts/7")
def rows_that_overlap(minirun: Runtime, bundle: Bundle) -> Done:
    bind(bundle, "rootfs/etc", "/home", "idmap", **mapping((0, 1000, 10), (5, 2000, 10)))
    return minirun.run(bundle)


@provokes("idmap-unsupported", "/mounts/7")
def a_file_system_without_mappings(minirun: Runtime, bundle: Bundle) -> Done:
    bind(bundle, "/proc/sys", "/home", "idmap", **mapping((0, 1000, 10)))
    return minirun.run(bundle)


@provokes("idmap-already", "/mounts/7")
def mapped_once_more(minirun: Runtime, bundle: Bundle) -> Done:
    """Behind a program that puts an id-mapped clone of the bundle's /etc over it, in a mount namespace of its own."""
    bind(bundle, "rootfs/etc", "/home", "idmap", **mapping((0, 1000, 10)))
    script = bundle.path / "mapped.py"
    script.write_text(
        "import ctypes, os, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from minirun.linux import mountfd\n"
        f"tree = mountfd.open_tree(os.open({str(bundle.rootfs / 'etc')!r}, os.O_PATH), 0)\n"
        "mountfd.set_attributes(tree, flags=0, user_namespace=mountfd.user_namespace('0 5 10\\n', '0 5 10\\n'))\n"
        f"target = {os.fsencode(bundle.rootfs / 'etc')!r}\n"
        "assert ctypes.CDLL(None, use_errno=True).syscall(429, tree, b'', -100, target, 4) == 0\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    return as_if(minirun, bundle, "unshare", "-m", ROOT / ".venv/bin/python", script)


@provokes("idmap-filesystem", "/mounts/7")
def a_new_file_system_without_mappings(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"].append(
        {"destination": "/home", "type": "ramfs", "source": "none", "options": ["idmap"], **mapping((0, 1000, 10))}
    )
    return minirun.run(bundle)


@provokes("bind-other-link", "/mounts/7")
def another_link_is_there(minirun: Runtime, bundle: Bundle) -> Done:
    (bundle.path / "link").symlink_to("/somewhere")
    (bundle.rootfs / "there").symlink_to("/elsewhere")
    bind(bundle, "link", "/there", "copy-symlink")
    return minirun.run(bundle)


@provokes("mount-not-directory", "/mounts/7")
def file_system_on_a_file(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["mounts"].append({"destination": "/etc/passwd", "type": "tmpfs", "source": "tmpfs"})
    return minirun.run(bundle)


@provokes("copy-space", "/mounts/7")
def more_than_fits(minirun: Runtime, bundle: Bundle) -> Done:
    (bundle.rootfs / "home/large").write_bytes(b"x" * (1 << 20))
    bundle.config["mounts"].append(
        {"destination": "/home", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=64k"]}
    )
    return minirun.run(bundle)


@provokes("remount-denied", "/mounts/8")
def remount_of_the_hosts(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle)
    bind(bundle, "rootfs/etc", "/home")
    bundle.config["mounts"].append({"destination": "/home", "options": ["remount", "commit=7"]})
    return minirun.run(bundle)
