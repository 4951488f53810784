"""Where docker's words are: who types ``minirun logs`` is told of ``minirun container logs``."""

from __future__ import annotations

from minirun.cli.groups import group_of

SAID = {
    "images": "minirun image ls lists images",
    "rmi": "minirun image rm removes images",
    "build": "minirun image build-rootfs makes images of recipes; buildah makes those of a Dockerfile",
    "version": "minirun --version prints it",
    "info": "minirun system info has it",
}
# OCI verbs of the same name take other words: a bundle, an id
ALSO = ("run", "create", "start", "exec", "kill", "ps", "pause", "update")


def hint(word: str) -> str:
    """ "" if no group has such a verb."""
    if word in SAID:
        return SAID[word]
    group = next((name for name in ("container", "image") if group_of(name).verb(word)), "")
    return f"did you mean minirun {group} {word}?" if group else ""


def also(verb: str) -> str:
    """For a wrong word behind an OCI verb."""
    return f"for containers from images: minirun container {verb}" if verb in ALSO else ""
