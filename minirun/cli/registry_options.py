"""The rows of ``minirun image`` that speak with registries, beside those of ``image_options``."""

from __future__ import annotations

from minirun.cli.longer import Longer
from minirun.cli.options import Option, Verb

TLS = (
    Option(long="plain-http", help="speak without TLS (what listens on this machine itself may always do without)"),
    Option(long="tls-verify", value="true|false", default="true", help="false: trust any certificate, or none"),
    Option(long="cert-dir", value="DIR", help="certificates for this registry: *.crt, *.cert and *.key"),
)
AUTHFILE = Option(long="authfile", value="FILE", help="the file with credentials, instead of the usual ones")
CREDS = Option(long="creds", value="USER[:PASSWORD]", help="who asks, instead of what the files say")
QUIET = Option(long="quiet", short="q", help="no progress; the name only")
TRANSFER = (QUIET, AUTHFILE, CREDS, *TLS)

VERBS = (
    Verb(
        name="pull", help="fetch an image from a registry", arguments=("NAME",),
        options=(
            Option(long="platform", value="OS/ARCH[/VARIANT]", help="of an index, the image for this platform"),
            Option(long="all-platforms", help="of an index, all of them"),
            *TRANSFER,
        ),
    ),
    Verb(
        name="push", help="send an image to a registry", arguments=("NAME", "DESTINATION"), at_least=1,
        options=(
            Option(long="platform", value="OS/ARCH[/VARIANT]", help="the image for this platform"),
            Option(long="all-platforms", help="the whole index, with all of its images"),
            *TRANSFER,
        ),
    ),
    Verb(
        name="login", help="remember who you are at a registry", arguments=("REGISTRY",), at_least=0,
        options=(
            Option(long="username", short="u", value="NAME", help="your name there"),
            Option(long="password", short="p", value="PASSWORD", help="better not: others see it; it is asked for"),
            Option(long="password-stdin", help="read the password from standard input"),
            AUTHFILE, *TLS,
        ),
    ),
    Verb(
        name="logout", help="forget who you are at a registry", arguments=("REGISTRY",), at_least=0,
        options=(AUTHFILE, Option(long="all", short="a", help="at every registry that the file knows")),
    ),
)  # fmt: skip
PLACES = {
    "pull": "minirun.cli.image_pull",
    "push": "minirun.cli.image_push",
    "login": "minirun.cli.image_login",
    "logout": "minirun.cli.image_login",
}
MORE = {
    "pull": Longer(
        text="Layers that are here are not fetched again, several come at once, and one that broke off goes on where "
        "it was, also in a later pull. Every byte is verified against the digest that the image names it by. On "
        "standard output stand, at the end, the digest and the whole name.\n\n"
        "Registries are spoken to by TLS, with the system's CAs and those in /etc/containers/certs.d and "
        "/etc/docker/certs.d; without it only on this machine's loopback, or with --plain-http. Proxies are those of "
        "HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
        examples=(
            "minirun image pull debian:stable-slim",
            "minirun image pull --platform linux/arm64 localhost:5000/tools:1.2",
        ),
    ),
    "push": Longer(
        text="NAME is an image that is here; DESTINATION, if it is not to have the same name there. What the registry "
        "has already is not sent, and what a repository beside has is mounted. Of an index the image for this machine "
        "goes alone, under a name of its own; --all-platforms sends the index with all of its images.",
        examples=("minirun image push localhost:5000/tools:1.2", "minirun image push busybox localhost:5000/busybox"),
    ),
    "login": Longer(
        text="Asks the registry whether it takes the name and the password, and writes them where podman and skopeo "
        "look: --authfile, $REGISTRY_AUTH_FILE, or containers/auth.json below $XDG_RUNTIME_DIR (/run/containers/UID "
        "where that is not set). If the file, or docker's, names a helper for the registry, the helper keeps them. "
        "Without REGISTRY it is the default one.",
        examples=("minirun image login -u ann --password-stdin registry.example.com < password",),
    ),
    "logout": Longer(
        text="Takes what login wrote out of that file, or away from its helper. Other files are not changed; you are "
        "told if one of them still knows you.",
        examples=("minirun image logout registry.example.com",),
    ),
}
