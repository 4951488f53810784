"""``--format '{{...}}'``: the part of Go's text/template that people type at docker and podman.

Fields (``.State.Pid``), ``range if with else end``, variables, pipes, parentheses, and a dozen functions.  What is no
word is printed as JSON, where Go would print ``map[a:b]``.  A name that is nowhere is an error with those that are.
"""

from __future__ import annotations

import re

from minirun.cli.oci_list import columns
from minirun.cli.parse import usage
from minirun.cli.template_words import FUNCTIONS, Made, field, text, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from minirun.errors import MinirunError

    Node = tuple[Any, ...]
    Scope = dict[str, Any]

ACTION = re.compile(r"\{\{(- )?\s*(.*?)\s*( -)?\}\}", re.DOTALL)
TOKEN = re.compile(
    r"""\s*(?: (?P<string> "(?:[^"\\]|\\.)*" | `[^`]*` ) | (?P<number> -?\d+(?:\.\d+)?)
    | (?P<field> \$?\w* (?:\.\w+)+ | \$\w* | \. ) | (?P<name> \w+ ) | (?P<sign> :?= | [|(),] ) )""",
    re.VERBOSE,
)
ESCAPES = (("\\t", "\t"), ("\\n", "\n"))  # as docker has it: a shell's '...' has no tab


