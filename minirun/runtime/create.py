"""create: from a bundle to a process that waits at the gate.  run is this and ``start`` in one process."""

from __future__ import annotations

import posix
import time

from minirun import facts as host_facts, hot
from minirun.engine.execute import Site, carry_out, unwind
from minirun.engine.protocol import DETACH
from minirun.errors import MinirunError
from minirun.plan import container
from minirun.plan.hooks import outputs
from minirun.record import Record
from minirun.runtime import hooks, isolation, status
from minirun.runtime.root import filter_cache, outer_uid
from minirun.runtime.store import State, check_id
from minirun.spec import check
from minirun.spec.decode import decode
from minirun.spec.rules import has_filter, isolation_of, namespace_types
from minirun.spec.schema import PIDFD_RECEIVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cgroups.systemd import Manager
    from minirun.facts import Facts
    from minirun.plan.container import Plan
    from minirun.runtime.store import Entry, Store
    from minirun.spec.types import Spec
    from minirun.vm.sandbox.zygote import Zygote


LARGEST = 16 << 20  # bytes of a config.json; a link to /dev/zero has no end


class Request(Record):
    """What the caller's command line says."""

    container_id: str
    bundle: str  # absolute
    config: str = ""  # another file than the bundle's config.json (crun's --config)
    pid_file: str = ""
    console_socket: str = ""
    pidfd_socket: str = ""
    options: container.Options
    isolation: str = ""  # container or vm; "" leaves it to config.json
    begun: Zygote | None = None  # what isolation.early returned
    env: dict[str, str]  # the caller's: where systemd's bus is
    foreground: bool = False  # run without --detach: the terminal, if there is one, is ours
    same_process: bool = False  # run: no gate, START comes from here
    trace: bool = False
    meanwhile: Callable[[], None] | None = None  # called while init is at work
    take_terminal: Callable[[int], None] | None = None  # foreground: what to do with the master before it is used
    warn: Callable[[str], None]


class Created(Record):
    """What create leaves behind for start, in one process."""

    entry: Entry
    state: State
    spec: Spec
    plan: Plan
    site: Site
    request: Request


def load(bundle: str, config: str = "") -> tuple[Spec, bytes, str]:
    """The bundle's configuration, checked; its bytes; and its name for errors."""
    path = config or f"{bundle}/config.json"
    try:
        # a fifo in the bundle must not keep us waiting; --config may well be one
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | (0 if config else posix.O_NONBLOCK))
    except OSError as error:
        hint = "a bundle is a directory with a config.json: -b names it, `minirun spec` makes one"
        hint = "" if config else f"{hint}; containers from images are made by `minirun container run`"
        raise MinirunError("cannot read the configuration", reason=f"{path}: {error.strerror}", hint=hint) from error
    try:
        data = b""
        while part := posix.read(fd, 65536):
            data += part
            if len(data) > LARGEST:
                raise MinirunError("cannot read the configuration", reason=f"{path}: larger than {LARGEST >> 20} MiB")
    except OSError as error:
        raise MinirunError("cannot read the configuration", reason=f"{path}: {error.strerror}") from error
    finally:
        posix.close(fd)
    value = decode(data, path)
    if b"seccomp" in data:
        hot.board("minirun.plan.seccomp")
    return check.config(value, path), data, path


def make_plan(request: Request, spec: Spec, facts: Facts, config: str) -> Plan:
    """The plan of a request: what --explain prints, and what create carries out."""
    asked = container.Asked(
        spec=spec, facts=facts, bundle=request.bundle, container_id=request.container_id, config=config,
        options=request.options, rlimits=[],
    )  # fmt: skip
    return isolation.plan(isolation_of(spec, request.isolation), asked)


def look(request: Request, spec: Spec, facts: Facts) -> tuple[Facts, Manager | None]:
    """With --systemd-cgroup systemd is a part of the host that the plan depends on; the connection serves on."""
    facts = host_facts.look_closer(facts, spec["process"], spec["linux"])
    if request.options.cgroup_driver != "systemd":
        return facts, None
    from minirun.cgroups import systemd
    from minirun.plan.systemd import address_of

    manager = systemd.connect(address_of(request.env, facts.rootless, facts.euid))
    return systemd.look(facts, manager), manager


def create(store: Store, request: Request) -> Created:
    """Everything up to *created*; on failure nothing is left. The entry stays locked for the caller."""
    check_id(request.container_id)
    spec, data, name = load(request.bundle, request.config)
    facts, manager = look(request, spec, host_facts.probe())
    plan = make_plan(request, spec, facts, name)
    check_terminal(spec, request)
    find_agent(spec, name)
    for warning in plan.warnings:
        request.warn(warning)
    rootfs = container.absolute(spec["root"]["path"], request.bundle)
    mount_id = mount_below(spec, rootfs)
    entry = store.reserve(request.container_id)
    state = State(
        id=request.container_id, bundle=request.bundle, created=now(), owner=outer_uid(facts.euid),
        rootfs=rootfs, mountId=mount_id, annotations=spec.get("annotations", {}), claim=entry.path, config=name,
        cgroup=plan.cgroup, cgroupRoot=facts.cgroup_root, cgroupMade=cgroup_made(plan.cgroup, facts),
        unit=plan.unit, bus=manager.address if manager else "", cgroupDriver=request.options.cgroup_driver,
        newKeyring=not request.options.no_new_keyring, resctrl=resctrl_groups(plan, spec, request.container_id),
        steps=len(plan.ops), isolation=isolation_of(spec, request.isolation), machine=plan.machine,
    )  # fmt: skip
    site = make_site(plan, state, facts, name, request)
    site.systemd = manager
    if mount_id:
        from minirun.runtime import in_place

        site.undo.append(lambda: in_place.take_away(state))
    try:
        entry.begin(state, data)
        sockets(entry, request, site)
        isolation.prepare(entry, state, site, request.begun, request.foreground)
        init = carry_out(site)
        state.pid, state.startTime = init.pid, status.start_time(init.pid)
        state.complete = True
        entry.save(state)
        hand_over(request, site, init.pid, state.annotations)
        if not request.same_process:
            init.send(DETACH)  # init waits at the gate from now on; should it be gone, that is create's failure too
    except BaseException:
        give_up(request, site)
        hooks.poststop(spec, state, request.warn)
        entry.remove()
        raise
    finally:
        if site.gate_fd >= 0:
            posix.close(site.gate_fd)
        if manager is not None:
            manager.close()
    return Created(entry=entry, state=state, spec=spec, plan=plan, site=site, request=request)


