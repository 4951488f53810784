"""Who spawns a sandbox's first process, in the place of a container's ``minirun-init``.

That one carries out the plan's in-container half and executes the program.  Here the half is carried out by the same C
(native/init, linked into us) in a process that has minirun in it, the zygote, and where the program would be executed
it is loaded into a VM instead.  What the host sees is the same: the same messages, the same pid, the same cgroup; so no
verb needs to know.
"""

from __future__ import annotations

import posix

from minirun.engine.init import Init
from minirun.linux import memfd, unix
from minirun.plan.ops import INIT, Exec
from minirun.plan.sandbox import limits_of
from minirun.plan.wire import encode
from minirun.vm.sandbox import zygote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.engine.execute import Site
    from minirun.plan.ops import Spawn
    from minirun.vm.sandbox.zygote import Zygote


def spawner(begun: Zygote | None = None, *, awaited: bool = False) -> Callable[[Site, Spawn], Init]:
    """For ``Site.spawner``; ``begun``: one that is waiting; ``awaited``: we stay until its end, and end then."""
    return lambda site, op: spawn(site, op, begun, awaited)


def spawn(site: Site, op: Spawn, begun: Zygote | None, awaited: bool) -> Init:
    """The zygote becomes the container's first process; while the kernel makes its namespaces the plan is written."""
    forks = any(each.actor == INIT and each.KIND == "session" and each.fork for each in site.ops)  # type: ignore[attr-defined]
    made = begun or zygote.begin(site.filter_cache, vm=not forks)
    ours, theirs = unix.pair()
    opened = [theirs]
    try:
        cgroup = -1
        if op.into_cgroup:
            cgroup = posix.open(site.cgroup_root + site.cgroup, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
            opened.append(cgroup)
        made.order(
            {"flags": op.flags, "dumpable": site.dumpable, "forks": forks, "trace": site.trace},
            {"cgroup": cgroup},
        )
        program = next(each for each in site.ops if isinstance(each, Exec))
        words = {
            "preserve": site.preserve, "awaited": awaited, "filter": site.program, "limits": limits(op.machine),
            "env": raw(program.env), "args": raw(program.args),
        }  # fmt: skip
        plan = memfd.seal_bytes("minirun-plan", encode(site.ops, trace=site.trace, dumpable=site.dumpable, program=b""))
        opened.append(plan)
        stdin, stdout, stderr = site.stdio
        made.order(words, {
            "sync": theirs, "plan": plan, "gate": site.gate_fd, "target": site.target_fd,
            "stdin": stdin, "stdout": stdout, "stderr": stderr,
        })  # fmt: skip
        pid = made.first()
        try:
            return Init(pid, posix.pidfd_open(pid), ours)
        except OSError:
            zygote.forsake(pid)
            raise
    except BaseException as error:
        posix.close(ours)
        if isinstance(error, OSError) and str(error.filename).startswith(("KVM", "/dev/kvm")):
            from minirun.vm import probe  # many modules, for the words of this error alone

            raise probe.explain(error) from error
        raise
    finally:
        made.dismiss()
        for fd in opened:
            posix.close(fd)


def raw(words: list[str]) -> list[bytes]:
    return [word.encode("utf-8", "surrogateescape") for word in words]


def limits(words: list[str]) -> dict[int, tuple[int, int]]:
    """Of "limit RESOURCE SOFT HARD" in the plan's words."""
    rows = [[int(number) for number in word.split()[1:]] for word in words if word.startswith("limit ")]
    return limits_of([(row[0], row[1], row[2]) for row in rows])
