"""create and run."""

from __future__ import annotations

import posix

from minirun.cli.parse import usage
from minirun.cli.stores import absolute, store_of
from minirun.errors import MinirunError
from minirun.plan.container import Options
from minirun.runtime import interrupt
from minirun.runtime.create import Request, create as create_container, detach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def request_of(call: Call) -> Request:
    """Paths become absolute here: nothing later depends on the working directory."""
    values = call.values
    if values.text("explain") not in ("", "table", "json"):
        raise usage(f"--explain must be table or json, not {values.text('explain')!r}")
    listen = call.env.get("LISTEN_FDS", "")
    activated = int(listen) if listen.isascii() and listen.isdigit() and len(listen) < 4 else 0
    paths = {
        name: absolute(values.text(name), call.cwd) if values.text(name) else ""
        for name in ("pid_file", "console_socket", "pidfd_socket", "config")
    }
    driver = "systemd" if call.glob.on("systemd_cgroup") else call.glob.text("cgroup_manager")
    preserved = values.number("preserve_fds") + activated
    check_preserved(preserved)
    return Request(
        container_id=call.words[0],
        bundle=absolute(values.text("bundle") or ".", call.cwd),
        options=Options(
            no_pivot=values.on("no_pivot"),
            no_new_keyring=values.on("no_new_keyring"),
            preserve_fds=preserved,
            listen_fds=activated,
            cgroup_driver=driver,
            rootless=call.glob.text("rootless"),
            notify_socket=call.env.get("NOTIFY_SOCKET", ""),
            notify_folder=f"{store_of(call).root}/{call.words[0]}/notify",
        ),
        env=call.env,
        begun=call.begun,
        isolation=call.glob.text("isolation"),
        trace=values.on("trace"),
        warn=call.log.warn,
        **paths,  # type: ignore[arg-type]
    )


def check_preserved(count: int) -> None:
    """They must be the caller's: where it has none, descriptors of our own would pass, the state directory among them.

    What the caller left open came through an exec; what closes on exec we opened ourselves.
    """
    from fcntl import F_GETFD, FD_CLOEXEC, fcntl

    for fd in range(3, 3 + count):
        try:
            flags = fcntl(fd, F_GETFD)
        except OSError:
            flags = FD_CLOEXEC
        if flags & FD_CLOEXEC:
            raise MinirunError(f"cannot preserve {count} descriptors", reason=f"descriptor {fd} is not open")


def create(call: Call) -> int:
    request = request_of(call)
    if call.values.text("explain"):
        return explain(call, request)
    interrupt.raise_on_signals()
    created = create_container(store_of(call), request)
    detach(created)
    trace(request, created)
    return 0


def run(call: Call) -> int:
    from minirun.runtime.run import run as run_container

    request = request_of(call)
    detached = call.values.on("detach")
    request.foreground = not detached
    request.same_process = True
    if call.values.text("explain"):
        return explain(call, request)
    created, code = run_container(store_of(call), request, detach=detached, keep=call.values.on("keep"))
    trace(request, created)
    return code


def trace(request: Request, created: object) -> None:
    if request.trace:
        from minirun.runtime.trace import show

        show(created.site)  # type: ignore[attr-defined]


def explain(call: Call, request: Request) -> int:
    """--explain: plan, print, stop.

    It needs no rights.  An ordinary user who asks about a container that only root can make is shown root's plan,
    and told so.
    """
    from minirun import facts
    from minirun.runtime.create import load, look, make_plan
    from minirun.runtime.store import check_id
    from minirun.spec.rules import namespace_types

    check_id(request.container_id)
    spec, _, name = load(request.bundle, request.config)
    found = facts.probe()
    if found.euid != 0 and "user" not in namespace_types(spec):
        call.log.warn("this is root's plan: without a user namespace an ordinary user cannot carry it out")
        found = facts.as_root(found)
    found, _ = look(request, spec, found)
    plan = make_plan(request, spec, found, name)
    for warning in plan.warnings:
        call.log.warn(warning)
    code = print_plan(call, plan.ops)
    if call.values.text("explain") != "json" and any(getattr(op, "machine", None) for op in plan.ops):
        explain_sandbox(plan.ops)
    return code


def explain_sandbox(ops: object) -> None:
    """What is special about a program in a VM without a kernel."""
    from minirun.plan.sandbox import is_sandbox

    if is_sandbox(ops):  # type: ignore[arg-type]
        from minirun.vm.sandbox import explain as sandbox

        posix.write(1, sandbox.text().encode())


def print_plan(call: Call, ops: object) -> int:
    from minirun.plan.explain import rows, table
    from minirun.runtime.trace import terminal_width
    from minirun.spec.decode import encode

    form = call.values.text("explain")
    columns = terminal_width(1, call.env.get("COLUMNS", ""))
    text = encode(rows(ops), "  ") if form == "json" else table(ops, width=columns)  # type: ignore[arg-type]
    posix.write(1, text.encode("utf-8", "replace") + b"\n")
    return 0
