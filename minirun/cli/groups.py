"""Verbs in groups: ``minirun container run``, ``minirun image pull`` and so on, declared as the OCI verbs are.

A group is a table in a module of its own (``container_options`` ...), read when the group is called; its verbs are
functions in the modules that ``places`` names, imported when the verb is.  The lean parser parses them: options may
stand among the words, but behind the last argument of a verb whose ``rest`` is COMMAND everything is the command's.
"""

from __future__ import annotations

import posix
import sys

from minirun import hot
from minirun.cli.longer import Longer
from minirun.cli.options import HELP, Verb
from minirun.cli.parse import arguments, parse, usage
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cli.log import Log
    from minirun.cli.main import Call
    from minirun.cli.parse import Values


class Group(Record):
    """``places``: verb -> the module with its function; ``longer``: verb -> its words in help and manual page."""

    name: str
    help: str
    longer: Longer
    verbs: tuple[Verb, ...]
    places: dict[str, str]
    more: dict[str, Longer]

    def verb(self, name: str) -> Verb | None:
        return next((verb for verb in self.verbs if verb.name == name), None)


NAMES = ("container", "image", "network", "volume", "system")
MODULES = {name: f"minirun.cli.{name}_options" for name in NAMES}
KEYWORDS = ("import",)  # a verb that Python would not have as a function's name gets a _


# What docker and podman call these, too: understood, not listed.
OTHERS = {"ls": "ps", "list": "ls", "remove": "rm"}


def group_of(name: str) -> Group:
    __import__(MODULES[name])
    found: Group = sys.modules[MODULES[name]].GROUP
    return found


def run(name: str, rest: list[str], glob: Values, env: dict[str, str], cwd: str, log: Log) -> int:
    """The exit code of ``minirun NAME REST...``."""
    group = group_of(name)
    typed = word = next((word for word in rest if not word.startswith("-")), "")
    if not word or rest[0] in ("-h", "--help", "help"):
        return show(name, word if rest[:1] != ["help"] else (rest[1:] or [""])[0])
    while group.verb(word) is None and word in OTHERS:  # list is ls, and ls of containers is ps
        word = OTHERS[word]
    verb = group.verb(word)
    if verb is None or rest[0] != typed:
        raise unknown(group, rest[0])
    values, words = parse(
        rest[1:], (HELP, *verb.options), limit=len(verb.arguments) if verb.rest == "COMMAND" else None, go=False
    )
    if values.on("help"):
        return show(name, word)
    from minirun.cli.main import Call

    call = Call(glob=glob, values=values, words=arguments(verb, words, f"{name} {word}"), env=env, cwd=cwd, log=log)
    if posix.geteuid() != 0 and f"{name} {word}" not in AS_HIMSELF:
        return as_root(call, group, verb)
    return function(group, verb)(call)


FILLING = ("container run", "container create", "image pull", "image load", "image import")
# Blobs are written by whoever it is, and mmdebstrap makes a user namespace of its own.
AS_HIMSELF = ("image build-rootfs",)


def as_root(call: Call, group: Group, verb: Verb) -> int:
    """An ordinary user's: as root of a user namespace of his (docs/rootless.md)."""
    from minirun.cli.stores import store_of
    from minirun.container import holders, own_namespace

    store = store_of(call)
    concerned = f"{group.name} {verb.name}" in FILLING  # where it matters who exists inside
    own_namespace.enter(store, call.cwd, call.log.warn if concerned else call.log.debug)
    try:
        return function(group, verb)(call)
    finally:
        holders.leave(store.root)


def function(group: Group, verb: Verb) -> Callable[[Call], int]:
    hot.board(group.places[verb.name])
    __import__(group.places[verb.name])
    name = verb.name.replace("-", "_")
    found: Callable[[Call], int] = getattr(
        sys.modules[group.places[verb.name]], f"{name}_" if name in KEYWORDS else name
    )
    return found


def unknown(group: Group, word: str) -> Exception:
    from difflib import get_close_matches

    near = get_close_matches(word, [verb.name for verb in group.verbs], 1)
    hint = f"did you mean {near[0]}?" if near else f"minirun {group.name} --help lists them"
    return usage(f"unknown command {word!r} after {group.name}", hint)


def show(group: str, word: str) -> int:
    """Help, by click."""
    from minirun.cli.human import help_for

    known = group_of(group).verb(word)
    return help_for(f"{group} {word}" if known else group)


def every_verb() -> dict[str, Verb]:
    """container run -> its row, for help, manual pages and completions."""
    return {f"{name} {verb.name}": verb for name in NAMES for verb in group_of(name).verbs}


def every_word() -> dict[str, Longer]:
    """The same names, and the groups' own -> what is said at length."""
    groups = [group_of(name) for name in NAMES]
    return {
        **{group.name: group.longer for group in groups},
        **{f"{group.name} {verb}": words for group in groups for verb, words in group.more.items()},
    }
