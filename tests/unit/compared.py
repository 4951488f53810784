"""Invented samples of a container, a sandbox and a machine, for the tests of compare's rows, table and page."""

from __future__ import annotations

from typing import Any

from minirun.lab import compare, figures
from minirun.lab.figures import Measured
from minirun.lab.runs import Look, Timed, parsed
from minirun.lab.watch import Process

REPORT = """\
== /proc/sys/kernel/osrelease
6.1.0-test
== /proc/1/comm
minirun-measure
== /proc/self/status
Pid:\t1
CapEff:\t0000000020000420
Seccomp:\t2
== /proc/uptime
0.51 0.30
== /proc/
1
2
meminfo
== /dev/
tty1
tty2
null
== costs
place /tmp/.minirun-measure
cost syscall 120
cost read 2000
cost syscall 140
== ready
"""


def look(processes: list[Process], exits: dict[str, int]) -> Look:
    seen, costs = parsed(REPORT)
    return Look(seen=seen, costs=costs, processes=processes, exits=exits)


def invented() -> dict[str, Any]:
    """What ``compare`` returns, of invented samples."""
    program = [Process(pid=1, parent=0, name="minirun", pss=6000), Process(pid=2, parent=1, name="measure", pss=40)]
    served = [program[0], Process(pid=4, parent=1, name="measure", pss=9000, guest=200)]
    machine = [program[0], Process(pid=3, parent=1, name="minirun-vmm", pss=90000, guest=80000)]
    found = [
        Measured(
            name="container", title="container: the host's kernel", looks=[look(program, {})],
            timed=[Timed(first=ms, whole=ms + 2, code=0, output=b"<hi>") for ms in (10.0, 12.0, 11.0)],
            traced={0: {"read": 900}, 2000: {"read": 900, "getppid": 2000}}, asks="362: all",
        ),
        Measured(
            name="sandbox", title="sandbox: a VM without a kernel", looks=[look(served, {})],
            timed=[Timed(first=ms, whole=ms + 3, code=0, output=b"<hi>") for ms in (15.0, 18.0, 16.5)],
            traced={0: {"ioctl": 1000}, 2000: {"ioctl": 3000, "getppid": 2000}}, asks="190: its filter",
        ),
        Measured(
            name="vm", title="micro-VM: a kernel of its own", looks=[look(machine, {"io": 17, "mmio": 300})],
            timed=[Timed(first=ms, whole=ms + 90, code=0, output=b"<hi>") for ms in (500.0, 700.0, 600.0)],
            traced={0: {"ioctl": 3000}, 2000: {"ioctl": 3001}},
        ),
    ]  # fmt: skip
    return {
        "date": "2026-01-01", "bundle": "/a/bundle", "command": "echo <hi>", "runs": 3,
        "machine": {"cpu": "a CPU", "cpus": 2, "kernel": "Linux 6", "system": "Debian", "kvm": "real", "load": 0.1},
        "isolations": [compare.plain(one) for one in found],
        "rows": [compare.plain(row) for row in figures.rows(found)],
        "notes": ["A note."],
    }  # fmt: skip
