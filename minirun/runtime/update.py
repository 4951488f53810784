"""update: the same writes that create plans, on a living cgroup; all of them, or none.

Order: complete what was given in part, look whether the kernel has the controllers, switch those on, then write file
by file, remembering what was there; the device filter last, since it changes in one step.  If a write is refused, the
ones before it are undone.
"""

from __future__ import annotations

from minirun import facts
from minirun.cgroups import limit, tree
from minirun.engine.report import operation_failed
from minirun.errors import MinirunError
from minirun.plan import devices
from minirun.plan.cgroup import as_meant, check_controllers, needed
from minirun.plan.container import Problems
from minirun.plan.limits import limits
from minirun.plan.ops import DeviceRules, MakeCgroup, WriteCgroup
from minirun.runtime import isolation, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.limits import Limit
    from minirun.plan.ops import Op
    from minirun.runtime.store import Entry, State, Store
    from minirun.spec.types import Cpu, Memory, Resources

    Undo = list[tuple[str, str]]


def update(
    store: Store, container_id: str, resources: Resources, source: str, schemata: dict[str, str] | None = None
) -> None:
    """Write every limit that is given; what is not given stays.  Raises MinirunError, with the old values back.

    ``schemata`` are lines for resctrl, by their member of /linux/intelRdt.
    """
    entry = store.open(container_id, lock=True)
    state = entry.load()
    word = status.status(entry, state, locked=True)
    if word == status.STOPPED:
        raise MinirunError(f"cannot update container {container_id}", reason="container not running")
    if not schemata:
        change_limits(entry, state, resources, source)
    else:
        from minirun.runtime.schemata import change

        put_back = change(entry, state, schemata, source)
        try:
            change_limits(entry, state, resources, source)
        except BaseException:
            put_back()
            raise
    entry.close()


def change_limits(entry: Entry, state: State, resources: Resources, source: str) -> None:
    """The cgroup's files, and its device filter."""
    directory = state.cgroupRoot + state.cgroup
    resources = isolation.update(entry, state, resources, source)
    found = facts.probe()
    resources = complete(as_meant(resources, entry.config()), directory)
    burst = current(directory, "cpu.max.burst")
    writes = needed(limits(resources, int(burst) if burst.isdigit() else 0), found)
    ops: list[Op] = [WriteCgroup(**write.__dict__) for write in writes]
    if resources.get("devices") and not found.rootless:
        rules = devices.rules(resources)
        ops.append(DeviceRules(rules=rules, pointer="/linux/resources/devices"))
    if not ops:
        return
    problems = Problems()
    check_controllers(writes, found, problems)
    problems.raise_any(source)
    if not state.cgroup:
        raise MinirunError(f"cannot update container {state.id}", reason="it has no cgroup of its own")
    check_usage(resources, directory, state.id)
    enable(state.cgroupRoot, state.cgroup, {write.controller for write in writes} - {"cgroup"}, source)
    undo: Undo = []
    carry_out(ops, directory, source, undo)
    if state.unit:
        try:
            tell_systemd(state, writes, ops, source)
        except MinirunError:
            put_all_back(directory, undo)
            raise


def carry_out(ops: list[Op], directory: str, source: str, undo: Undo) -> None:
    """Each in turn; after a refusal the old values again, the last first."""
    for step, op in enumerate(ops, 1):
        try:
            if isinstance(op, WriteCgroup):
                write(directory, op, undo)
            elif isinstance(op, DeviceRules):
                replace_rules(directory, op)
        except OSError as error:
            put_all_back(directory, undo)
            call = "write" if op.KIND == "write_cgroup" else "bpf"
            raise operation_failed(
                op, step, len(ops), number=error.errno or 0, call=call, detail=str(error.filename or ""),
                config=source, reason=error.strerror or "",
            ) from error  # fmt: skip


def write(directory: str, op: WriteCgroup, undo: Undo) -> None:
    file, value = limit.resolve(directory, op)
    if not file:
        return
    old = limit.current(directory, file)
    if old is not None:  # before the write: what the kernel takes and then calls invalid is undone as well
        undo.append((file, limit.way_back(file, value, old)))
    limit.put(directory, file, value)


def put_all_back(directory: str, undo: Undo) -> None:
    """The last first; what fails here must not hide the failure that brought us here."""
    for file, value in reversed(undo):
        try:
            tree.write(f"{directory}/{file}", value or "\n")
        except OSError:
            continue


def replace_rules(directory: str, op: DeviceRules) -> None:
    from minirun.cgroups.device_filter import install

    install(directory, op.rules, replace=True)


def tell_systemd(state: State, writes: list[Limit], ops: list[Op], source: str) -> None:
    """The same as properties: without them it would write its own values over ours again at the next reload.

    Only once the kernel has taken the files: what it refuses is then nothing that systemd has to forget again.
    An empty DeviceAllow takes the old rules away; what comes behind it is added (org.freedesktop.systemd1(5)).
    """
    from minirun.cgroups import systemd
    from minirun.plan.systemd import device_properties, limit_properties

    properties = limit_properties(writes)
    for op in ops:
        if isinstance(op, DeviceRules):
            properties += ["DeviceAllow=@a(ss) []", *device_properties(op.rules)]
    manager = systemd.connect(state.bus)
    try:
        manager.change(state.unit, properties)
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
    if bool(cpu.get("quota")) != bool(cpu.get("period")):
        quota, _, period = current(directory, "cpu.max").partition(" ")
        if not cpu.get("quota") and quota.isdigit():
            cpu["quota"] = int(quota)
        if not cpu.get("period") and period.isdigit():
            cpu["period"] = int(period)
    if memory.get("swap", 0) > 0 and not memory.get("limit"):
        now = current(directory, "memory.max")
        if now.isdigit():
            memory["limit"] = int(now)
    return {**resources, "cpu": cpu, "memory": memory}


def check_usage(resources: Resources, directory: str, container_id: str) -> None:
    """memory/checkBeforeUpdate: v1 refused a limit below what is in use; v2 takes it and kills."""
    memory = resources.get("memory", {})
    now = current(directory, "memory.current")
    if not memory.get("checkBeforeUpdate") or not now.isdigit():
        return
    for member in ("limit", "swap"):
        asked = memory.get(member, 0)
        if 0 < asked <= int(now):  # type: ignore[operator]  # the two are numbers
            raise MinirunError(
                f"cannot update container {container_id}", reason=f"{now} bytes are in use, {asked} would be allowed",
                pointer=f"/linux/resources/memory/{member}", hint="checkBeforeUpdate asks to refuse this",
            )  # fmt: skip


def current(directory: str, name: str) -> str:
    return (limit.current(directory, name) or "").strip()


def enable(root: str, path: str, controllers: set[str], source: str) -> None:
    """A controller that create did not need is switched on from the root down now."""
    op = MakeCgroup(path=path, controllers=sorted(controllers), pointer="/linux/resources")
    at = ""
    for part in path.strip("/").split("/"):
        for controller in op.controllers:
            try:
                tree.enable(root + at, (controller,))
            except OSError as error:
                raise operation_failed(
                    op, 1, 1, number=error.errno or 0, call="write", detail=str(error.filename or ""), config=source,
                ) from error  # fmt: skip
        at += "/" + part
