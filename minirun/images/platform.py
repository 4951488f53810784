"""Which of an index's images is for this machine (image-spec, image-index.md; Go's words for architectures)."""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.images.media import Descriptor

# uname's machine -> GOARCH and variant
MACHINES = {
    "x86_64": ("amd64", ""), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"),
    "i386": ("386", ""), "i686": ("386", ""), "riscv64": ("riscv64", ""), "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""), "loongarch64": ("loong64", ""), "mips64": ("mips64le", ""),
}  # fmt: skip
OTHER_WORDS = {name: words for name, words in MACHINES.items() if name in ("x86_64", "aarch64")}
# What is meant when an image does not say.
DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7"}


class Platform(Record):
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(word for word in (self.os, self.architecture, self.variant) if word)

    def to_json(self) -> dict[str, str]:
        value = {"architecture": self.architecture, "os": self.os}
        return {**value, "variant": self.variant} if self.variant else value


def here() -> Platform:
    """This machine's."""
    machine = posix.uname().machine
    architecture, variant = MACHINES.get(machine, (machine, ""))
    return Platform(os="linux", architecture=architecture, variant=variant)


def parse(text: str) -> Platform:
    """linux/arm64/v8, arm64 alone, or "" for this machine's."""
    if not text:
        return here()
    words = text.lower().split("/")
    if len(words) == 1:
        words = [words[0], here().architecture] if words[0] == "linux" else ["linux", words[0]]
    if len(words) > 3 or not all(word.isascii() and word.replace("_", "").isalnum() for word in words):
        raise MinirunError(f"{text[:80]!r} is not a platform", hint="as linux/amd64 or linux/arm64/v8")
    architecture, variant = OTHER_WORDS.get(words[1], (words[1], ""))
    return Platform(os=words[0], architecture=architecture, variant=words[2] if len(words) == 3 else variant)


def of(value: dict[str, Any]) -> Platform:
    """A descriptor's platform, or a configuration's."""
    return Platform(
        os=value.get("os", ""), architecture=value.get("architecture", ""), variant=value.get("variant", "")
    )


def rank(wanted: Platform, found: Platform) -> int:
    """How well an image serves: 0 not at all; an older variant of ARM's 32 bits runs on a newer machine."""
    if (wanted.os, wanted.architecture) != (found.os, found.architecture):
        return 0
    default = DEFAULT_VARIANTS.get(wanted.architecture, "")
    want, have = wanted.variant or default, found.variant or default
    if want == have:
        return 100
    if wanted.architecture == "arm" and want[1:].isdigit() and have[1:].isdigit() and int(have[1:]) < int(want[1:]):
        return 50 + int(have[1:])
    return 10 if wanted.architecture == "amd64" and have in ("", "v1") else 0


def choose(manifests: list[Descriptor], wanted: Platform) -> list[Descriptor]:
    """Those that serve, the best first; one that names no platform is the last resort."""
    ranked = [(rank(wanted, of(one.platform)) if one.platform else 1, one) for one in manifests]
    return [one for value, one in sorted(ranked, key=lambda pair: -pair[0]) if value]


def words(manifests: list[Descriptor]) -> str:
    """What an index has, for an error."""
    names = sorted({str(of(one.platform)) for one in manifests if one.platform} - {"", "unknown/unknown"})
    return ", ".join(names) or "none that is named"
