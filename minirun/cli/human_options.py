"""The human verbs, declared as the OCI ones are in ``options``; and which verb stands under which heading in help.

Kept apart from ``options`` because that table is read at every cold start, and these verbs never are.
"""

from __future__ import annotations

from minirun.cli import groups
from minirun.cli.options import Option, Verb, all_verbs

SHELLS = ("bash", "zsh", "fish")

HUMAN = (
    Verb(
        name="stats", help="show what containers use of their limits, live", arguments=(), rest="ID",
        options=(
            Option(long="no-stream", help="once, then end (as wherever the output is no terminal)"),
            Option(long="interval", value="DURATION", default="1s", help="time between two pictures, as 500ms or 5s"),
            Option(long="format", short="f", value="FORMAT", default="table", help="table or json"),
        ),
    ),
    Verb(
        name="compare", help="run a bundle under every isolation and show the difference", arguments=("BUNDLE",),
        rest="PROGRAM",
        options=(
            Option(long="runs", value="N", default="5", help="how often each (one more, to warm up, is not counted)"),
            Option(long="isolation", value="NAMES", help="only these, separated by commas: container,sandbox,vm"),
            Option(long="json", help="print everything, raw samples too, as JSON"),
            Option(long="html", value="FILE", help="write a page with charts into this file, too"),
        ),
    ),
    Verb(
        name="vm", help="micro-VMs for people: run, ls, console, stop; ladder", arguments=("WHAT",), rest="WORD",
        options=(
            Option(long="kernel", value="FILE", help="run: this kernel; without a bundle it is all that runs"),
            Option(long="initrd", value="FILE", help="run: this initramfs in place of minirun's own"),
            Option(long="append", value="WORDS", help="run: more words for the kernel's command line"),
            Option(long="memory", short="m", value="SIZE", help="run: the machine's memory, as 512m"),
            Option(long="vcpus", value="N", help="run: its CPUs"),
            Option(long="disk", value="FILE[,ro]", many=True, help="run: a disk, /dev/vda and on"),
            Option(long="net", value="TAP[,...]", many=True, help="run: an interface, with mac=, address=, gateway="),
            Option(long="console", value="FILE", help="run: a file that takes what the guest's kernel says"),
            Option(long="name", value="ID", help="run: the container's id (default: made from the bundle's name)"),
            Option(long="detach", short="d", help="run: do not wait"),
            Option(long="explain", value="RUNG", help="print this rung's source, and run nothing"),
            Option(long="format", short="f", value="FORMAT", default="table", help="table or json"),
        ),
    ),
    Verb(
        name="doctor", help="look at this host: what is there, what is missing, how to get it", arguments=(),
        options=(
            Option(long="format", short="f", value="FORMAT", default="table", help="table or json"),
            Option(long="json", help="the same as --format json"),
        ),
    ),
    Verb(name="completion", help="print the completion script for bash, zsh or fish", arguments=("SHELL",)),
    Verb(
        name="man", help="print a manual page in roff", arguments=("VERB", "WORD"), at_least=0,
        options=(Option(long="write", value="DIR", help="write all pages into this directory instead"),),
    ),
    Verb(name="help", help="say more about a verb", arguments=("VERB", "WORD"), at_least=0),
)  # fmt: skip

GROUPS = tuple(
    Verb(name=name, help=groups.group_of(name).help, arguments=("VERB",), rest="WORD") for name in groups.NAMES
)
ALL = {**all_verbs(), **{verb.name: verb for verb in (*GROUPS, *HUMAN)}}
EVERY = {**ALL, **groups.every_verb()}

HEADINGS = (
    ("Life of a container", ("create", "start", "run", "exec", "kill", "delete")),
    ("While it lives", ("state", "list", "ps", "pause", "resume", "update", "events", "stats")),
    ("Containers from images", groups.NAMES),
    ("Around it", ("spec", "features", "compare", "vm", "doctor", "completion", "man", "help")),
    ("Refused by name, not there yet", ("checkpoint", "restore")),
)
