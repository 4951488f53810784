"""``minirun image pull``."""

from __future__ import annotations

from minirun.cli.parse import usage
from minirun.cli.registry_call import manner_of, who_of
from minirun.cli.stores import storage_of, write_out
from minirun.images import reference
from minirun.images.progress import progress_for
from minirun.images.pull import pull as fetch
from minirun.images.store import Images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.cli.main import Call


def pull(call: Call) -> int:
    quiet, every, platform = call.values.on("quiet"), call.values.on("all_platforms"), call.values.text("platform")
    if every and platform:
        raise usage("--platform and --all-platforms exclude each other")
    wanted = reference.parse(call.words[0])
    manner, who = manner_of(call), who_of(call)
    images = Images(storage_of(call))
    before = images.names().get(wanted.name)
    with progress_for(quiet=quiet, verb="pulled") as progress:
        if wanted.name == wanted.where + f":{reference.DEFAULT_TAG}" and ":" not in call.words[0].rpartition("/")[2]:
            progress.say(f"using the tag {reference.DEFAULT_TAG}, as none was given")
        progress.say(f"{wanted.suffix.lstrip(':@')}: pulling from {wanted.where}")
        image = fetch(images, wanted, platform=platform, every=every, progress=progress, who=who, manner=manner)
    name = wanted.name if not wanted.digest else f"{wanted.where}@{wanted.digest}"
    if not quiet:
        new = before is None or before.digest != image.target.digest
        write_out(f"Digest: {image.target.digest}\n")
        write_out(f"Status: {'Downloaded newer image' if new else 'Image is up to date'} for {wanted.familiar}\n")
    write_out(f"{name}\n")
    return 0
