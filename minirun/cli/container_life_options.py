"""The options of the verbs that a container meets in its life: start, stop, exec, logs, ps and so on."""

from __future__ import annotations

from minirun.cli.longer import Longer
from minirun.cli.options import Option, Verb

DETACH_KEYS = Option(
    long="detach-keys", value="KEYS", default="ctrl-p,ctrl-q", help="what leaves the container running (ctrl-p,ctrl-q)"
)
SIG_PROXY = Option(long="sig-proxy", help="pass signals on to the program (default; --sig-proxy=false does not)")
PATIENCE = Option(long="timeout", short="t", value="SECONDS", help="how long to wait before it is killed; -1: for ever")
TIME = Option(long="time", value="SECONDS", help="the same")
SIGNAL = Option(long="signal", short="s", value="SIGNAL", help="this signal, as TERM or 15")
FILTER = Option(
    long="filter", short="f", value="KEY=VALUE", many=True,
    help="only containers that fit: id, name, status, exited, label, ancestor, network, volume, before, since",
)  # fmt: skip
NO_TRUNC = Option(long="no-trunc", help="whole ids and commands")

VERBS = (
    Verb(
        name="start", help="start containers that were created, or that have ended", arguments=("CONTAINER",),
        rest="CONTAINER", at_least=0,
        options=(
            Option(long="attach", short="a", help="stay with its output, and pass signals on"),
            Option(long="interactive", short="i", help="pass standard input on, too"), DETACH_KEYS,
            Option(long="all-restartable", help="every one whose restart policy is always, or unless-stopped and it was"
                   " not stopped: for after a reboot"),
        ),
    ),
    Verb(
        name="stop", help="ask containers to end, and kill those that do not", arguments=("CONTAINER",),
        rest="CONTAINER", options=(PATIENCE, TIME, SIGNAL),
    ),
    Verb(name="kill", help="send a signal, KILL if none is named", arguments=("CONTAINER",), rest="CONTAINER",
         options=(SIGNAL,)),
    Verb(name="restart", help="stop and start", arguments=("CONTAINER",), rest="CONTAINER",
         options=(PATIENCE, TIME, SIGNAL)),
    Verb(
        name="rm", help="remove containers", arguments=("CONTAINER",), rest="CONTAINER",
        options=(Option(long="force", short="f", help="end those that run; content where there is none"),
                 Option(long="volumes", short="v", help="and their anonymous volumes")),
    ),
    Verb(name="pause", help="freeze containers", arguments=("CONTAINER",), rest="CONTAINER"),
    Verb(name="unpause", help="let paused containers go on", arguments=("CONTAINER",), rest="CONTAINER"),
    Verb(name="wait", help="wait until containers have ended; print their exit codes", arguments=("CONTAINER",),
         rest="CONTAINER"),
    Verb(
        name="exec", help="run one more program in a running container", arguments=("CONTAINER",), rest="COMMAND",
        options=(
            Option(long="detach", short="d", help="do not wait for it"),
            Option(long="env", short="e", value="NAME[=VALUE]", many=True, help="set in its environment"),
            Option(long="env-file", value="FILE", many=True, help="lines of NAME=VALUE for its environment"),
            Option(long="interactive", short="i", help="pass standard input on"),
            Option(long="tty", short="t", help="with a terminal"),
            Option(long="user", short="u", value="NAME|UID[:GROUP|GID]", help="as this user"),
            Option(long="workdir", short="w", value="DIR", help="working directory"),
            Option(long="privileged", help="with every capability"),
        ),
    ),
    Verb(
        name="attach", help="join a running container's input and output", arguments=("CONTAINER",),
        options=(Option(long="no-stdin", help="output only"), SIG_PROXY, DETACH_KEYS),
    ),
    Verb(
        name="logs", help="print what a container has written", arguments=("CONTAINER",),
        options=(
            Option(long="follow", short="f", help="go on until it ends"),
            Option(long="since", value="TIME", help="from then on: a date and time, seconds since 1970, or 10m ago"),
            Option(long="until", value="TIME", help="up to then"),
            Option(long="tail", short="n", value="LINES", default="all", help="the last lines only"),
            Option(long="timestamps", short="t", help="with the time of each line"),
        ),
    ),
    Verb(
        name="ps", help="list containers", arguments=(),
        options=(
            Option(long="all", short="a", help="those that do not run, too"),
            Option(long="quiet", short="q", help="ids only"),
            Option(long="last", short="n", value="N", help="the N created last, whatever they do"),
            Option(long="latest", short="l", help="the one created last"), FILTER,
            Option(long="format", value="FORMAT", default="table",
                   help="table, json, or as '{{.ID}}' or 'table {{.Names}}\\t{{.Status}}'"),
            NO_TRUNC,
            Option(long="size", short="s", help="how much each has written"),
        ),
    ),
    Verb(name="top", help="the processes of a container, by ps(1)", arguments=("CONTAINER",), rest="COMMAND"),
    Verb(
        name="stats", help="what containers use, and what holds them back", arguments=("CONTAINER",), at_least=0,
        rest="CONTAINER",
        options=(
            Option(long="no-stream", help="once, not again and again"),
            Option(long="format", value="FORMAT", default="table", help="table or json"),
            Option(long="interval", value="SECONDS", default="1", help="between two looks"),
        ),
    ),
    Verb(
        name="prune", help="remove all containers that do not run", arguments=(),
        options=(Option(long="force", short="f", help="do not ask"),
                 Option(long="filter", value="KEY=VALUE", many=True, help="only those that fit: label, until")),
    ),
)  # fmt: skip

