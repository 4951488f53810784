"""One limit of a cgroup: which file takes it, the write, and the way back (cgroup-v2.rst, Interface Files).

``write`` below is anything with the fields of ``ops.WriteCgroup``: file, value, instead, instead_value, optional.
"""

from __future__ import annotations

import posix
from errno import EINVAL

from minirun.cgroups import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Write(Protocol):
        file: str
        value: str
        instead: str
        instead_value: str
        optional: bool


PARTITION = "cpuset.cpus.partition"
# What takes a device's line out of a file that has a line for each (cgroup-v2.rst, and rdma and misc there).
UNSET = {
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "io.bfq.weight": "default",
    "io.latency": "target=0",
    "rdma.max": "hca_handle=max hca_object=max",
    "misc.max": "max",
}


def resolve(directory: str, write: Write) -> tuple[str, str]:
    """(file, value) as this kernel has it; ("", "") where an optional write has nothing to go to."""
    if not (write.instead or write.optional) or posix.access(f"{directory}/{write.file}", posix.F_OK):
        return write.file, write.value
    return write.instead, write.instead_value


def put(directory: str, file: str, value: str) -> None:
    """The write(2).  Raises OSError with the path.

    The kernel takes "root" for a partition that it then calls invalid: that is a refusal as well.
    """
    path = f"{directory}/{file}"
    tree.write(path, value or "\n")  # a write of nothing would never reach the file
    if file == PARTITION:
        state = tree.read(path).strip()
        if "invalid" in state:
            raise OSError(EINVAL, f"the kernel answers {state!r}", path)


def current(directory: str, file: str) -> str | None:
    """The file as it is; None if it cannot be read (memory.reclaim has no state)."""
    try:
        return tree.read(f"{directory}/{file}")
    except OSError:
        return None


def way_back(file: str, value: str, old: str) -> str:
    """What undoes the write of ``value`` to a file that read ``old``.

    Files with a line for each device ("8:0 rbps=max ...", "default 100") get back the line that ``value`` changed.
    """
    if file == PARTITION:
        return old.partition(" ")[0].strip()
    key = value.partition(" ")[0]
    if file in UNSET:
        key = key if " " in value else "default"
        for line in old.splitlines():
            if line.startswith(key + " "):
                return line
        return f"{key} {UNSET[file]}"
    return old.strip()
