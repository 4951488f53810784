"""``container start stop kill restart rm pause unpause wait prune``."""

from __future__ import annotations

from minirun.cli.asking import confirm
from minirun.cli.parse import usage
from minirun.cli.places import each, place_of, shelf_of
from minirun.cli.stores import write_out
from minirun.container import life
from minirun.container.record import CREATED, EXITED, PAUSED
from minirun.container.truth import remove_damaged
from minirun.errors import MinirunError
from minirun.runtime.signals import signal_number
from minirun.spec.members import DAMAGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call
    from minirun.container.life import Attach, Place
    from minirun.container.record import Container
    from minirun.container.shelf import Shelf


def start(call: Call) -> int:
    values = call.values
    if values.on("all_restartable"):
        return start_all(call)
    if not call.words:
        raise usage("minirun container start wants CONTAINER", "minirun container start --help says more")
    if not values.on("attach") and not values.on("interactive"):
        return each(call, start_one)
    if len(call.words) > 1:
        raise usage("only one container can be attached to")
    shelf = shelf_of(call)
    container = shelf.find(call.words[0])
    return life.start(shelf, place_of(call), container, attachment(call, container, values.on("interactive")))


def attachment(call: Call, container: Container, stdin: bool) -> Attach:
    return life.Attach(
        stdin=stdin and container.stdin, tty=container.tty, detach_keys=call.values.text("detach_keys"),
        sig_proxy=call.values.get("sig_proxy", True) is True,
    )  # fmt: skip


def start_one(shelf: Shelf, place: Place, container: Container) -> None:
    if life.truth(shelf, place, container).status in (CREATED, EXITED):
        life.start(shelf, place, container)


def start_all(call: Call) -> int:
    """For a service at boot."""
    shelf, place = shelf_of(call), place_of(call)
    damaged: list[MinirunError] = []
    for container in shelf.all(damaged):
        if container.restart not in ("always", "unless-stopped"):
            continue
        try:
            status = life.truth(shelf, place, container)
            if status.status != EXITED or (container.restart == "unless-stopped" and status.stopped):
                continue
            life.start(shelf, place, container)
            write_out(f"{container.name}\n")
        except MinirunError as error:
            damaged.append(error)
    for problem in damaged:
        call.log.error(problem)
    return 1 if damaged else 0


def patience(call: Call) -> int | None:
    """Seconds; None leaves it to the container."""
    word = call.values.text("timeout") or call.values.text("time")
    if not word:
        return None
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise usage(f"--timeout wants seconds, not {word!r}")
    return int(word)


def number_of(call: Call) -> int:
    word = call.values.text("signal")
    return signal_number(word) if word else 0


def stop(call: Call) -> int:
    """All are asked before the first is waited for."""
    seconds, number = patience(call), number_of(call)
    asked: list[tuple[str, life.Stopping | None]] = []

    if len(call.words) == 1:
        return each(call, lambda shelf, place, found: life.stop(shelf, place, found, seconds, number))
    words, failed = call.words, 0
    shelf, place = shelf_of(call), place_of(call)
    for word in words:
        try:
            asked.append((word, life.ask_to_stop(shelf, place, shelf.find(word), seconds, number)))
        except MinirunError as error:
            call.log.error(error)
            failed = 1
    for word, one in asked:
        try:
            if one is not None:
                life.see_stopped(place, one)
            write_out(f"{word}\n")
        except MinirunError as error:
            call.log.error(error)
            failed = 1
    return failed


def kill(call: Call) -> int:
    number = number_of(call) or life.KILL
    return each(call, lambda shelf, place, found: life.kill(shelf, place, found, number))


def restart(call: Call) -> int:
    seconds, number = patience(call), number_of(call)

    def again(shelf: Shelf, place: Place, container: Container) -> None:
        life.stop(shelf, place, container, seconds, number)
        life.start(shelf, place, container)

    return each(call, again)


def rm(call: Call) -> int:
    force, volumes = call.values.on("force"), call.values.on("volumes")
    shelf = shelf_of(call)
    if force:
        call.words = [word for word in call.words if known(shelf, word)]
        whole = [word for word in call.words if not took_away(shelf, place_of(call), word)]
        if not whole and call.words:
            return 0
        call.words = whole
    return each(call, lambda shelf, place, found: life.remove(shelf, place, found, force=force, volumes=volumes))


def known(shelf: Shelf, word: str) -> bool:
    try:
        shelf.id_of(word)
    except MinirunError as error:
        return error.errno_name != "ENOENT"
    return True


def took_away(shelf: Shelf, place: Place, word: str) -> bool:
    """A container that cannot be read can still be removed."""
    container_id = shelf.id_of(word)
    try:
        shelf.load(container_id)
        shelf.status(container_id)
    except MinirunError as error:
        if error.errno_name != DAMAGED:
            return False
        remove_damaged(shelf, place, container_id)
        write_out(f"{word}\n")
        return True
    return False


def pause(call: Call) -> int:
    from minirun.container import freezer

    def freeze(shelf: Shelf, place: Place, found: Container) -> None:
        if life.truth(shelf, place, found).status != PAUSED:
            freezer.keep(shelf, found)
        life.pause(place, found, True)

    return each(call, freeze)


def unpause(call: Call) -> int:
    return each(call, lambda shelf, place, found: life.pause(place, found, False))


def wait(call: Call) -> int:
    return each(call, lambda shelf, place, found: str(life.wait(shelf, place, found)))


def prune(call: Call) -> int:
    from minirun.container import listing

    if not call.values.on("force"):
        confirm("all containers that do not run")
    shelf, place = shelf_of(call), place_of(call)
    for word in life.repair(shelf, place):
        call.log.warn(word)
    wanted = listing.pruned(call.values.listed("filter"))
    damaged: list[MinirunError] = []
    for container in list(shelf.all(damaged)):
        try:
            status = shelf.status(container.id)
            if status.status not in (CREATED, EXITED) or not wanted(container, status):
                continue
            life.remove(shelf, place, container)
            write_out(f"{container.id}\n")
        except MinirunError as error:
            damaged.append(error)
    for problem in damaged:
        call.log.error(problem)
    return 1 if damaged else 0