PLACES = {
    **dict.fromkeys(("start", "stop", "kill", "restart", "rm", "pause", "unpause", "wait", "prune"),
                    "minirun.cli.container_life"),
    **dict.fromkeys(("exec", "attach", "logs"), "minirun.cli.container_streams"),
    **dict.fromkeys(("ps", "top", "stats"), "minirun.cli.container_ps"),
}  # fmt: skip

MORE = {
    "start": Longer(
        text="Returns once the program runs. With --attach it stays, passes signals on and returns the program's exit "
        "code. --all-restartable is meant for a service at boot: nothing of minirun's runs by itself then.",
        examples=("minirun container start web", "minirun container start -ai shell"),
    ),
    "stop": Longer(
        text="The signal is the one of create --stop-signal, of the image, or TERM; the patience that of create "
        "--stop-timeout, or 10 seconds. A container that was stopped is not restarted by its policy.",
        examples=("minirun container stop -t 2 web",),
    ),
    "exec": Longer(
        text="Options go before the container. 126 means that the program cannot be executed, 127 that there is none.",
        examples=("minirun container exec -it web sh", "minirun container exec -u nobody -e A=1 web env"),
    ),
    "attach": Longer(
        text="The exit code is the program's; 0 after the detach keys, which leave it running (with a terminal only).",
        examples=("minirun container attach web",),
    ),
    "logs": Longer(
        text="Works for containers that have ended, too. Output of a terminal is standard output altogether.",
        examples=("minirun container logs -f --tail 20 web",),
    ),
    "ps": Longer(
        text="A container whose monitor was killed is put right before it is shown. --format takes what `container "
        "inspect --format` does; the names are those of --format json.",
        examples=("minirun container ps -a --filter status=exited",
                  "minirun container ps --format 'table {{.Names}}\\t{{.Ports}}'"),
    ),
    "kill": Longer(
        text="KILL and TERM count as a stop: no restart policy brings the container back.",
        examples=("minirun container kill -s HUP web",),
    ),
    "restart": Longer(text="Stops as `container stop` does, then starts.", examples=("minirun container restart web",)),
    "rm": Longer(
        text="What the container has written is gone with it; named volumes stay. With --force it is killed first.",
        examples=("minirun container rm -f web",),
    ),
    "pause": Longer(text="By the cgroup's freezer: nothing of the container runs, and none of it notices.",
                    examples=("minirun container pause web",)),
    "unpause": Longer(text="The opposite of `container pause`.", examples=("minirun container unpause web",)),
    "wait": Longer(text="A line for each, in the order of the words.", examples=("minirun container wait job",)),
    "top": Longer(text="Words behind the container are ps(1)'s own options; -ef if there are none.",
                  examples=("minirun container top web -o pid,args",)),
    "stats": Longer(text="As `minirun stats`, which the columns are explained at, with the containers' names.",
                    examples=("minirun container stats --no-stream web",)),
    "prune": Longer(text="Asks first. What killed monitors have left is put right before.",
                    examples=("minirun container prune -f --filter until=24h",)),
}  # fmt: skip
