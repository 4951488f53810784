"""PURE but for the clock: which containers ``ps`` and ``prune`` mean, and how a container is described in a line."""

from __future__ import annotations

import time

from minirun.container.record import CREATED, EXITED, PAUSED, RESTARTING, RUNNING, seconds_of
from minirun.errors import USAGE, MinirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minirun.container.record import Container, Status

KEYS = ("id", "name", "status", "exited", "label", "ancestor", "network", "volume", "before", "since")
STATUSES = (CREATED, RUNNING, PAUSED, RESTARTING, EXITED)
Known = "dict[str, Container]"


def pairs(words: Sequence[str], known: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in known:
            raise MinirunError(
                f"--filter {word}: KEY=VALUE is wanted", hint="KEY is one of " + ", ".join(known), exit_code=USAGE
            )
        found.append((key, value))
    return found


def filtered(
    words: Sequence[str], find: Callable[[str], Container]
) -> Callable[[Container, Status], bool]:  # fmt: skip
    """As docker: several values of one key are alternatives (labels must all be there), several keys must all fit."""
    wanted = pairs(words, KEYS)
    for key, value in wanted:
        if key == "status" and value not in STATUSES:
            hint = "one of " + ", ".join(STATUSES)
            raise MinirunError(f"--filter status={value}: there is no such status", hint=hint, exit_code=USAGE)
        if key == "exited" and not (value.isascii() and value.isdigit()):
            raise MinirunError(f"--filter exited={value}: an exit code is wanted", exit_code=USAGE)
    stamps = {value: find(value).created for key, value in wanted if key in ("before", "since")}

    def fits(container: Container, status: Status) -> bool:
        for key in {key for key, _ in wanted}:
            results = [test(key, value, container, status, stamps) for name, value in wanted if name == key]
            if not (all(results) if key == "label" else any(results)):
                return False
        return True

    return fits


def test(key: str, value: str, container: Container, status: Status, stamps: dict[str, str]) -> bool:
    tests: dict[str, Callable[[], bool]] = {
        "id": lambda: container.id.startswith(value),
        "name": lambda: value in container.name,
        "status": lambda: status.status == value,
        "exited": lambda: status.status == EXITED and status.exitCode == int(value),
        "label": lambda: labelled(container, value),
        "ancestor": lambda: value in (container.image, container.imageId, f"{value}:latest" and container.image)
        or container.image == f"{value}:latest" or container.imageId.partition(":")[2].startswith(value),
        "network": lambda: value in networks(container),
        "volume": lambda: value in (*container.volumes, *container.anonymous, *binds(container)),
        "before": lambda: container.created < stamps[value],
        "since": lambda: container.created > stamps[value],
    }  # fmt: skip
    return tests[key]()


def labelled(container: Container, text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in container.labels and (not equals or container.labels[key] == value)


def networks(container: Container) -> list[str]:
    if container.network != "networks":
        return [container.network]
    return [str(each.get("name", "")) for each in container.networks] or ["bridge"]


def binds(container: Container) -> list[str]:
    """Where anything is mounted, as far as the command line told."""
    found = container.asked.get("mounts", [])
    return [str(each.get("destination", "")) for each in found if isinstance(each, dict)]


def pruned(words: Sequence[str]) -> Callable[[Container, Status], bool]:
    """``prune --filter``: label=, label!=, until=."""
    wanted = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in ("label", "label!", "until"):
            raise MinirunError(f"--filter {word}: label=, label!= or until= is wanted", exit_code=USAGE)
        if key == "until":
            from minirun.container.logs import moment

            wanted.append((key, moment(value, "--filter until", time.time())))
        else:
            wanted.append((key, value))  # type: ignore[arg-type]

    def fits(container: Container, status: Status) -> bool:
        return all(prunes(key, value, container) for key, value in wanted)

    return fits


def prunes(key: str, value: object, container: Container) -> bool:
    if key == "until":
        return seconds_of(container.created) < float(str(value))
    return labelled(container, str(value)) == (key == "label")


def ago(seconds: float) -> str:
    """As docker: Less than a second, 5 seconds, About a minute, 3 hours ..."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 2:
        return "1 second"
    for limit, unit, name in ((60, 1, "seconds"), (120, 0, "About a minute"), (3600, 60, "minutes"),
                              (7200, 0, "About an hour"), (172800, 3600, "hours"), (1209600, 86400, "days"),
                              (5184000, 604800, "weeks"), (63072000, 2592000, "months")):  # fmt: skip
        if seconds < limit:
            return f"{int(seconds / unit)} {name}" if unit else name
    return f"{int(seconds / 31536000)} years"


def state_words(status: Status, now: float) -> str:
    """docker's column STATUS."""
    if status.status in (RUNNING, PAUSED):
        return f"Up {ago(now - seconds_of(status.startedAt))}" + (" (Paused)" if status.status == PAUSED else "")
    if status.status == CREATED:
        return "Created"
    word = "Restarting" if status.status == RESTARTING else "Exited"
    return f"{word} ({status.exitCode}) {ago(now - seconds_of(status.finishedAt))} ago"


def port_words(ports: Sequence[dict[str, object]]) -> str:
    """docker's column PORTS."""
    words = []
    for port in ports:
        inner = f"{port['port']}/{port['protocol']}"
        host = str(port.get("hostIp") or "0.0.0.0")
        host = f"[{host}]" if ":" in host else host
        words.append(f"{host}:{port['hostPort']}->{inner}" if port.get("hostPort") else inner)
    return ", ".join(words)