def find_agent(spec: Spec, name: str) -> None:
    if has_filter(spec):
        from minirun.runtime import notify

        notify.find_agent(spec, name)


def mount_below(spec: Spec, rootfs: str) -> int:
    """What lies on the rootfs where the mount namespace is not a new one (runtime/in_place.py); else 0."""
    if namespace_types(spec).get("mount") == "":
        return 0
    from minirun.runtime import in_place

    return in_place.look(spec, rootfs)


def give_up(request: Request, site: Site) -> None:
    """Undo all; what hooks have written to a terminal of our own is not lost with it."""
    unwind(site)
    if request.foreground and not request.console_socket:
        from minirun.runtime.terminal import last_words

        last_words(site.init)


def cgroup_made(path: str, facts: Facts) -> str:
    """The topmost directory that is ours to remove: our own home, or else what is not there yet.

    Written down before anything is made, so that a create that was killed leaves no cgroup that nobody knows.
    """
    if not path or path.startswith(facts.cgroup_home + "/"):
        return facts.cgroup_home
    at = ""
    for part in path.strip("/").split("/"):
        at += "/" + part
        if not posix.access(facts.cgroup_root + at, posix.F_OK):
            break
    return at


def resctrl_groups(plan: Plan, spec: Spec, container_id: str) -> list[str]:
    """Those that will be made, and are to be removed: written down before, as the cgroup is."""
    if "intelRdt" not in spec["linux"]:
        return []
    from minirun.plan.resctrl import own

    return [path for path in own(plan.ops, container_id) if not posix.access(path, posix.F_OK)]


def make_site(plan: Plan, state: State, facts: Facts, name: str, request: Request) -> Site:
    def state_document(pid: int) -> bytes:
        return hooks.state_document(state, status.CREATING, pid)

    return Site(
        ops=plan.ops, config=name, cgroup_root=facts.cgroup_root, cgroup=plan.cgroup,
        claim=state.claim, cgroup_made=state.cgroupMade, state_document=state_document,
        preserve=request.options.preserve_fds, trace=request.trace, warn=request.warn,
        dumpable=facts.rootless and plan.writes_task,
        terminal=terminal_taker(request), meanwhile=request.meanwhile,
        filter_cache=filter_cache(request.env, facts.euid), undo=[], times={},
        hook_outputs=outputs(state.annotations, state.bundle),
    )  # fmt: skip


def check_terminal(spec: Spec, request: Request) -> None:
    """A terminal needs somebody to take it, and a socket needs something to be sent (as runc has it)."""
    wanted = bool(spec["process"].get("terminal"))
    if wanted and not request.foreground and not request.console_socket:
        raise MinirunError(
            "cannot create the container", reason="a terminal without anybody to take it", pointer="/process/terminal",
            hint="use --console-socket, run in the foreground, or set /process/terminal to false",
        )  # fmt: skip
    if request.console_socket and not wanted:
        raise MinirunError(
            "cannot create the container", reason="--console-socket is given, but the process has no terminal",
            pointer="/process/terminal",
        )  # fmt: skip


def terminal_taker(request: Request) -> Callable[[int], None] | None:
    if request.console_socket:
        from minirun.runtime.terminal import send_master

        return lambda master: send_master(request.console_socket, master)
    return request.take_terminal or keep_terminal


def keep_terminal(master: int) -> None:
    """The foreground, which uses ``init.terminal``."""
    from minirun.runtime.terminal import keep_master

    keep_master(master)


def sockets(entry: Entry, request: Request, site: Site) -> None:
    """The gate, a listening socket in the container's directory that init inherits; the place of sd_notify(3)'s."""
    if request.options.notify_socket:
        from minirun.runtime import sd_notify

        sd_notify.prepare(entry)
    if not request.same_process:
        from minirun.linux.unix import listen

        site.gate_fd = listen(entry.gate())


def hand_over(request: Request, site: Site, pid: int, annotations: dict[str, str]) -> None:
    """The pid file is the last thing: whoever waits for it may go on."""
    receiver = request.pidfd_socket
    if not receiver and PIDFD_RECEIVER in annotations:
        receiver = container.absolute(annotations[PIDFD_RECEIVER], request.bundle)
    if receiver:
        from minirun.runtime.terminal import send_pidfd

        assert site.init is not None
        send_pidfd(receiver, site.init.pidfd)
    if request.pid_file:
        from minirun.runtime.pid_file import write_pid_file

        write_pid_file(request.pid_file, pid)


def detach(created: Created) -> None:
    """create's end: init waits at the gate, we go."""
    created.entry.close()


def now() -> str:
    """RFC 3339 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
