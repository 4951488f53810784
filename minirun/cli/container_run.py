"""``container run`` and ``create``: the command line, the record, and then the container's life."""

from __future__ import annotations

import posix

from minirun.cli.parse import usage
from minirun.cli.stores import absolute, storage_of, write_out
from minirun.errors import FAILED, MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.cli.main import Call
    from minirun.cli.parse import Values
    from minirun.container.flags import Look
    from minirun.container.life import Attach, Place
    from minirun.container.make import Request
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf

LARGEST = 4 << 20


def request_of(call: Call) -> Request:
    """Everything of the command line, checked; nothing has been done yet."""
    from minirun.container.devices import numbers
    from minirun.container.flags import Look, members
    from minirun.container.make import Request
    from minirun.facts import user_namespace
    from minirun.runtime.signals import signal_number

    values = call.values
    if values.text("stop_signal"):
        signal_number(values.text("stop_signal"))
    look = Look(env=call.env, cwd=call.cwd, read=read_text, numbers=numbers)
    found = members_of(call, look) if user_namespace() else members(values, call.words[1:], look)
    if found["network"] == "host" and found["ports"] and not values.on("quiet"):
        call.log.warn("--publish does nothing on the host's network: what listens there is published")
    only_unicode([*call.words, *found["asked"]["env"], *found["labels"].values(), *strings(values)])
    cidfile = values.text("cidfile")
    return Request(
        image=call.words[0], name=values.text("name"), members=found,
        platform=values.text("platform"), pull=values.text("pull") or "missing", quiet=values.on("quiet"),
        cidfile=absolute(cidfile, call.cwd) if cidfile else "", isolation=call.glob.text("isolation"),
        cgroup_driver=driver_of(call), rootless=call.glob.text("rootless"),
        warn=call.log.warn, healthcheck=not (values.on("no_healthcheck") or values.on("quiet")),
    )  # fmt: skip


def members_of(call: Call, look: Look) -> dict[str, Any]:
    """Where we are root of a user namespace only: networks are other ones."""
    from minirun.container.flags import members
    from minirun.network import outside

    given = call.values.listed("network")
    named = bool(given) and not {"default", "private"} & set(given)
    machine = call.glob.text("isolation") == "vm"
    look.network = outside.usual(call.env, call.log.warn, named=named, machine=machine)
    found = members(call.values, call.words[1:], look)
    outside.check([each["name"] for each in found["networks"]], machine=machine)
    return found


