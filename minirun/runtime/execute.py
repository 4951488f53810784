"""exec: one more process in a running container, from the configuration that create saved."""

from __future__ import annotations

import posix

from minirun import facts as host_facts
from minirun.cgroups import tree
from minirun.engine.execute import Site, carry_out, from_init
from minirun.engine.init import InitFailed
from minirun.engine.protocol import START
from minirun.errors import MinirunError
from minirun.plan.exec import ExecAsked
from minirun.plan.process import CAPABILITIES
from minirun.record import Record
from minirun.runtime import foreground, interrupt, isolation, lifecycle, notify, status
from minirun.runtime.create import hand_over, terminal_taker
from minirun.runtime.root import filter_cache
from minirun.spec import check
from minirun.spec.decode import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cgroups.systemd import Manager
    from minirun.plan.container import Plan
    from minirun.runtime.create import Request
    from minirun.runtime.store import State, Store
    from minirun.spec.types import Capabilities, Linux, Process, Spec, User


# What a process document does not say is the container's, as in runc.
INHERITED = (
    "capabilities", "rlimits", "apparmorProfile", "selinuxLabel", "scheduler", "ioPriority", "execCPUAffinity",
    "oomScoreAdj",
)  # fmt: skip


class ExecRequest(Record):
    """The command line of exec; ``process_file`` or the words, which change the container's own process."""

    base: Request
    process_file: str = ""
    args: list[str]
    cwd: str = ""
    env: list[str]
    user: str | None = None
    additional_gids: list[str]
    capabilities: list[str]
    terminal: bool | None = None
    no_new_privs: bool | None = None
    apparmor: str = ""
    process_label: str = ""
    cgroup: str = ""
    ignore_paused: bool = False
    detach: bool = False


def number(word: str, what: str) -> int:
    """An id, strictly: all digits, below 2^32 - 1 (crun's CVE-2026-30892 was a lenient one)."""
    if not (word.isascii() and word.isdigit()) or len(word) > 10 or int(word) >= 0xFFFFFFFF:
        raise MinirunError(
            f"invalid {what} {word!r}", reason="a decimal number from 0 to 4294967294 is wanted", exit_code=2
        )
    return int(word)


def build_process(request: ExecRequest, spec: Spec, config: str) -> Process:
    """--process FILE as it stands, or the container's process with what the flags change."""
    if request.process_file:
        try:
            with open(request.process_file, "rb") as file:
                data = file.read()
        except OSError as error:
            raise MinirunError("cannot read the process", reason=f"{request.process_file}: {error.strerror}") from error
        given = check.process(decode(data, request.process_file), request.process_file)
        if request.terminal:
            given["terminal"] = True
        own = spec["process"]
        for member in INHERITED:
            if given.get(member, "") == "" and member in own:
                given[member] = own[member]  # type: ignore[literal-required]
        return given
    process: Process = {**spec["process"]}
    process.pop("consoleSize", None)
    process["args"] = request.args
    process["terminal"] = bool(request.terminal)
    process["env"] = [*process.get("env", []), *request.env]
    if request.cwd:
        process["cwd"] = request.cwd
    if request.user is not None:
        uid, colon, gid = request.user.partition(":")
        process["user"] = {**process.get("user", {}), "uid": number(uid, "user")}
        if colon:
            process["user"]["gid"] = number(gid, "group")
    if request.additional_gids:
        user: User = {**process.get("user", {})}
        user["additionalGids"] = [number(word, "group") for word in request.additional_gids]
        process["user"] = user
    if request.capabilities:
        process["capabilities"] = with_capabilities(process, known(request.capabilities, request.base.warn))
    if request.no_new_privs is not None:
        process["noNewPrivileges"] = request.no_new_privs
    if request.apparmor:
        process["apparmorProfile"] = request.apparmor
    if request.process_label:
        process["selinuxLabel"] = request.process_label
    return check.process(process, "the command line", "/process")  # the rest was checked by create


