"""The lean parser: GNU-style options from the table in ``options``, and Go's ``-long`` as runc takes it."""

from __future__ import annotations

from minirun.errors import USAGE, MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.options import Option, Verb


class Values(dict[str, "str | bool | list[str]"]):
    """Options by name; reading one that was not given yields its default."""

    def text(self, name: str) -> str:
        value = self.get(name, "")
        return value if isinstance(value, str) else ""

    def on(self, name: str) -> bool:
        return self.get(name, False) is True

    def listed(self, name: str) -> list[str]:
        value = self.get(name, [])
        return value if isinstance(value, list) else []

    def number(self, name: str) -> int:
        """A decimal, strictly."""
        word = self.text(name) or "0"
        if not (word.isascii() and word.isdigit()) or len(word) > 9:
            raise usage(f"--{name.replace('_', '-')} wants a number, not {word!r}")
        return int(word)


def usage(message: str, hint: str = "") -> MinirunError:
    return MinirunError(message, hint=hint, exit_code=USAGE)


def parse(
    argv: list[str], options: tuple[Option, ...], limit: int | None = None, *, go: bool = True
) -> tuple[Values, list[str]]:
    """Options and words of ``argv``; after ``limit`` words (or "--") everything is a word.

    ``go``: -long is --long, as runc takes it; docker's verbs have clusters of short options only (-ip is -i -p).
    """
    long = {option.long: option for option in options}
    short = {option.short: option for option in options if option.short}
    values = Values()
    for option in options:
        if option.default:
            values[option.name] = option.default
    words: list[str] = []
    index = 0
    while index < len(argv):
        word = argv[index]
        index += 1
        if word == "--":
            return values, words + argv[index:]
        if word == "-" or not word.startswith("-"):
            words.append(word)
            if limit is not None and len(words) >= limit:
                return values, words + argv[index:]
            continue
        body = word[2:] if word.startswith("--") else word[1:]
        name, equals, value = body.partition("=")
        found = long.get(name) if word.startswith("--") or (go and len(name) > 1) else short.get(name)
        if found is None and not word.startswith("--"):
            index = cluster(body, short, values, argv, index)
            continue
        if found is None:
            raise unknown(f"--{name}", long)
        index = store(found, values, equals, value, argv, index)
    return values, words


def store(option: Option, values: Values, equals: str, value: str, argv: list[str], index: int) -> int:
    """Enter one option; returns the index after its value."""
    if option.later:
        raise usage(f"--{option.long} is not supported", option.later)
    if not option.value:
        if equals and value not in ("true", "false"):
            raise usage(f"--{option.long} takes no value")
        values[option.name] = value != "false"
        return index
    if option.value.startswith("?"):
        values[option.name] = value if equals else "table"
        return index
    if not equals:
        if index >= len(argv):
            raise usage(f"--{option.long} wants a value: {option.value}")
        value = argv[index]
        index += 1
    if option.many:
        values.setdefault(option.name, [])
        values.listed(option.name).append(value)
    else:
        values[option.name] = value
    return index


def cluster(body: str, short: dict[str, Option], values: Values, argv: list[str], index: int) -> int:
    """-it, -ufoo: short options in one word."""
    while body:
        option = short.get(body[0])
        if option is None:
            raise usage(f"unknown option -{body[0]}")
        rest = body[1:]
        if option.value and not option.value.startswith("?"):
            return store(option, values, "=" if rest else "", rest.removeprefix("="), argv, index)
        index = store(option, values, "", "", argv, index)
        body = rest
    return index


def unknown(name: str, known: dict[str, Option]) -> MinirunError:
    from difflib import get_close_matches

    near = get_close_matches(name[2:], known, 1)
    return usage(f"unknown option {name}", f"did you mean --{near[0]}?" if near else "")


def arguments(verb: Verb, words: list[str], called: str = "") -> list[str]:
    """Check the number of words; ``called``: the verb with its group."""
    called = called or verb.name
    most = len(verb.arguments)
    least = most if verb.at_least is None else verb.at_least
    shown = " ".join(verb.arguments)
    if len(words) < least:
        raise usage(f"{called} wants {shown}", f"minirun {called} --help says more")
    if len(words) > most and not verb.rest:
        raise usage(f"{called}: too many words, from {words[most]!r} on", f"it wants {shown or 'none'}")
    return words
