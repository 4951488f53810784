"""Completion scripts for bash, zsh and fish, generated from the tables of verbs.

Each is one plain file: it knows verbs, options and their words by itself.  Names of containers, images, networks,
volumes it asks from ``minirun completion --words KIND`` (with the --root and --storage that stand on the line).
A test keeps what is shown here and the scripts in step.
"""

from __future__ import annotations

from minirun.cli import groups
from minirun.cli.human_options import ALL, EVERY, SHELLS
from minirun.cli.options import HELP, Option, Verb
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ("table", "json")
KINDS = ("container", "sandbox", "vm")
SIGNALS = ("TERM", "KILL", "HUP", "INT", "QUIT", "USR1", "USR2", "STOP", "CONT", "WINCH")
# What may follow an option or stand for an argument; everything else is not completed.
WORDS = {
    "FORMAT": FORMATS, "?FORMAT": FORMATS, "true|false|auto": ("true", "false", "auto"), "SHELL": SHELLS,
    "SIGNAL": SIGNALS, "VERB": tuple(ALL), "LEVEL": ("debug", "warning", "error"),
    "DRIVER": ("cgroupfs", "systemd", "disabled"), "KIND": KINDS, "NAMES": KINDS,
    "WHAT": ("run", "ls", "console", "stop", "ladder"),
    "RUNG": ("hlt", "out", "protected", "paging", "long", "user", "interrupts", "doorbell", "smp"),
}  # fmt: skip
# Options whose words their placeholder does not tell.
OPTION_WORDS = {
    "log-format": ("text", "json"), "pull": ("always", "missing", "never"),
    "log-driver": ("json-file", "none", "passthrough"),
    "restart": ("no", "on-failure", "always", "unless-stopped"), "stop-signal": SIGNALS,
    "with": ("python", "nss", "certificates", "locale", "timezone", "terminfo", "perl", "shell"),
}  # fmt: skip
OPTION_ASKS = {"network": "networks", "net": "networks", "volumes-from": "containers"}
PATHS = ("FILE", "FILE|-", "PATH")
# What is asked while one types: the argument's placeholder, and where the verb wants only some of them.
ASKS = {
    "ID": "ids", "CONTAINER": "containers", "IMAGE": "images", "NETWORK": "networks", "VOLUME": "volumes",
    "RECIPE": "recipes", "[NAME]": "images",
}  # fmt: skip
VERB_ASKS = {
    **{f"container {verb}": "running" for verb in
       ("stop", "kill", "exec", "attach", "top", "stats", "pause", "unpause", "wait", "port")},
    "container start": "stopped", "image pull": "images", "image push": "images",
}  # fmt: skip


class Source(Record):
    """Where words come from: ``words`` are known, ``asks`` is a kind of completion_words; or files, or folders."""

    words: tuple[str, ...] = ()
    asks: str = ""
    files: bool = False
    folders: bool = False


def script(shell: str) -> str:
    from minirun.cli import completion_bash, completion_fish, completion_zsh

    makers: dict[str, Callable[[], str]] = {
        "bash": completion_bash.script, "zsh": completion_zsh.script, "fish": completion_fish.script,
    }  # fmt: skip
    return makers[shell]()


def commands() -> dict[str, Verb]:
    """By what is typed: ``run``, ``container``, ``container run``."""
    return EVERY


def is_group(name: str) -> bool:
    return name in groups.NAMES


def verbs_of(group: str) -> dict[str, Verb]:
    return {verb.name: verb for verb in groups.group_of(group).verbs}


def offered(verb: Verb) -> list[Option]:
    """What is refused is not offered."""
    return [option for option in (*verb.options, HELP) if not option.later]


def spellings(option: Option) -> list[str]:
    return [f"--{option.long}", *([f"-{option.short}"] if option.short else [])]


def takes_word(option: Option) -> bool:
    """Its value is a word of its own."""
    return bool(option.value) and not option.value.startswith("?")


def of_option(option: Option) -> Source:
    if option.long in OPTION_ASKS:
        return Source(asks=OPTION_ASKS[option.long])
    if option.long in OPTION_WORDS:
        return Source(words=OPTION_WORDS[option.long])
    if words := WORDS.get(option.value, ()):
        return Source(words=words)
    return Source(folders=option.value == "DIR", files=option.value in PATHS)


def of_argument(name: str, placeholder: str) -> Source:
    """What stands for ``placeholder`` behind the verb ``name``."""
    if name in groups.NAMES:
        return Source(words=tuple(verbs_of(name)))
    if name in ("help", "man") and placeholder == "WORD":
        return Source(words=tuple(sorted({verb for group in groups.NAMES for verb in verbs_of(group)})))
    asks = ASKS.get(placeholder, "")
    if name in VERB_ASKS and placeholder in ("CONTAINER", "NAME"):
        asks = VERB_ASKS[name]
    if asks:
        return Source(asks=asks)
    if words := WORDS.get(placeholder, ()):
        return Source(words=words)
    return Source(files=placeholder in PATHS, folders=placeholder in ("BUNDLE", "DIR"))


def of_rest(name: str, verb: Verb) -> Source:
    """The words behind a verb's arguments; nothing is known of a COMMAND but that it may name files."""
    if not verb.rest or is_group(name):
        return Source()
    found = of_argument(name, verb.rest)
    return found if found != Source() else Source(files=True)
