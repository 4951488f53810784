"""exec."""

from __future__ import annotations

from minirun.cli.oci_run import print_plan, request_of
from minirun.cli.parse import usage
from minirun.cli.stores import absolute, store_of
from minirun.runtime.execute import ExecRequest, execute, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def exec(call: Call) -> int:  # noqa: A001 (the verb's name)
    values = call.values
    file = values.text("process")
    args = call.words[1:]
    if args[:1] == ["--"]:
        del args[0]
    if bool(file) == bool(args):
        raise usage("exec wants a COMMAND, or --process FILE", "not both, not neither")
    base = request_of(call)
    base.foreground = not values.on("detach")
    request = ExecRequest(
        base=base,
        process_file=absolute(file, call.cwd) if file else "",
        args=args,
        cwd=values.text("cwd"),
        env=values.listed("env"),
        user=values.text("user") if "user" in values else None,  # an empty one is refused, not taken for root
        additional_gids=values.listed("additional_gids"),
        capabilities=values.listed("cap"),
        terminal=True if values.on("tty") else None,
        no_new_privs=True if values.on("no_new_privs") else None,
        apparmor=values.text("apparmor"),
        process_label=values.text("process_label"),
        cgroup=values.text("cgroup"),
        ignore_paused=values.on("ignore_paused"),
        detach=values.on("detach"),
    )
    store = store_of(call)
    if values.text("explain"):
        return print_plan(call, prepare(store, request)[1].ops)
    return execute(store, request)
