"""The verbs of the images that are here: what is there, from files and to files, names, and what goes."""

from __future__ import annotations

from minirun.cli.longer import Longer
from minirun.cli.options import Option, Verb

FORMAT = Option(long="format", value="FORMAT", default="table", help="table, json (a line for each), or as '{{.ID}}'")
NO_TRUNC = Option(long="no-trunc", help="whole ids and lines")
PLATFORM = Option(long="platform", value="OS/ARCH", help="not this machine's, as linux/arm64/v8")
OUTPUT = Option(long="output", short="o", value="FILE", help="where to, not standard output; of oci: the directory")

VERBS = (
    Verb(
        name="ls", help="list images", arguments=("[NAME]",), at_least=0,
        options=(
            Option(long="all", short="a", help="accepted: there are no others"),
            Option(long="quiet", short="q", help="ids only"),
            Option(long="digests", help="the digest of each, too"),
            NO_TRUNC,
            Option(long="filter", short="f", value="WHAT=VALUE", many=True,
                   help="dangling=true|false, reference=PATTERN or label=NAME[=VALUE]"),
            FORMAT,
        ),
    ),
    Verb(
        name="inspect", help="print all about an image, as JSON", arguments=("IMAGE",), rest="IMAGE",
        options=(
            Option(long="format", short="f", value="TEMPLATE", default="json", help="json, or as '{{.Config.Env}}'"),
            PLATFORM,
        ),
    ),
    Verb(
        name="history", help="what an image's layers were made by", arguments=("IMAGE",),
        options=(NO_TRUNC, Option(long="quiet", short="q", help="ids only"), FORMAT, PLATFORM),
    ),
    Verb(
        name="load", help="take images from an archive or a layout", arguments=(),
        options=(
            Option(long="input", short="i", value="FILE", help="an archive, or the directory of an OCI layout; "
                   "not standard input"),
            Option(long="name", value="NAME", help="name the image, if there is one only"),
            Option(long="quiet", short="q", help="print nothing"),
        ),
    ),
    Verb(
        name="save", help="write images to an archive", arguments=("IMAGE",), rest="IMAGE",
        options=(
            OUTPUT,
            Option(long="format", value="FORMAT", default="docker-archive",
                   help="docker-archive, oci-archive, or oci (a directory)"),
            PLATFORM,
        ),
    ),
    Verb(
        name="export", help="write an image to an OCI layout, a directory", arguments=("IMAGE", "DIR"),
        options=(PLATFORM,),
    ),
    Verb(
        name="import", help="make an image of a root file system's tar archive", arguments=("FILE|-", "[NAME]"),
        at_least=1,
        options=(
            Option(long="change", short="c", value="INSTRUCTION", many=True,
                   help="as in a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR ..."),
            Option(long="message", short="m", value="TEXT", help="a comment for its history"),
            Option(long="created", value="TIME", help="when, in RFC 3339, not now"),
            PLATFORM,
        ),
    ),
    Verb(name="tag", help="give an image one more name", arguments=("IMAGE", "NAME")),
    Verb(
        name="rm", help="remove names and images", arguments=("IMAGE",), rest="IMAGE",
        options=(Option(long="force", short="f", help="also one that containers were made of, or with several names"),
                 Option(long="no-prune", help="only the names: the content goes with the next prune")),
    ),
    Verb(
        name="prune", help="remove images without a name", arguments=(),
        options=(
            Option(long="all", short="a", help="all that no container was made of"),
            Option(long="force", short="f", help="do not ask"),
            Option(long="filter", value="WHAT=VALUE", many=True, help="label=NAME[=VALUE] or label!=NAME[=VALUE]"),
        ),
    ),
)  # fmt: skip

PLACES = {
    "ls": "minirun.cli.image_list",
    "inspect": "minirun.cli.image_inspect",
    "history": "minirun.cli.image_inspect",
    "load": "minirun.cli.image_files",
    "save": "minirun.cli.image_files",
    "export": "minirun.cli.image_files",
    "import": "minirun.cli.image_files",
    "tag": "minirun.cli.image_change",
    "rm": "minirun.cli.image_change",
    "prune": "minirun.cli.image_change",
}

MORE = {
    "ls": Longer(
        text="An image that has no name, because it was loaded or imported without one or its name went to another, is "
        "listed as <none>. SIZE is what it takes in the content store: layers as they came, compressed or not, each "
        "counted for every image that has it.\n\n"
        "NAME is a repository, or a repository and a tag; * and ? stand for others as in a shell.",
        examples=("minirun image ls", "minirun image ls -q -f dangling=true", "minirun image ls --format json"),
    ),
    "inspect": Longer(
        text="An array with an object for each image; members are docker's. IMAGE is a name, a name with a digest, an "
        "id, or the beginning of one.",
        examples=("minirun image inspect busybox", "minirun image inspect -f .Config.Cmd busybox"),
    ),
    "history": Longer(
        text="The newest line first. A line without a layer of its own has size 0.",
        examples=("minirun image history --no-trunc busybox",),
    ),
    "load": Longer(
        text="What it is, is found out by what is in it: an OCI layout as a directory or a tar archive, or what "
        "`docker save` writes, of one image or several; gzip, zstd, bzip2 and xz are undone. Every digest and size is "
        "verified; an archive with anything wrong in it is refused as a whole.\n\n"
        "What an archive calls an image is its name here. One that it does not name, or only by a tag, has none until "
        "--name or `minirun image tag` gives it one.",
        examples=("minirun image load -i busybox.tar", "podman save busybox | minirun image load"),
    ),
    "save": Longer(
        text="A docker-archive is read by everybody, and has layers without compression; an oci-archive keeps layers "
        "and digests as they are. The same images are the same bytes. Without --output it goes to standard output, "
        "which must not be a terminal.",
        examples=("minirun image save -o busybox.tar busybox", "minirun image save busybox | docker load"),
    ),
    "export": Longer(
        text="DIR is made if it is not there. In a layout that is there already, an image of the same name is replaced "
        "and the others stay. An index goes as a whole if all of it is here; if not, the image for the platform "
        "goes. The tree of a container is what `minirun container export` writes.",
        examples=("minirun image export busybox layout", "skopeo inspect oci:layout"),
    ),
    "import": Longer(
        text="The archive, compressed or not, becomes the only layer as it is: the same file is the same layer. "
        "--change takes the instructions of a Dockerfile that change a configuration. With --created the same input "
        "is the same image. Without NAME it has an id only, which is printed.",
        examples=(
            "minirun image import -c 'CMD [\"/bin/sh\"]' rootfs.tar.gz mine:1",
            "mmdebstrap stable - | minirun image import - debian",
        ),
    ),
    "tag": Longer(
        text="Both names lead to the same image afterwards. If NAME led to another one, that has lost it.",
        examples=("minirun image tag busybox localhost:5000/busybox:1",),
    ),
    "rm": Longer(
        text="By a name, only the name goes as long as the image has others; with the last one the image goes, and "
        "its layers if no other image has them. By an id, the image goes with its names, if these are all of one "
        "repository.\n\n"
        "An image that a container was made of stays, unless --force: then its names go, and its content stays as "
        "<none> until the container is gone.",
        examples=("minirun image rm busybox", "minirun image rm -f 4c1bd2d3"),
    ),
    "prune": Longer(
        text="And whatever belongs to no image: blobs and unpacked layers of removed ones, and what was left by a pull "
        "or load that was killed. Asks before, unless --force.",
        examples=("minirun image prune", "minirun image prune -a -f"),
    ),
}