def lines(form: str, rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """A line for each; ``table TEMPLATE`` has a heading and columns at its tabs.  ``titles``: what no rule tells."""
    table = form.startswith("table ")
    made = Template(form.removeprefix("table "))
    found = [made.render(row) for row in rows]
    if not table:
        return "".join(f"{line}\n" for line in found)
    cells = [line.split("\t") for line in [made.render(Titles(titles)), *found]]
    width = max(len(row) for row in cells)
    return columns([[*row, *[""] * (width - len(row))] for row in cells])


class Titles(dict[str, str]):
    """A heading for every name there is: CreatedAt is CREATED AT, unless it is known better."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).upper()


class Template:
    """A template, read once."""

    def __init__(self, source: str) -> None:
        for escape, meant in ESCAPES:
            source = source.replace(escape, meant)
        self.source = source
        self.pieces = pieces(source)
        self.body, end = self.block(())
        if end:
            raise self.wrong(f"{{{{{end}}}}} without a beginning")

    def wrong(self, why: str) -> MinirunError:
        return usage(f"--format {self.source!r} is no template: {why}", "as '{{.State.Status}}' or '{{json .Mounts}}'")

    def render(self, value: Any) -> str:
        out: list[str] = []
        self.walk(self.body, value, {"$": value}, out)
        return "".join(out)

    # -- reading

    def block(self, ends: Sequence[str]) -> tuple[list[Node], str]:
        """What stands before one of ``ends``, and that."""
        body: list[Node] = []
        while self.pieces:
            kind, content = self.pieces.pop(0)
            if kind == "text":
                body.append(("text", content))
                continue
            word, _, rest = content.partition(" ")
            if word in ("end", "else"):
                if word not in ends:
                    raise self.wrong(f"{{{{{word}}}}} without a beginning")
                return body, content
            if word in ("range", "if", "with"):
                body.append(self.control(word, rest))
            elif not content.startswith("/*"):
                body.append(("print", *self.assigned(content)))
        if ends:
            raise self.wrong("an {{end}} is missing")
        return body, ""

    def control(self, word: str, condition: str) -> Node:
        names, pipeline = self.assigned(condition)
        body, end = self.block(("end", "else"))
        other: list[Node] = []
        if end.startswith("else "):
            again, _, rest = end.removeprefix("else").strip().partition(" ")
            if again not in ("if", "with"):
                raise self.wrong(f"{{{{{end}}}}}")
            other = [self.control(again, rest)]
        elif end == "else":
            other, _ = self.block(("end",))
        return (word, names, pipeline, body, other)

    def assigned(self, content: str) -> tuple[list[str], list[Any]]:
        """``$i, $v := PIPELINE`` -> the names, the pipeline."""
        tokens = self.tokens(content)
        signs = [index for index, (kind, word) in enumerate(tokens) if kind == "sign" and word in (":=", "=")]
        if not signs:
            return [], self.pipeline(tokens)
        names = [word for kind, word in tokens[: signs[0]] if kind == "field"]
        return names, self.pipeline(tokens[signs[0] + 1 :])

    def tokens(self, content: str) -> list[tuple[str, str]]:
        found, at = [], 0
        while content[at:].strip():
            match = TOKEN.match(content, at)
            if match is None:
                raise self.wrong(f"cannot read {content[at:].strip()!r}")
            found.append((str(match.lastgroup), match.group(match.lastgroup or 0)))
            at = match.end()
        if not found:
            raise self.wrong("an empty {{}}")
        return found

    def pipeline(self, tokens: list[tuple[str, str]]) -> list[Any]:
        """Commands, each a list of operands; parentheses are pipelines of their own."""
        commands, _ = self.commands(list(tokens), inside=False)
        return commands

    def commands(self, tokens: list[tuple[str, str]], inside: bool) -> tuple[list[Any], str]:
        found: list[list[Any]] = [[]]
        while tokens:
            kind, word = tokens.pop(0)
            if kind != "sign":
                found[-1].append((kind, word))
            elif word == "|":
                found.append([])
            elif word == "(":
                inner, path = self.commands(tokens, inside=True)
                found[-1].append(("inner", inner, path))
            elif word == ")" and inside:
                path = tokens.pop(0)[1] if tokens and tokens[0][0] == "field" and tokens[0][1][:1] == "." else ""
                return self.whole(found), path
            else:
                raise self.wrong(f"a stray {word!r}")
        if inside:
            raise self.wrong("a ) is missing")
        return self.whole(found), ""

    def whole(self, commands: list[list[Any]]) -> list[Any]:
        if not all(commands):
            raise self.wrong("nothing beside a |")
        for (kind, word, *_), *_rest in commands:
            if kind == "name" and word not in FUNCTIONS and word not in ("true", "false", "nil"):
                raise self.wrong(f"there is no function {word}; there are {', '.join(FUNCTIONS)}")
        return commands

    # -- writing

    def walk(self, body: list[Node], dot: Any, scope: Scope, out: list[str]) -> None:
        for node in body:
            if node[0] == "text":
                out.append(node[1])
            elif node[0] == "print":
                value = self.value(node[2], dot, scope)
                if node[1]:
                    scope[node[1][0]] = value
                else:
                    out.append(text(value))
            elif node[0] == "range":
                self.each(node, dot, scope, out)
            else:
                self.choose(node, dot, scope, out)

    def each(self, node: Node, dot: Any, scope: Scope, out: list[str]) -> None:
        _, names, pipeline, body, other = node
        value = self.value(pipeline, dot, scope)
        pairs = sorted(value.items()) if isinstance(value, dict) else list(enumerate(value or ()))
        for pair in pairs:
            named = dict(zip(names, pair if len(names) > 1 else pair[1:], strict=False))
            self.walk(body, pair[1], {**scope, **named}, out)
        if not pairs:
            self.walk(other, dot, scope, out)

    def choose(self, node: Node, dot: Any, scope: Scope, out: list[str]) -> None:
        word, names, pipeline, body, other = node
        plain = len(pipeline) == len(pipeline[0]) == 1 and pipeline[0][0][0] == "field"
        value = self.operand(pipeline[0][0], dot, scope, asked=True) if plain else self.value(pipeline, dot, scope)
        inner = {**scope, **dict.fromkeys(names[:1], value)}
        if truth(value):
            self.walk(body, value if word == "with" else dot, inner, out)
        else:
            self.walk(other, dot, scope, out)

    def value(self, pipeline: list[Any], dot: Any, scope: Scope) -> Any:
        piped: list[Any] = []
        for first, *rest in pipeline:
            if first[0] == "name" and first[1] in FUNCTIONS:
                given = [self.operand(one, dot, scope) for one in rest] + piped
                try:
                    piped = [FUNCTIONS[first[1]](*given)]
                except (TypeError, ValueError, IndexError, AttributeError) as error:
                    raise self.wrong(f"{first[1]} does not take that") from error
            elif rest or piped:
                raise self.wrong(f"{first[1]} is no function")
            else:
                piped = [self.operand(first, dot, scope)]
        return piped[0]

    def operand(self, token: Any, dot: Any, scope: Scope, asked: bool = False) -> Any:
        """``asked``: whether it is there is the question."""
        kind, word = token[:2]
        if kind == "inner":
            return field(self.value(word, dot, scope), token[2])
        if kind == "string":
            return Made(word[1:-1].replace('\\"', '"') if word[0] == '"' else word[1:-1])
        if kind == "number":
            return float(word) if "." in word else int(word)
        if kind == "name":
            return {"true": True, "false": False, "nil": None}.get(word)
        variable, point, path = word.partition(".")
        if variable and variable not in scope:
            raise self.wrong(f"there is no variable {variable}")
        return field(scope[variable] if variable else dot, point + path, asked)


def pieces(source: str) -> list[tuple[str, str]]:
    """Text and actions in turns; ``{{-`` and ``-}}`` take the blanks beside them."""
    found, at, trim = [], 0, False
    for match in ACTION.finditer(source):
        between = source[at : match.start()]
        between = between.lstrip() if trim else between
        found.append(("text", between.rstrip() if match.group(1) else between))
        found.append(("action", match.group(2)))
        at, trim = match.end(), bool(match.group(3))
    rest = source[at:]
    if "{{" in rest:
        raise usage(f"--format {source!r} is no template: a }}}} is missing")
    return [*found, ("text", rest.lstrip() if trim else rest)]
