"""``minirun image push``."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.registry_call import manner_of, who_of
from minirun.cli.stores import storage_of, write_out
from minirun.images import reference
from minirun.images.progress import progress_for
from minirun.images.push import push as send
from minirun.images.store import Images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def push(call: Call) -> int:
    quiet, every, platform = call.values.on("quiet"), call.values.on("all_platforms"), call.values.text("platform")
    if every and platform:
        raise usage("--platform and --all-platforms exclude each other")
    target = reference.parse(call.words[-1].removeprefix("docker://"))
    manner, who = manner_of(call), who_of(call)
    images = Images(storage_of(call))
    image = images.find(call.words[0], platform)
    if len(call.words) == 1 and not image.name:
        raise usage("an id says what to push, but not where to", "minirun image push ID NAME")
    with progress_for(quiet=quiet, verb="pushed") as progress:
        progress.say(f"{target.tag}: pushing to {target.where}")
        sent = send(images, image, target, every=every, progress=progress, who=who, manner=manner)
    if quiet:
        write_out(f"{target.name}\n")
    else:
        write_out(f"{target.tag}: digest: {sent.digest} size: {sent.size}\n")
    return 0