def strings(values: Values) -> list[str]:
    found: list[str] = []
    for value in values.values():
        found += [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return found


def only_unicode(words: list[str]) -> None:
    """Said now, and not when a container has been made whose config.json cannot be written."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise usage(f"{word!r} is not UTF-8", "config.json can hold nothing else") from error


def driver_of(call: Call) -> str:
    return "systemd" if call.glob.on("systemd_cgroup") else call.glob.text("cgroup_manager")


def read_text(option: str, path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise MinirunError(f"cannot read {path} for {option}", reason=error.strerror or "") from error
    if len(data) > LARGEST:
        raise MinirunError(f"cannot read {path} for {option}", reason=f"it is larger than {LARGEST >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MinirunError(f"cannot read {path} for {option}", reason="it is not UTF-8 text") from error


def place_of(call: Call) -> Place:
    from minirun.cli.stores import store_of
    from minirun.container.life import Place

    return Place(
        storage=storage_of(call), root=store_of(call).root, env=call.env, cwd=call.cwd, warn=call.log.warn
    )  # fmt: skip


def shelf_of(call: Call) -> Shelf:
    from minirun.container.shelf import Shelf

    return Shelf(storage_of(call))


def create(call: Call) -> int:
    request = request_of(call)
    if call.values.text("explain"):
        return explain(call, request)
    from minirun.container.make import create as make
    from minirun.runtime import interrupt

    interrupt.raise_on_signals()
    container = made(make, shelf_of(call), place_of(call), request)
    write_out(f"{container.id}\n")
    return 0


def run(call: Call) -> int:
    request = request_of(call)
    if call.values.text("explain"):
        return explain(call, request)
    attach = attach_of(call)
    from minirun.container import life
    from minirun.container.make import create as make
    from minirun.runtime import interrupt

    shelf, place = shelf_of(call), place_of(call)
    interrupt.raise_on_signals()
    container = made(make, shelf, place, request)
    try:
        code = life.start(shelf, place, container, attach)
    except MinirunError as error:
        if container.remove and shelf.exists(container.id):  # we were interrupted before there was a monitor to do it
            life.remove(shelf, place, container, force=True, volumes=True)
        if error.config.startswith(f"{shelf.directory(container.id)}/") and not shelf.exists(container.id):
            error.config = "what run --explain=json prints"  # the file is gone
        raise
    if attach is None:
        write_out(f"{container.id}\n")
    return code


def made(make: Callable[[Shelf, Request], Container], shelf: Shelf, place: Place, request: Request) -> Container:
    """What is missing (another container, say) is minirun's failure here: 1 could be the program's own code."""
    if request.name and shelf.owner(request.name):
        from minirun.container.truth import free_name

        free_name(shelf, place, request.name)
    try:
        return make(shelf, request)
    except MinirunError as error:
        error.exit_code = FAILED if error.exit_code == 1 else error.exit_code
        raise


def attach_of(call: Call) -> Attach | None:
    """What the foreground has of the container; None for --detach."""
    from minirun.container.life import Attach

    values = call.values
    if values.on("detach"):
        return None
    streams = [text.lower() for text in values.listed("attach")]
    proxy = values.text("sig_proxy")
    if proxy not in ("true", "false", "table"):
        raise usage(f"--sig-proxy must be true or false, not {proxy!r}")
    if values.on("tty") and values.on("interactive") and not posix.isatty(0) and not streams:
        raise usage("the input is no terminal", "leave -t out, or run it in a terminal")
    return Attach(
        stdin=values.on("interactive") and (not streams or "stdin" in streams),
        stdout=not streams or "stdout" in streams,
        stderr=not streams or "stderr" in streams,
        tty=values.on("tty"),
        sig_proxy=proxy != "false",
        detach_keys=values.text("detach_keys") or "ctrl-p,ctrl-q",
    )


def explain(call: Call, request: Request) -> int:
    """--explain: what would be made; no volume, no directory, no pull."""
    from minirun.container.explain import document

    form = call.values.text("explain")
    if form not in ("table", "json"):
        raise usage(f"--explain must be table or json, not {form!r}")
    config = document(shelf_of(call), request, call.log.warn)
    if form == "json":
        from minirun.spec.decode import encode

        write_out(encode(config, "  ") + "\n")
        return 0
    return show_plan(call, request, config)


def show_plan(call: Call, request: Request, config: dict[str, Any]) -> int:
    from minirun import facts
    from minirun.cli.oci_run import print_plan
    from minirun.plan.container import Options
    from minirun.runtime.create import Request as RuntimeRequest, look, make_plan
    from minirun.spec import check

    spec = check.config(config, "config.json")
    asked = RuntimeRequest(
        container_id=config["linux"]["cgroupsPath"].rpartition("/")[2], bundle=call.cwd, env=call.env,
        options=Options(cgroup_driver=request.cgroup_driver, rootless=request.rootless), isolation=request.isolation,
        warn=call.log.warn,
    )  # fmt: skip
    found = facts.probe()
    if found.euid != 0 and not config["linux"].get("uidMappings"):
        found = facts.as_root(found)
    found, _ = look(asked, spec, found)
    plan = make_plan(asked, spec, found, "config.json")
    for warning in plan.warnings:
        call.log.warn(warning)
    return print_plan(call, plan.ops)
