"""statfs(2): which kind of file system a path is on (linux/magic.h)."""

from __future__ import annotations

from minirun.linux import lib

CGROUP2_SUPER_MAGIC = 0x63677270
PROC_SUPER_MAGIC = 0x9FA0
RDTGROUP_SUPER_MAGIC = 0x7655821


def filesystem(path: str) -> int:
    """f_type of the file system at ``path``, or -1 if there is none."""
    kind: int = lib.minirun_filesystem(path.encode("utf-8", "surrogateescape"))
    return kind
