"""The options of the verbs about a container's files: diff, commit, cp, export."""

from __future__ import annotations

from minirun.cli.longer import Longer
from minirun.cli.options import Option, Verb

VERBS = (
    Verb(
        name="diff", help="what a container has changed in its files", arguments=("CONTAINER",),
        options=(Option(long="format", value="FORMAT", default="table", help="table or json"),),
    ),
    Verb(
        name="commit", help="make an image of a container's changes", arguments=("CONTAINER", "NAME[:TAG]"), at_least=1,
        options=(
            Option(long="author", short="a", value="AUTHOR", help="who made it, as \"Ada <ada@example.org>\""),
            Option(long="message", short="m", value="TEXT", help="a comment, kept in the image's history"),
            Option(long="change", short="c", value="INSTRUCTION", many=True,
                   help="change the configuration, as in a Dockerfile: CMD ENTRYPOINT ENV LABEL USER WORKDIR ..."),
            Option(long="pause", short="p", value="?true|false", default="true",
                   help="freeze the container meanwhile (default; --pause=false does not)"),
        ),
    ),
    Verb(
        name="cp", help="copy files from or to a container", arguments=("SOURCE", "DESTINATION"),
        options=(
            Option(long="archive", short="a", help="keep users and groups; without, they are root's in a container"),
            Option(long="follow-link", short="L", help="copy what a symbolic link SOURCE means"),
            Option(long="quiet", short="q", help="accepted: nothing is said anyhow"),
        ),
    ),
    Verb(
        name="export", help="write a container's files as a tar", arguments=("CONTAINER",),
        options=(Option(long="output", short="o", value="FILE", help="to this file instead of standard output"),),
    ),
)  # fmt: skip

PLACES = dict.fromkeys(("diff", "commit", "cp", "export"), "minirun.cli.container_files")

MORE = {
    "diff": Longer(
        text="A line for each path: A for added, C for changed, D for deleted. Files that only exist so that something "
        "could be mounted on them are left out as long as they are empty.",
        examples=("minirun container diff web",),
    ),
    "commit": Longer(
        text="The changes become one more layer on top of the container's image; what the container was given on the "
        "command line (program, environment, user, directory, labels) becomes the image's configuration. What lies in "
        "volumes is not part of it. Prints the new image's id.",
        examples=('minirun container commit -m "with curl" -c "CMD [\\"sh\\"]" box mine:latest',),
    ),
    "cp": Longer(
        text="One of the two is CONTAINER:PATH, the other a path of this machine, or - for a tar on standard input or "
        "output. A directory goes into a directory that is there, or becomes one that is not; DIR/. is what is in it. "
        "The container may run or not. Its symbolic links never lead out of it.",
        examples=("minirun container cp web:/etc/nginx .", "minirun container cp site/. web:/srv",
                  "minirun container cp web:/var/log - | tar -t"),
    ),
    "export": Longer(
        text="All that the container sees as its file system, but for what is mounted in it. `image import` makes an "
        "image of it again.",
        examples=("minirun container export -o web.tar web",),
    ),
}  # fmt: skip
