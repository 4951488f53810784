"""What isolates a container, behind one narrow interface: nobody else in ``runtime`` asks which it is.

    container   a process in namespaces of this kernel's; its cgroup tells who belongs to it
    vm          a machine of its own (runtime/machine.py): the process on the host is its VMM, which passes words on

Both are planned, spawned, waited for and killed in the same way; the differences are these few functions.  The other
isolation's modules are imported where it is used: a container's start knows nothing of machines.
"""

from __future__ import annotations

import posix

from minirun import hot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.engine.execute import Site
    from minirun.plan.container import Asked, Plan
    from minirun.plan.exec import ExecAsked
    from minirun.runtime.store import Entry, State, Store
    from minirun.spec.types import Resources
    from minirun.vm.sandbox.zygote import Zygote

CONTAINER, VM, SANDBOX = "container", "vm", "sandbox"


def early(env: dict[str, str]) -> Zygote:
    """A sandbox's first process, begun before config.json is read: the command line has said already what isolates."""
    from minirun.runtime.root import filter_cache
    from minirun.vm.sandbox import zygote

    return zygote.begin(filter_cache(env, posix.geteuid()))


def plan(word: str, asked: Asked) -> Plan:
    """What create carries out."""
    if word == CONTAINER:
        from minirun.plan import container

        return container.plan(asked)
    if word == SANDBOX:
        hot.board("minirun.vm.sandbox.enter")
        from minirun.plan import sandbox

        return sandbox.plan(asked)
    hot.board("minirun.vm.vmm")
    from minirun.plan import machine

    return machine.plan(asked)


def plan_exec(word: str, asked: ExecAsked) -> Plan:
    """What exec carries out."""
    if word == CONTAINER:
        from minirun.plan import exec as planner

        return planner.plan(asked)
    if word == SANDBOX:
        from minirun.plan import sandbox

        return sandbox.plan_exec(asked)
    from minirun.plan import machine

    return machine.plan_exec(asked)


def prepare(entry: Entry, state: State, site: Site, begun: Zygote | None, awaited: bool) -> None:
    """Who spawns init, for create; ``begun``: what ``early`` returned; ``awaited``: we are there until its end."""
    if state.isolation == SANDBOX:
        from minirun.vm.sandbox import enter

        site.spawner = enter.spawner(begun, awaited=awaited)
    elif state.isolation != CONTAINER:
        from minirun.runtime import machine

        machine.prepare(entry, state, site)


def prepare_exec(store: Store, state: State, site: Site) -> None:
    """Who spawns init, for exec."""
    if state.isolation == SANDBOX:
        from minirun.vm.sandbox import enter

        site.spawner = enter.spawner()
    elif state.isolation != CONTAINER:
        from minirun.runtime import machine

        machine.prepare_exec(store, state, site)


def signal_all(entry: Entry, state: State, directory: str, number: int) -> None:
    """Every process of the container; ``directory`` is its cgroup on the host."""
    if state.isolation == VM and number != 9:
        from minirun.runtime import machine

        machine.signal_all(entry, number)
        return
    from minirun.runtime.lifecycle import kill_all

    kill_all(directory, number)


def processes(entry: Entry, state: State) -> list[int]:
    """Their numbers: the host's, or the guest's own."""
    if state.isolation == VM:
        from minirun.runtime import machine

        machine.awake(entry, state)
        return machine.processes(entry)
    from minirun.runtime import inspect

    return inspect.processes(state)


def process_rows(entry: Entry, state: State) -> list[list[str]]:
    """What ps(1) would say of them, where the host's cannot see them; [] where it can."""
    if state.isolation != VM:
        return []
    from minirun.runtime import machine

    machine.awake(entry, state)
    return machine.process_rows(entry)


def numbers(entry: Entry, state: State) -> dict[str, object]:
    """events --stats."""
    if state.isolation != VM:
        from minirun.cgroups.stats import stats

        return stats(state.cgroupRoot + state.cgroup)
    from minirun.runtime import machine

    machine.awake(entry, state)
    return machine.numbers(entry, state)


def update(entry: Entry, state: State, resources: Resources, source: str) -> Resources:
    """Change what is counted elsewhere than in the host's cgroup; returns what is left for that."""
    if state.isolation != VM:
        return resources
    from minirun.runtime import machine

    machine.awake(entry, state)
    return machine.update(entry, state, resources, source)
