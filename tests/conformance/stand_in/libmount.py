"""What crun's mount tests use of libmount's Python binding, which Debian does not package: a row of mountinfo.

``Table(FILE).find_target(PATH)`` gives the last mount on PATH with ``vfs_options`` and ``fs_options``
(proc_pid_mountinfo(5), fields 6 and 11).
"""

from __future__ import annotations


class Row:
    """One line of mountinfo."""

    def __init__(self, line: str) -> None:
        before, _, after = line.partition(" - ")
        fields = before.split()
        self.target, self.vfs_options = fields[4], fields[5]
        self.fs_options = after.split()[2]


class Table:
    """A mountinfo file."""

    def __init__(self, name: str) -> None:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            self.rows = [Row(line) for line in file if " - " in line]

    def find_target(self, path: str) -> Row:
        """The mount that is seen at ``path``; KeyError if nothing is mounted there."""
        for row in reversed(self.rows):
            if row.target == path:
                return row
        raise KeyError(path)
