"""``minirun vm run, ls, console, stop``: containers in machines, for people; and a kernel alone.

minirun vm run BUNDLE [-- PROGRAM]      as ``minirun --isolation vm run``, with the machine on the command line
minirun vm run --kernel FILE            no bundle: a kernel with its serial port on this terminal
minirun vm ls                           which machines there are
minirun vm console ID                   what the guest's kernel has said, and says
minirun vm stop ID                      TERM, and after ten seconds KILL
"""

from __future__ import annotations

import json
import os
import sys

from minirun.cli.oci_list import columns
from minirun.cli.parse import Values, usage
from minirun.cli.stores import absolute
from minirun.errors import MinirunError
from minirun.plan.hardware import DEFAULT_MEMORY, MIB, MOST_MEMORY, PREFIX, from_words, size
from minirun.runtime import lifecycle, status
from minirun.runtime.root import default_root
from minirun.runtime.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.runtime.store import Entry

PATHS = ("kernel", "initrd", "console")  # options that are seen from here, not from the bundle
GRACE = 10.0  # seconds between TERM and KILL


def run(glob: Values, words: tuple[str, ...], options: dict[str, Any]) -> int:
    """The program's exit code."""
    if not words:
        if not options["kernel"]:
            raise usage("minirun vm run wants a BUNDLE, or --kernel FILE", "minirun vm --help says more")
        return plain(options)
    from minirun.cli.main import Call, check_global, open_log
    from minirun.cli.oci_run import run as run_container
    from minirun.runtime.create import load
    from minirun.spec.decode import decode

    check_global(glob)
    bundle, program = absolute(words[0], os.getcwd()), words[1:]
    _, data, path = load(bundle)
    config = decode(data, path)
    config["annotations"] = {**(config.get("annotations") or {}), **annotated(options)}
    process = config["process"]
    if program:
        process["args"] = list(program)
    process["terminal"] = sys.stdin.isatty() and sys.stdout.isatty() and not options["detach"]
    fd = os.memfd_create("config.json")
    os.write(fd, json.dumps(config).encode())
    name = options["name"] or f"{os.path.basename(bundle) or 'vm'}-{os.urandom(2).hex()}"
    values = Values(bundle=bundle, config=f"/proc/self/fd/{fd}", detach=bool(options["detach"]))
    call = Call(
        glob=Values({**glob, "isolation": "vm"}), values=values, words=[name], env=dict(os.environ), cwd=os.getcwd(),
        log=open_log(glob),
    )  # fmt: skip
    try:
        return run_container(call)
    except MinirunError as error:
        error.config = error.config.replace(f"/proc/self/fd/{fd}", path)
        raise as_option(error, options) from error


def as_option(error: MinirunError, options: dict[str, Any]) -> MinirunError:
    """What is wrong with the machine is an option's fault where the option said it: config.json has no such line."""
    name = (error.pointer or "").partition(f"/annotations/{PREFIX}")[2]
    option = "append" if name == "cmdline" else name
    if options.get(option):
        error.pointer, error.config = None, ""
        if error.message.startswith("this host"):
            error.message = f"cannot use --{option}"
    return error


def annotated(options: dict[str, Any]) -> dict[str, str]:
    """What the options say, in the words of config.json."""
    found = {"cmdline": options["append"] or "", "disk": " ".join(options["disk"]), "net": " ".join(options["net"])}
    found |= {name: options[name] or "" for name in ("kernel", "initrd", "memory", "vcpus", "console")}
    found["disk"] = " ".join(absolute(word, os.getcwd()) for word in options["disk"])
    for name in PATHS:
        found[name] = absolute(found[name], os.getcwd()) if found[name] else ""
    return {PREFIX + name: value for name, value in found.items() if value}


def plain(options: dict[str, Any]) -> int:
    """A kernel by itself: 0 if it switches the machine off or restarts it."""
    from minirun.vm import plain as machine

    memory = size(options["memory"]) if options["memory"] else DEFAULT_MEMORY
    if not 0 < memory <= MOST_MEMORY:
        raise usage(f"--memory wants a size such as 512m, at most 1024g, not {options['memory']!r}")
    vcpus = options["vcpus"] or "1"
    if not vcpus.isdigit() or not 1 <= int(vcpus) <= 32:
        raise usage(f"--vcpus wants a number from 1 to 32, not {vcpus!r}")
    return machine.run(options["kernel"], options["initrd"] or "", options["append"] or "", memory, int(vcpus))


def root_of(glob: Values) -> str:
    return absolute(glob.text("root") or default_root(dict(os.environ), os.geteuid()), os.getcwd())


def ls(glob: Values, words: tuple[str, ...], options: dict[str, Any]) -> int:
    """Every container that is in a machine, with the machine."""
    if words:
        raise usage(f"minirun vm ls wants no word, and there is {words[0]!r}")
    rows = machines(Store(root_of(glob)))
    if options["format"] == "json":
        print(json.dumps(rows, indent=2))
        return 0
    titles = ["ID", "PID", "STATUS", "CPUS", "MEMORY", "BUNDLE"]
    cells = [[str(row[name.lower()]) for name in titles] for row in rows]
    sys.stdout.write(columns([titles, *cells]))
    return 0


def machines(store: Store) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for container_id in store.ids():
        entry = store.open(container_id)
        state = entry.load()
        if state.isolation == "vm":
            hardware = from_words(state.machine)
            word = status.status(entry, state)
            pid = 0 if word == status.STOPPED else state.pid
            found.append(
                {"id": state.id, "pid": pid, "status": word, "cpus": hardware.vcpus,
                 "memory": f"{hardware.memory // MIB}M", "bundle": state.bundle}
            )  # fmt: skip
        entry.close()
    return found


def console(glob: Values, words: tuple[str, ...], options: dict[str, Any]) -> int:
    """Until the machine ends, or ^C."""
    from minirun.linux import unix
    from minirun.runtime.machine import connect

    entry = in_a_machine(Store(root_of(glob)), one(words, "console"))
    fd = connect(entry)
    entry.close()
    unix.send(fd, b"console")
    while data := unix.receive(fd, 65536)[0]:
        os.write(1, data)
    return 0


def in_a_machine(store: Store, name: str) -> Entry:
    """A container that is one of ours."""
    entry = store.open(name)
    if entry.load().isolation != "vm":
        entry.close()
        raise MinirunError(f"container {name} is not in a machine", hint="minirun vm ls lists those that are")
    return entry


def stop(glob: Values, words: tuple[str, ...], options: dict[str, Any]) -> int:
    """The program is asked to end, then made to."""
    store, name = Store(root_of(glob)), one(words, "stop")
    entry = in_a_machine(store, name)
    state = entry.load()
    entry.close()
    lifecycle.kill(store, name, 15)
    if not lifecycle.wait_gone(state, GRACE):  # by its pidfd: a foreground run may have deleted it by then
        lifecycle.signal_process(state, 9)
    return 0


def one(words: tuple[str, ...], verb: str) -> str:
    if len(words) != 1:
        raise usage(f"minirun vm {verb} wants one ID")
    return words[0]


WHAT = {"run": run, "ls": ls, "console": console, "stop": stop}
