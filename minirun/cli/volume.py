"""``volume create``, ``ls``, ``rm``, ``inspect``, ``prune``."""

from __future__ import annotations

from minirun.cli.asking import confirm
from minirun.cli.oci_list import columns, form_of
from minirun.cli.parse import usage
from minirun.cli.stores import storage_of, write_out
from minirun.container.volumes import Volumes
from minirun.errors import MinirunError
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.cli.main import Call
    from minirun.container.volumes import Volume


def create(call: Call) -> int:
    from minirun.container.words import labels

    if call.values.text("driver") != "local":
        raise usage(f"--driver must be local, not {call.values.text('driver')!r}", "volumes are directories")
    name = call.words[0] if call.words else ""
    volume = Volumes(storage_of(call)).create(name, labels([], call.values.listed("label")), anonymous=not name)
    write_out(f"{volume.name}\n")
    return 0


def document(volumes: Volumes, volume: Volume) -> dict[str, Any]:
    """docker's members."""
    return {
        "CreatedAt": volume.created, "Driver": "local", "Labels": volume.labels,
        "Mountpoint": volumes.directory(volume.name), "Name": volume.name, "Options": volume.options,
        "Scope": "local", "Anonymous": volume.anonymous,
    }  # fmt: skip


def ls(call: Call) -> int:
    form = form_of(call, go=True)
    volumes = Volumes(storage_of(call))
    chosen = chooser(call.values.listed("filter"), volumes.users)
    found = [volume for volume in volumes.all() if chosen(volume)]
    if call.values.on("quiet"):
        write_out("".join(f"{volume.name}\n" for volume in found))
    elif form == "json":
        write_out("".join(encode(document(volumes, volume)) + "\n" for volume in found))
    elif form != "table":
        from minirun.cli.template import lines

        write_out(lines(form, [document(volumes, volume) for volume in found], {"Name": "VOLUME NAME"}))
    else:
        write_out(columns([["DRIVER", "VOLUME NAME"], *(["local", volume.name] for volume in found)]))
    return 0


def chooser(given: list[str], users: Callable[[], dict[str, list[str]]]) -> Callable[[Volume], bool]:
    """What all filters let through."""
    tests: list[Callable[[Volume], bool]] = []
    for text in given:
        key, equals, value = text.partition("=")
        if key == "dangling" and value in ("true", "1", "false", "0"):
            used, wanted = users(), value in ("true", "1")
            tests.append(lambda volume, used=used, wanted=wanted: (volume.name not in used) == wanted)  # type: ignore[misc]
        elif key == "name" and equals:
            tests.append(lambda volume, value=value: value in volume.name)  # type: ignore[misc]
        elif key in ("label", "label!") and value:
            tests.append(lambda volume, key=key, value=value: has_label(volume, value) == (key == "label"))  # type: ignore[misc]
        elif key == "driver" and value:
            tests.append(lambda volume, value=value: value == "local")  # type: ignore[misc]
        else:
            raise usage(f"unknown filter {text!r}", "dangling=true, name=NAME, label=NAME[=VALUE] or driver=local")
    return lambda volume: all(test(volume) for test in tests)


def has_label(volume: Volume, text: str) -> bool:
    name, equals, value = text.partition("=")
    return name in volume.labels and (not equals or volume.labels[name] == value)


def rm(call: Call) -> int:
    """All that can be removed are; the exit code says whether all were."""
    volumes = Volumes(storage_of(call))
    code = 0
    for word in call.words:
        try:
            volume = volumes.find(word)
            volumes.remove(volume.name)
            write_out(f"{volume.name}\n")
        except MinirunError as error:
            if call.values.on("force") and error.message.startswith("no such volume"):
                continue
            call.log.error(error)
            code = 1
    return code


def inspect(call: Call) -> int:
    from minirun.cli.container_inspect import show

    volumes = Volumes(storage_of(call))
    return show(call, [lambda word=word: document(volumes, volumes.find(word)) for word in call.words])  # type: ignore[misc]


def prune(call: Call) -> int:
    everything = call.values.on("all")
    kind = "volumes" if everything else "anonymous volumes"
    if not call.values.on("force"):
        confirm(f"all {kind} that no container has")
    from minirun.images.progress import human
    from minirun.images.store import Images

    freed = 0
    with Images(storage_of(call)).exclusive():  # nobody is making a container whose volumes no record names yet
        volumes = Volumes(storage_of(call))
        volumes.sweep()
        users = volumes.users()
        chosen = chooser(call.values.listed("filter"), lambda: users)
        for volume in list(volumes.all()):
            if volume.name not in users and (everything or volume.anonymous) and chosen(volume):
                freed += volumes.size(volume.name)
                volumes.discard(volume.name)
                write_out(f"{volume.name}\n")

    write_out(f"Total reclaimed space: {human(freed)}\n")
    return 0
