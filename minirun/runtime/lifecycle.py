"""kill, delete, pause, resume: plain functions, because there is no sequence to plan."""

from __future__ import annotations

import posix
import select

from minirun.cgroups import tree
from minirun.errors import MinirunError
from minirun.runtime import hooks, isolation, status
from minirun.runtime.status import CREATED, PAUSED, RUNNING, STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.runtime.store import Entry, State, Store
    from minirun.spec.types import Spec

SIGKILL = 9
DEADLINE = 10.0  # seconds for a killed process to go; longer means D state


def open_pidfd(state: State) -> int:
    """The process itself, not whoever has its number now; -1 if it is gone."""
    if state.pid <= 0:
        return -1
    try:
        pidfd: int = posix.pidfd_open(state.pid)
    except OSError:
        return -1
    if not status.alive(state):  # checked after opening: from here on the number cannot change hands
        posix.close(pidfd)
        return -1
    return pidfd


def signal_process(state: State, number: int) -> bool:
    """Send a signal to the container's init; False if it is gone."""
    from _signal import pidfd_send_signal

    pidfd = open_pidfd(state)
    if pidfd < 0:
        return False
    try:
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        posix.close(pidfd)
    return True


def wait_gone(state: State, seconds: float = DEADLINE) -> bool:
    """Until init has ended (it may stay a zombie of its parent's)."""
    pidfd = open_pidfd(state)
    if pidfd < 0:
        return True
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    try:
        return bool(poller.poll(seconds * 1000))
    finally:
        posix.close(pidfd)


def kill(store: Store, container_id: str, number: int, everyone: bool = False) -> None:
    """Send a signal to init, or (--all) to every process of the container.

    KILL without a pid namespace of its own goes to all of them, as with runc: no kernel does it there when init ends.
    """
    entry = store.open(container_id)
    state = entry.load()
    word = status.status(entry, state)
    directory = own_cgroup(state) if everyone or (number == SIGKILL and shares_pids(entry)) else ""
    if directory:
        isolation.signal_all(entry, state, directory, number)
        if word == STOPPED:
            return
    if word not in (CREATED, RUNNING, PAUSED):
        # "container not running" is what containerd looks for.
        raise MinirunError(f"cannot kill container {container_id}", reason="container not running")
    if directory:
        return
    if everyone and not state.cgroup:
        from minirun.runtime.inspect import processes

        signal_each([pid for pid in processes(state) if pid != state.pid], number)
    if not signal_process(state, number):
        raise MinirunError(f"cannot kill container {container_id}", reason="container not running")


def shares_pids(entry: Entry) -> bool:
    """No pid namespace, or another's."""
    from minirun.spec.rules import namespace_types

    try:
        spec: Spec = entry.config()
    except MinirunError:  # its configuration is gone or damaged: init can be killed all the same
        return False
    return namespace_types(spec).get("pid") != ""


def own_cgroup(state: State) -> str:
    """The container's cgroup, unless it is claimed by another container that was given the same path."""
    directory = state.cgroupRoot + state.cgroup
    return directory if state.cgroup and tree.owner(directory) == state.claim else ""


def kill_all(directory: str, number: int) -> None:
    if number == SIGKILL:
        tree.kill(directory)
        return
    signal_each(tree.processes(directory), number)


def signal_each(pids: list[int], number: int) -> None:
    for pid in pids:
        if pid == 0:  # a process that our pid namespace does not see; kill(2) would take 0 for our own group
            continue
        try:
            posix.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise MinirunError(f"cannot signal process {pid}", reason="it runs as another user") from error


def delete(store: Store, container_id: str, force: bool, warn: Callable[[str], None]) -> None:
    """Undo what create did.  --force kills first, and is content when there is nothing."""
    try:
        entry = store.open(container_id, lock=True)
    except MinirunError as error:
        if force and error.errno_name == "ENOENT":
            return
        raise
    state = entry.load()
    word = status.status(entry, state, locked=True)
    if word not in (STOPPED, CREATED) and not force:  # created: nothing of the user's runs yet; so do runc and crun
        raise MinirunError(
            f"cannot delete container {container_id}", reason=f"it is {word}, not stopped",
            hint=f"minirun kill {container_id} KILL first, or delete --force",
        )  # fmt: skip
    destroy(entry, state, warn)


def destroy(entry: Entry, state: State, warn: Callable[[str], None]) -> None:
    """End every process, remove the cgroup, run poststop hooks, forget."""
    directory = own_cgroup(state)
    if status.alive(state):
        if directory:
            tree.kill(directory)
        signal_process(state, SIGKILL)
        if not wait_gone(state):
            raise MinirunError(
                f"cannot delete container {state.id}", reason=f"process {state.pid} does not end (D state?)"
            )
    if state.mountId:
        from minirun.runtime import in_place

        in_place.take_away(state)
    if directory or (state.cgroup and unclaimed(state)):
        try:
            remove_cgroup(state)
        except OSError as error:
            raise MinirunError(
                f"cannot delete container {state.id}", reason=f"{error.filename}: {error.strerror}"
            ) from error
    if state.resctrl:
        from minirun.engine import resctrl

        for group in state.resctrl:
            resctrl.remove(group)
    if state.complete:
        try:
            hooks.poststop(entry.config(), state, warn)
        except MinirunError as error:  # its configuration is gone or damaged: it must be possible to delete it still
            warn(f"no poststop hooks: {error}")
    entry.remove()


def remove_cgroup(state: State) -> None:
    """Whoever made it takes it away."""
    if state.unit:
        from minirun.cgroups import systemd

        systemd.remove(state.bus, state.unit, state.cgroupRoot, state.cgroup)
    else:
        tree.remove(state.cgroupRoot, state.cgroup, state.cgroupMade)


def unclaimed(state: State) -> bool:
    """Nobody's and empty: made by a create that was killed before it could say whose."""
    directory = state.cgroupRoot + state.cgroup
    return not tree.owner(directory) and not tree.populated(directory)


def freeze(store: Store, container_id: str, frozen: bool) -> None:
    """pause and resume: cgroup.freeze, and wait until the kernel says it is so."""
    verb = "pause" if frozen else "resume"
    entry = store.open(container_id, lock=True)
    state = entry.load()
    word = status.status(entry, state, locked=True)
    allowed = (RUNNING, CREATED) if frozen else (PAUSED,)
    if word not in allowed:
        raise MinirunError(f"cannot {verb} container {container_id}", reason=f"it is {word}, not {allowed[0]}")
    if not state.cgroup:
        raise MinirunError(f"cannot {verb} container {container_id}", reason="it has no cgroup of its own")
    if not tree.freeze(state.cgroupRoot + state.cgroup, frozen):
        tree.freeze(state.cgroupRoot + state.cgroup, False)
        raise MinirunError(f"cannot {verb} container {container_id}", reason="its processes did not stop in time")
    entry.close()