def with_capabilities(process: Process, names: list[str]) -> Capabilities:
    """--cap adds to what the container has; never to the inheritable set (CVE-2022-29162).

    What config.json has in that set already may be ambient too, as with runc.
    """
    own: dict[str, list[str]] = process.get("capabilities", {})  # type: ignore[assignment]
    sets = {name: [*own.get(name, [])] for name in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    for name in ("bounding", "effective", "permitted"):
        sets[name] += [word for word in names if word not in sets[name]]
    sets["ambient"] += [word for word in names if word in sets["inheritable"] and word not in sets["ambient"]]
    return sets  # type: ignore[return-value]


def known(words: list[str], warn: Callable[[str], None]) -> list[str]:
    """CAP_NET_RAW, NET_RAW or net_raw; what Linux does not have is a warning, as with runc and crun."""
    names = [word.upper().removeprefix("CAP_") for word in words]
    for word, name in zip(words, names, strict=True):
        if name not in CAPABILITIES:
            warn(f"--cap {word}: it is not a capability of Linux, ignored")
    return [f"CAP_{name}" for name in names if name in CAPABILITIES]


def target_cgroup(state: State, below: str) -> str:
    """The container's cgroup, or --cgroup PATH below it; a list of controllers before it (v1's) says nothing in v2."""
    if not below:
        return state.cgroup
    path = below.partition(":")[2] if ":" in below.partition("/")[0] else below
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise MinirunError("invalid --cgroup", reason="it must not contain ..", exit_code=2)
    if not state.cgroup:  # or the path would begin at the mount, among everybody's
        raise MinirunError(f"cannot exec in container {state.id}", reason="it has no cgroup of its own")
    found = "/".join([state.cgroup, *parts])
    if not tree.exists(state.cgroupRoot + found):
        raise MinirunError(
            f"cannot exec in container {state.id}", reason=f"it has no cgroup {'/'.join(parts)}",
            hint=f"--cgroup names a directory below {state.cgroupRoot}{state.cgroup} that exists",
        )  # fmt: skip
    return found


def prepare(store: Store, request: ExecRequest) -> tuple[State, Plan, Spec, str]:
    """What exec would do: for --explain too."""
    entry = store.open(request.base.container_id)
    state = entry.load()
    word = status.status(entry, state)
    if word == status.PAUSED and not request.ignore_paused:
        raise MinirunError(
            f"cannot exec in container {state.id}", reason="it is paused", hint="minirun resume, or --ignore-paused"
        )
    if word not in (status.RUNNING, status.CREATED, status.PAUSED):
        raise MinirunError(f"cannot exec in container {state.id}", reason="container not running")
    spec: Spec = entry.config()
    config = request.process_file or state.config
    process = build_process(request, spec, config)
    if state.resctrl:
        spec["linux"].setdefault("intelRdt", {})  # update gave it a group
    linux: Linux = {"intelRdt": spec["linux"]["intelRdt"]} if "intelRdt" in spec["linux"] else {}
    facts = host_facts.look_closer(host_facts.probe(), process, linux)
    asked = ExecAsked(
        spec=spec, process=process, facts=facts, container_id=state.id, config=config,
        rootfs=state.rootfs, cgroup=target_cgroup(state, request.cgroup), unit=state.unit if facts.rootless else "",
        preserve_fds=request.base.options.preserve_fds, new_keyring=state.newKeyring,
        at="" if request.process_file else "/process",
        setgroups=host_facts.read(f"/proc/{state.pid}/setgroups").strip() != "deny",
    )  # fmt: skip
    check_terminal(process, request)
    entry.close()
    return state, isolation.plan_exec(state.isolation, asked), spec, config


def check_terminal(process: Process, request: ExecRequest) -> None:
    wanted = bool(process.get("terminal"))
    if wanted and request.detach and not request.base.console_socket:
        raise MinirunError("cannot exec", reason="a terminal without anybody to take it", hint="use --console-socket")
    if request.base.console_socket and not wanted:
        raise MinirunError("cannot exec", reason="--console-socket is given, but the process has no terminal")


def execute(store: Store, request: ExecRequest) -> int:
    """Its exit code (0 when detached)."""
    state, plan, spec, config = prepare(store, request)
    base = request.base
    for warning in plan.warnings:
        base.warn(warning)
    interrupt.raise_on_signals()
    target = lifecycle.open_pidfd(state)
    if target < 0:
        raise MinirunError(f"cannot exec in container {state.id}", reason="container not running")
    site = Site(
        ops=plan.ops, config=config, cgroup_root=state.cgroupRoot, cgroup=living_cgroup(state, plan.cgroup),
        state_document=lambda pid: b"", target_fd=target, preserve=base.options.preserve_fds, trace=base.trace,
        warn=base.warn, terminal=terminal_taker(base), systemd=manager_of(state, plan),
        filter_cache=filter_cache(base.env, posix.geteuid()), undo=[], times={},
        dumpable=plan.writes_task and host_facts.probe().rootless,
    )  # fmt: skip
    agent = notify.agent_of(spec)
    if agent is not None:
        site.deliver = agent.taker(state, status.RUNNING)
    isolation.prepare_exec(store, state, site)
    init = carry_out(site)
    posix.close(target)
    signals = -1 if request.detach else foreground.watch_signals()
    try:
        hand_over(base, site, init.pid, {})
        init.send(START)
        init.started()
    except InitFailed as error:
        init.wait()
        raise from_init(site, error) from error
    except BaseException:
        init.kill()
        raise
    if base.trace:
        show_trace(site)
    if request.detach:
        return 0
    return foreground.wait(init, signals, state.id)


def manager_of(state: State, plan: Plan) -> Manager | None:
    """systemd, where the plan needs it."""
    if not plan.unit:
        return None
    from minirun.cgroups import systemd

    return systemd.connect(state.bus)


def living_cgroup(state: State, cgroup: str) -> str:
    """Where init is now, if the container moved it: a cgroup with children and controllers takes no processes."""
    if not cgroup or cgroup != state.cgroup:
        return cgroup
    for line in host_facts.read(f"/proc/{state.pid}/cgroup").splitlines():
        if line.startswith("0::" + cgroup + "/"):
            return line[3:]
    return cgroup


def show_trace(site: Site) -> None:
    from minirun.runtime.trace import show

    show(site)
