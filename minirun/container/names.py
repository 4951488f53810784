"""Names for containers that were given none: two words, drawn at random."""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = (
    "amber", "bold", "brisk", "calm", "clear", "clever", "cool", "deft", "eager", "early", "fair", "fleet", "fond",
    "gentle", "glad", "golden", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "mellow",
    "merry", "mild", "neat", "nimble", "noble", "patient", "plain", "polite", "quick", "quiet", "rapid", "ready",
    "serene", "sharp", "silent", "silver", "simple", "sly", "smooth", "snug", "sober", "stable", "steady", "sunny",
    "swift", "tender", "thrifty", "tidy", "tranquil", "trusty", "vivid", "warm", "wise", "witty", "young",
)  # fmt: skip
SECOND = (
    "alder", "ash", "aspen", "badger", "beaver", "birch", "bison", "brook", "cedar", "cliff", "comet", "crane",
    "creek", "cypress", "delta", "dune", "falcon", "fern", "finch", "fjord", "forest", "fox", "glacier", "grove",
    "harbour", "hare", "hazel", "heron", "hill", "island", "ivy", "juniper", "lagoon", "lake", "larch", "lark",
    "linden", "lynx", "maple", "marsh", "meadow", "moss", "oak", "orchid", "osprey", "otter", "owl", "pebble", "pine",
    "plover", "poplar", "raven", "reef", "ridge", "river", "robin", "rowan", "sparrow", "spruce", "stork", "swan",
    "thistle", "valley", "willow", "wren", "yew",
)  # fmt: skip
TRIES = 8


def candidates() -> Iterator[str]:
    """A few pairs, then pairs with a number: with many containers most pairs are taken."""
    for attempt in range(2 * TRIES):
        one, two, three, four = posix.urandom(4)
        name = f"{FIRST[one % len(FIRST)]}_{SECOND[two % len(SECOND)]}"
        yield name if attempt < TRIES else f"{name}{three * 256 + four}"
