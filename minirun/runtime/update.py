"""update: the same writes that create plans, on a living cgroup."""

from __future__ import annotations

from minirun import facts
from minirun.cgroups import tree
from minirun.engine.report import operation_failed
from minirun.errors import MinirunError
from minirun.plan.cgroup import check_controllers
from minirun.plan.container import Problems
from minirun.plan.limits import limits
from minirun.plan.ops import WriteCgroup
from minirun.runtime import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.limits import Limit
    from minirun.runtime.store import State, Store
    from minirun.spec.types import Cpu, Memory, Resources


def update(store: Store, container_id: str, resources: Resources, source: str) -> None:
    """Write every limit that is given; what is not given stays.  Raises MinirunError at the first refusal."""
    entry = store.open(container_id, lock=True)
    state = entry.load()
    word = status.status(entry, state, locked=True)
    if word == status.STOPPED:
        raise MinirunError(f"cannot update container {container_id}", reason="container not running")
    writes = limits(complete(resources, state.cgroupRoot + state.cgroup))
    if not writes:
        return
    problems = Problems()
    check_controllers(writes, facts.probe(), problems)
    problems.raise_any(source)
    if not state.cgroup:
        raise MinirunError(f"cannot update container {container_id}", reason="it has no cgroup of its own")
    if state.unit:
        tell_systemd(state, writes, source)
    enable(state.cgroupRoot, state.cgroup, {write.controller for write in writes} - {"cgroup"})
    for step, write in enumerate(writes, 1):
        path = f"{state.cgroupRoot}{state.cgroup}/{write.file}"
        try:
            tree.write(path, write.value)
        except OSError as error:
            if write.file.endswith(".rsvd.max") and isinstance(error, FileNotFoundError):
                continue
            op = WriteCgroup(file=write.file, value=write.value, pointer=write.pointer)
            raise operation_failed(
                op, step, len(writes), number=error.errno or 0, call="write", detail=path, config=source
            ) from error
    entry.close()


def tell_systemd(state: State, writes: list[Limit], source: str) -> None:
    """Its properties first: it would write its own values over ours again at the next reload."""
    from minirun.cgroups import systemd
    from minirun.plan.systemd import limit_properties

    manager = systemd.connect(state.bus)
    try:
        manager.change(state.unit, limit_properties(writes))
    except OSError as error:
        raise MinirunError(
            f"cannot update container {state.id}", reason=f"{state.unit}: {error.strerror}", config=source
        ) from error
    finally:
        manager.close()


def complete(resources: Resources, directory: str) -> Resources:
    """What one file holds together, but was given in part, is filled up from the cgroup as it is.

    cpu.max is quota and period; config.json's swap is memory plus swap, of which v2 wants the difference.
    """
    cpu: Cpu = {**resources.get("cpu", {})}
    memory: Memory = {**resources.get("memory", {})}
    if ("quota" in cpu) != ("period" in cpu):
        quota, _, period = current(directory, "cpu.max").partition(" ")
        if "quota" not in cpu and quota.isdigit():
            cpu["quota"] = int(quota)
        if "period" not in cpu and period.isdigit():
            cpu["period"] = int(period)
    if "swap" in memory and "limit" not in memory:
        limit = current(directory, "memory.max")
        if limit.isdigit():
            memory["limit"] = int(limit)
    return {**resources, "cpu": cpu, "memory": memory}


def current(directory: str, name: str) -> str:
    try:
        return tree.read(f"{directory}/{name}").strip()
    except OSError:
        return ""


def enable(root: str, path: str, controllers: set[str]) -> None:
    """A controller that create did not need is switched on from the root down now."""
    at = ""
    for part in path.strip("/").split("/"):
        for controller in sorted(controllers):
            try:
                tree.enable(root + at, controller)
            except OSError as error:
                raise MinirunError(
                    f"cannot enable the {controller} controller", reason=f"{root + at}: {error.strerror}"
                ) from error
        at += "/" + part
