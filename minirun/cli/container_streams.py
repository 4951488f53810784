"""``container exec attach logs``: what comes out of a container, and goes into it."""

from __future__ import annotations

import posix

from minirun.cli.parse import usage
from minirun.cli.places import place_of, shelf_of
from minirun.cli.stores import absolute
from minirun.container import client_side, life
from minirun.container.record import PAUSED, RESTARTING, RUNNING
from minirun.errors import MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call
    from minirun.container.logs import Line


def attach(call: Call) -> int:
    from minirun.cli.container_life import attachment

    shelf, place = shelf_of(call), place_of(call)
    container = shelf.find(call.words[0])
    status = life.truth(shelf, place, container)
    if status.status not in (RUNNING, PAUSED, RESTARTING):
        raise life.not_running("attach to", container, status)
    asked = attachment(call, container, not call.values.on("no_stdin"))
    signals = client_side.watch(asked)
    link = life.link_to(shelf, container, asked.letters())
    if link < 0:
        raise life.not_running("attach to", container, life.truth(shelf, place, container))
    if asked.tty and (size := client_side.window()):
        from minirun.linux import unix

        unix.send(link, b"W" + size)
    return client_side.follow(link, asked, signals)


def exec(call: Call) -> int:  # noqa: A001 (the verb's name)
    from minirun.cli.container_run import read_text
    from minirun.container import executing
    from minirun.container.words import environment

    shelf, place = shelf_of(call), place_of(call)
    container = shelf.find(call.words[0])
    status = life.truth(shelf, place, container)
    if status.status == PAUSED:
        raise MinirunError(f"cannot exec in container {container.name}", reason="it is paused", exit_code=1)
    if status.status != RUNNING:
        raise life.not_running("exec in", container, status)
    words = call.words[1:]
    if words[:1] == ["--"]:
        del words[0]
    if not words:
        raise usage("container exec wants a COMMAND")
    values = call.values
    files = [absolute(path, call.cwd) for path in values.listed("env_file")]
    asked = executing.Asked(
        words=words, tty=values.on("tty"), stdin=values.on("interactive"), detach=values.on("detach"),
        user=values.text("user"), cwd=values.text("workdir"), privileged=values.on("privileged"),
        env=environment([read_text("--env-file", path) for path in files], values.listed("env"), call.env),
    )  # fmt: skip
    return executing.execute(shelf, place, container, asked)


def logs(call: Call) -> int:
    import time

    from minirun.container import logs as reading

    shelf, place, values = shelf_of(call), place_of(call), call.values
    container = shelf.find(call.words[0])
    if container.logDriver != "json-file":
        reason = f"it was created with --log-driver {container.logDriver}"
        raise MinirunError(f"there is no log of container {container.name}", reason=reason, exit_code=1)
    now, tail = time.time(), values.text("tail")
    if tail != "all" and not (tail.isascii() and tail.isdigit()):
        raise usage(f"--tail wants a number of lines, not {tail!r}")
    wanted = reading.Wanted(
        since=reading.moment(values.text("since"), "--since", now), timestamps=values.on("timestamps"),
        until=reading.moment(values.text("until"), "--until", now), tail=-1 if tail == "all" else int(tail),
    )  # fmt: skip

    def put(line: Line) -> None:
        text = f"{line.time} {line.text}" if wanted.timestamps else line.text
        data = text.encode("utf-8", "surrogateescape")
        while data:
            data = data[posix.write(1 if line.stream == "stdout" else 2, data) :]

    def alive() -> bool:
        return life.truth(shelf, place, container).status in (RUNNING, PAUSED, RESTARTING)

    reading.show(shelf.directory(container.id), wanted, put, values.on("follow"), alive)
    return 0
