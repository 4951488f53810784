"""list and ps."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.stores import store_of, write_out
from minirun.errors import MinirunError, printable
from minirun.runtime import inspect, isolation
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minirun.cli.main import Call

COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def form_of(call: Call, go: bool = False) -> str:
    """``go``: a Go template (cli/template.py), or ``table`` and one, will do."""
    form = call.values.text("format")
    if go and ("{{" in form or form.startswith("table ")):
        return form
    if go and form not in ("table", "json"):
        raise usage(f"--format must be table, json or a template, not {form!r}", "as '{{.ID}}' or 'table {{.ID}}'")
    if form not in ("table", "json"):
        raise usage(f"--format must be table or json, not {form!r}")
    return form


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Aligned, three blanks apart, as Go's tabwriter makes runc's."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "".join(line.rstrip() + "\n" for line in lines)


def list(call: Call) -> int:  # noqa: A001 (the verb's name)
    form = form_of(call)
    rows = inspect.list_containers(store_of(call))
    if call.values.on("quiet"):
        write_out("".join(f"{row['id']}\n" for row in rows))
    elif form == "json":
        write_out(encode(rows) + "\n" if rows else "null\n")
    else:
        cells = [[printable(str(row[name.lower()])) for name in COLUMNS] for row in rows]
        write_out(columns([[*COLUMNS], *cells]))
    return 0


def ps(call: Call) -> int:
    form = form_of(call)
    entry = store_of(call).open(call.words[0])
    state = entry.load()
    if form == "json":
        write_out(encode(isolation.processes(entry, state)) + "\n")
        return 0
    rows = isolation.process_rows(entry, state)
    write_out(columns(rows) if rows else ps_table(isolation.processes(entry, state), call.words[1:] or ["-ef"]))
    return 0


def ps_table(pids: Sequence[int], options: Sequence[str]) -> str:
    """ps(1)'s own lines for these processes, as runc shows them."""
    import subprocess

    try:
        done = subprocess.run(["ps", *options], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        rows = [["PID", "CMD"]] + [[str(pid), printable(inspect.command_line(pid))] for pid in pids]
        return columns(rows)
    except subprocess.CalledProcessError as error:
        raise MinirunError("ps failed", reason=error.stderr.strip()) from error
    lines = done.stdout.splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise MinirunError("cannot tell the processes apart", reason="ps with these options prints no PID column")
    at = titles.index("PID")
    wanted = {str(pid) for pid in pids}
    kept = [line for line in lines[1:] if len(line.split()) > at and line.split()[at] in wanted]
    return "\n".join([lines[0], *kept]) + "\n"
