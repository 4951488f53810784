"""Every help text, laid out by click from the tables ``options``, ``human_options`` and ``longer``.

A verb becomes a click command; an OCI verb's command can only be asked for its help (the lean parser runs it).
"""

from __future__ import annotations

from typing import Any

import click

from minirun.cli.human_options import ALL, HEADINGS, SHELLS
from minirun.cli.longer import LONGER, Longer
from minirun.cli.options import GLOBAL, HELP, Option, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.cli.groups import Group

WIDTH = 100
INTRO = (
    "Run OCI containers. The two commands to know: `minirun spec` writes a first config.json next to a rootfs "
    "directory, `sudo minirun run ID` runs it."
)


def metavar(option: Option) -> str:
    """The placeholder as shown: VALUE, or [=FORMAT] where it may be left out."""
    return f"[={option.value[1:]}]" if option.value.startswith("?") else option.value


def record(option: Option) -> tuple[str, str]:
    """An option's two columns in help."""
    names = f"-{option.short}, --{option.long}" if option.short else f"    --{option.long}"
    value = metavar(option)
    names += value if value.startswith("[=") else f" {value}" * bool(value)
    text = option.help
    if option.default and option.default not in ("0", "auto"):
        text += f" (default {option.default})"
    if option.many:
        text += "; may be repeated"
    if option.later:
        text += f" -- refused: {option.later}"
    return names, text


def usage_of(verb: Verb) -> list[str]:
    """The words behind ``minirun VERB``."""
    least = len(verb.arguments) if verb.at_least is None else verb.at_least
    words = [word if index < least else f"[{word}]" for index, word in enumerate(verb.arguments)]
    if verb.rest:
        command = "[COMMAND [ARG]...]" if "IMAGE" in verb.arguments else "COMMAND [ARG]..."  # an image may bring one
        words.append(command if verb.rest == "COMMAND" else f"[{verb.rest}]...")
    return ["[OPTION]..." if verb.options else "", *words]


def sentence(text: str) -> str:
    """A line of the table on its own."""
    return f"{text[:1].upper()}{text[1:]}."


def visible(options: tuple[Option, ...]) -> list[Option]:
    """Each once; what is refused comes last."""
    own = [option for option in options if option is not HELP]
    taken = any(option.short == HELP.short for option in own)  # docker's -h is --hostname
    return sorted(own, key=lambda option: bool(option.later)) + [
        Option(long=HELP.long, help=HELP.help) if taken else HELP
    ]


class VerbCommand(click.Command):
    """A verb of the table; ``table`` is its row."""

    def __init__(self, verb: Verb, callback: Callable[..., Any] | None = None, longer: Longer | None = None) -> None:
        self.table = verb
        self.longer = longer or LONGER[verb.name]
        super().__init__(verb.name, callback=callback, params=params(verb), help=verb.help, add_help_option=False)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [word for word in usage_of(self.table) if word]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longer = self.longer
        for paragraph in (sentence(self.table.help), *longer.text.split("\n\n")):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(paragraph)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Options"):
            formatter.write_dl([record(option) for option in visible(self.table.options)])
        examples = self.longer.examples
        if examples:
            with formatter.section("Examples"):
                for line in examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class GroupCommand(click.Group):
    """A group of verbs: its help lists them."""

    def __init__(self, group: Group) -> None:
        self.table = group
        super().__init__(group.name, help=group.help, add_help_option=False)
        for verb in group.verbs:
            self.add_command(VerbCommand(verb, longer=group.more[verb.name]))

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["VERB", "..."]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for paragraph in (sentence(self.table.help), *self.table.longer.text.split("\n\n")):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(paragraph)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.table.verbs:
            with formatter.section("Verbs"):
                formatter.write_dl([(f"{verb.name:12}", verb.help) for verb in self.table.verbs])


def params(verb: Verb) -> list[click.Parameter]:
    """click's parameters: enough for the human verbs, which click itself parses."""
    found: list[click.Parameter] = []
    for option in verb.options:
        names = [f"--{option.long}", *([f"-{option.short}"] if option.short else [])]
        found.append(
            click.Option(names, is_flag=not option.value, default=option.default or None, multiple=option.many)
        )
    for index, word in enumerate(verb.arguments):
        least = len(verb.arguments) if verb.at_least is None else verb.at_least
        kind = click.Choice(SHELLS) if word == "SHELL" else None
        found.append(click.Argument([word.lower()], required=index < least, type=kind, metavar=word))
    if verb.rest:
        more = "more" if verb.rest in verb.arguments else verb.rest.lower()  # IMAGE [IMAGE]...
        found.append(click.Argument([more], nargs=-1, metavar=verb.rest))
    short = [] if any(option.short == HELP.short for option in verb.options) else [f"-{HELP.short}"]
    found.append(click.Option(["--help", *short], is_flag=True, is_eager=True, expose_value=False, callback=show))
    return found


def show(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        click.echo(ctx.get_help())
        ctx.exit()


class Program(click.Group):
    """``minirun`` itself."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTION]...", "VERB", "..."]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(INTRO)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, names in HEADINGS:
            with formatter.section(heading):
                formatter.write_dl([(f"{name:10}", ALL[name].help) for name in names])
        with formatter.section("Options, before the verb"):
            formatter.write_dl([record(option) for option in visible(GLOBAL)])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text("`minirun help VERB` says more about a verb; `minirun doctor` says what this host can do.")


def context() -> dict[str, Any]:
    """click's settings: at most ``WIDTH`` columns, fewer on a narrow terminal."""
    import shutil

    return {"terminal_width": min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH), "max_content_width": WIDTH}
