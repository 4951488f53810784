"""The human verbs, and help for all: click, imported here and in ``help`` only.

No OCI verb comes this way (``main`` sends only what it does not know, and requests for help), so this may take its
time.  click parses and lays out; a wrong command line leaves as a MinirunError with exit code 2, as everywhere.
"""

from __future__ import annotations

import os
from difflib import get_close_matches

import click

from minirun.cli import elsewhere, groups
from minirun.cli.help import GroupCommand, Program, VerbCommand, context
from minirun.cli.human_options import ALL, EVERY, HUMAN
from minirun.cli.options import GLOBAL
from minirun.cli.parse import parse, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cli.parse import Values


def run(argv: list[str]) -> int:
    """The exit code of a human verb, or of a help text."""
    glob, words = parse(argv, GLOBAL, limit=1)
    if words and words[0] not in ALL:
        raise unknown(words[0])
    if glob.on("help") or not words:
        words = [*words[:1], "--help"]
    try:
        result = program().main(words, prog_name="minirun", standalone_mode=False, obj=glob, **context())
    except click.UsageError as error:
        verb = error.ctx.command.name if error.ctx and error.ctx.command.name != "minirun" else ""
        raise usage(phrase(error), f"minirun {verb} --help says more" if verb else "") from error
    except click.ClickException as error:
        raise usage(phrase(error)) from error
    return result if isinstance(result, int) else 0


def phrase(error: click.ClickException) -> str:
    """click's sentence in our manner."""
    text = error.format_message().rstrip(".").replace("\n", " ")
    return text[:1].lower() + text[1:]


def unknown(word: str) -> Exception:
    near = get_close_matches(word, ALL, 1)
    if elsewhere.hint(word):
        return usage(f"unknown command {word!r}", elsewhere.hint(word))
    return usage(f"unknown command {word!r}", f"did you mean {near[0]}?" if near else "minirun --help lists them")


def program() -> click.Group:
    """The whole command line; only the human verbs have something behind them."""
    group = Program("minirun", params=VerbCommand(ALL["features"]).params)
    behind: dict[str, Callable[..., int]] = {"doctor": doctor, "completion": completion, "man": man, "help": help_for,
              "stats": stats, "compare": compare, "vm": vm}  # fmt: skip
    own = {verb.name for verb in HUMAN}
    for verb in ALL.values():
        if verb.name in groups.NAMES:
            continue
        group.add_command(VerbCommand(verb, behind[verb.name] if verb.name in own else None))
    return group


@click.pass_obj
def doctor(glob: Values, format: str, json: bool) -> int:  # noqa: A002 (the option's name)
    from minirun.cli.doctor import run as examine
    from minirun.cli.stores import absolute

    if format not in ("table", "json"):
        raise usage(f"--format must be table or json, not {format!r}")
    storage = glob.text("storage") or os.environ.get("MINIRUN_STORAGE", "")
    return examine("json" if json else format, absolute(storage, os.getcwd()) if storage else "")


@click.pass_obj
def stats(glob: Values, no_stream: bool, interval: str, format: str, id: tuple[str, ...]) -> int:  # noqa: A002
    from minirun.cli.oci_events import seconds
    from minirun.cli.stats import Wanted, run as look
    from minirun.cli.stores import absolute
    from minirun.runtime.root import default_root
    from minirun.runtime.store import Store

    if format not in ("table", "json"):
        raise usage(f"--format must be table or json, not {format!r}")
    wanted = Wanted(ids=tuple(dict.fromkeys(id)), interval=seconds(interval), once=no_stream, form=format)
    root = glob.text("root") or default_root(dict(os.environ), os.geteuid())
    return look(Store(absolute(root, os.getcwd())), wanted)


def compare(
    bundle: str, program: tuple[str, ...], runs: str, isolation: str | None, json: bool, html: str | None
) -> int:
    import sys
    from pathlib import Path

    from minirun.lab.compare import Wanted, run as measure

    if not runs.isdigit() or not 1 <= int(runs) <= 1000:
        raise usage(f"--runs must be a number from 1 to 1000, not {runs!r}")
    wanted = Wanted(
        program=os.path.abspath(sys.argv[0]), bundle=Path(bundle), command=program, runs=int(runs),
        isolations=tuple(isolation.split(",")) if isolation else (),
        say=lambda text: click.echo(f"minirun: {text}", err=True),
    )  # fmt: skip
    return measure(wanted, as_json=json, html=html or "")


@click.pass_obj
def vm(glob: Values, /, what: str, word: tuple[str, ...], **options: object) -> int:
    from minirun.cli.vm import run as verb

    if options["format"] not in ("table", "json"):
        raise usage(f"--format must be table or json, not {options['format']!r}")
    return verb(glob, what, word, options)


def completion(shell: str) -> int:
    from minirun.cli.completion import script

    click.echo(script(shell), nl=False)
    return 0


def man(verb: str | None, word: str | None, write: str | None) -> int:
    from minirun.cli import manpages

    verb = known(verb, word)
    if write:
        manpages.write(write)
    else:
        click.echo(manpages.page(verb), nl=False)
    return 0


def known(verb: str | None, word: str | None) -> str:
    """``container run``, as two words or one; "" for none."""
    if verb in groups.NAMES and word is not None and f"{verb} {word}" not in EVERY:
        raise groups.unknown(groups.group_of(verb), word)
    verb = " ".join(filter(None, (verb, word)))
    if verb and verb not in EVERY:
        raise unknown(verb)
    return verb


def help_for(verb: str | None, word: str | None = None) -> int:
    """Of a verb, or of a group's name and one of its verbs."""
    name, _, word = known(verb, word).partition(" ")
    if name not in groups.NAMES:
        return run([name, "--help"] if name else ["--help"])
    command: click.Command = GroupCommand(groups.group_of(name))
    shown = click.Context(command, info_name=f"minirun {name}", **context())
    if word:
        assert isinstance(command, GroupCommand)
        command = command.commands[word]
        shown = click.Context(command, info_name=word, parent=shown, **context())
    click.echo(command.get_help(shown))
    return 0
