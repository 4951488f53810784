"""Where ``minirun`` begins: global options, then the verb.

The OCI verbs are called cold, once per step of a container's life, by containerd and podman; so this path imports
next to nothing (tests/house/test_imports.py holds it to a list), leaves garbage alone, and ends by ``_exit``.
``main`` keeps no process globals: argv, environment, and working directory come in as arguments, so that a warm
process can call it one day.
"""

from __future__ import annotations

import posix
import sys
from errno import EACCES, EDQUOT, EIO, EMFILE, ENAMETOOLONG, ENFILE, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS

from minirun import hot
from minirun.cli import options
from minirun.cli.log import Log
from minirun.cli.parse import Values, arguments, parse, usage
from minirun.errors import FAILED, MinirunError
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.sandbox.zygote import Zygote


class Call(Record):
    """One invocation: what a verb gets."""

    glob: Values
    values: Values
    words: list[str]
    env: dict[str, str]
    cwd: str
    log: Log
    begun: Zygote | None = None


def main(argv: list[str], env: dict[str, str], cwd: str, begun: Zygote | None = None) -> int:
    """The exit code.  Every failure ends in one MinirunError and its face.  ``begun``: cli/entry.py."""
    log = Log()
    try:
        glob, words = parse(argv, options.GLOBAL, limit=1)
        if glob.on("version"):
            return show_version()
        if glob.on("help") or not words:
            return human(argv)
        log = open_log(glob)
        verb = options.verb_of(words[0])
        rest = words[1:]
        if verb is None:
            if words[0] in GROUPS:
                check_global(glob)
                return grouped(words[0], rest, glob, env, cwd, log)
            if rest[:1] == ["--words"] and words[0] == "completion":  # a shell asks at every TAB
                from minirun.cli.completion_words import offer

                return offer(Call(glob=glob, values=Values(), words=rest[1:], env=env, cwd=cwd, log=log))
            return human(argv)
        check_global(glob)
        limit = len(verb.arguments) if verb.rest else None
        values, found = parsed(verb, rest, limit)
        if values.on("help"):
            return human([verb.name, "--help"])
        call = Call(glob=glob, values=values, words=arguments(verb, found), env=env, cwd=cwd, log=log, begun=begun)
        if posix.geteuid() != 0 and verb.name in INSIDE:
            go_inside(call)
        return handler(verb.name)(call)
    except MinirunError as error:
        log.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except OSError as error:
        log.error(refused(error) if error.errno in HOST else defect(error))
        if log.debugging:
            raise
        return FAILED
    except Exception as error:  # the last line of defence: a defect of ours must still look like an error
        log.error(defect(error))
        if log.debugging:
            raise
        return FAILED


# What a host may refuse at any moment: no room, a disk that fails or is not to be written, nothing left of something.
HOST = (ENOSPC, EDQUOT, EROFS, EIO, EMFILE, ENFILE, ENAMETOOLONG, ENOMEM, EACCES, EPERM, ENOTDIR)


def refused(error: OSError) -> MinirunError:
    place = str(error.filename)[:200] if error.filename else ""
    hint = "minirun system prune makes room" if place and error.errno in (ENOSPC, EDQUOT) else ""
    return MinirunError("the host refuses", reason=": ".join(filter(None, (place, error.strerror))), hint=hint)


def parsed(verb: options.Verb, rest: list[str], limit: int | None) -> tuple[Values, list[str]]:
    try:
        return parse(rest, (*verb.options, options.HELP), limit=limit)
    except MinirunError as error:
        if not error.hint and error.message.startswith("unknown option"):  # docker's, perhaps
            from minirun.cli.elsewhere import also

            error.hint = also(verb.name)
        raise


def defect(error: Exception) -> MinirunError:
    """An exception nobody expected, as an error with the place where it arose."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame else "?"
    reason = f"{error.__class__.__name__} at {place}: {error}"
    return MinirunError(
        "minirun met a case it does not know", reason=reason, hint="please report it; --debug shows more"
    )


INSIDE = ("exec", "kill", "delete")


def go_inside(call: Call) -> None:
    """An ordinary user's container of an image lives in a user namespace of his: such a verb must be there, too."""
    from minirun.cli.stores import store_of
    from minirun.container.own_namespace import follow

    follow(store_of(call), call.words[0])


def handler(name: str) -> Callable[[Call], int]:
    """The verb's function; a verb's module is imported when it is called."""
    path = f"minirun.cli.oci_{MODULES[name]}"
    hot.board(path)
    __import__(path)  # importlib.import_module would import warnings first
    module = sys.modules[path]
    function: Callable[[Call], int] = getattr(module, name.replace("-", "_"))
    return function


MODULES = {
    "create": "run", "run": "run", "start": "start", "exec": "exec", "state": "state", "kill": "kill",
    "delete": "kill", "pause": "kill", "resume": "kill", "list": "list", "ps": "list", "update": "update",
    "events": "events", "spec": "spec", "features": "spec", "checkpoint": "spec", "restore": "spec",
}  # fmt: skip


GROUPS = ("container", "image", "network", "volume", "system")


def grouped(name: str, rest: list[str], glob: Values, env: dict[str, str], cwd: str, log: Log) -> int:
    """The verbs people use: they have time for their tables, but not for click."""
    if name == "container":
        hot.board("minirun.cli.groups")
    from minirun.cli.groups import run

    return run(name, rest, glob, env, cwd, log)


def open_log(glob: Values) -> Log:
    form = glob.text("log_format")
    if form not in ("text", "json"):
        raise usage(f"--log-format must be text or json, not {form!r}")
    level = glob.text("log_level")
    if level not in ("", "debug", "warning", "error"):
        raise usage(f"--log-level must be debug, warning or error, not {level!r}")
    file = glob.text("log")
    if file.startswith(("journald:", "syslog:")):
        raise usage(f"--log wants a file, not {file!r}", "without --log, messages go to standard error")
    return Log(file.removeprefix("file:"), form, debug=glob.on("debug") or level == "debug", quiet=level == "error")


def check_global(glob: Values) -> None:
    if glob.text("rootless") not in ("true", "false", "auto"):
        raise usage(f"--rootless must be true, false or auto, not {glob.text('rootless')!r}")
    if glob.text("isolation") not in ("", "container", "vm", "sandbox"):
        raise usage(f"--isolation must be container, vm or sandbox, not {glob.text('isolation')!r}")
    if glob.text("cgroup_manager") not in ("cgroupfs", "systemd", "disabled"):
        word = glob.text("cgroup_manager")
        raise usage(f"--cgroup-manager must be cgroupfs, systemd or disabled, not {word!r}")


def human(argv: list[str]) -> int:
    """Human verbs and every help text: click, which may take its time."""
    from minirun.cli.human import run

    return run(argv)


FEATURES = "+SYSTEMD +CAP +SECCOMP +EBPF"  # crun's line: scripts look there for what they may ask for


def show_version() -> int:
    from minirun import __version__
    from minirun.runtime.store import OCI_VERSION

    posix.write(1, f"minirun version {__version__}\nspec: {OCI_VERSION}\n{FEATURES}\n".encode())
    return 0
