"""What a VMM says before it goes: the first error, whole, for whoever made it."""

from __future__ import annotations

import os

from minirun.errors import MinirunError
from minirun.linux.descriptors import close_others
from minirun.vm.process import last_words, say


def test_the_first_words_count() -> None:
    words = os.memfd_create("words")
    assert last_words(words, "config.json") is None
    say(words, MinirunError("the machine ended", reason="a long reason " * 100, hint="do"))
    say(words, MinirunError("short"))
    told = last_words(words, "config.json")
    assert told is not None
    assert (told.message, told.reason, told.hint) == ("the machine ended", "a long reason " * 100, "do")
    os.close(words)


def test_all_but_what_is_kept_is_closed() -> None:
    """In a process of its own: the first descriptors are among those kept, as a VMM's stdio is."""
    child = os.fork()
    if child == 0:
        opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
        close_others([0, 1, 2, opened[1], opened[3]])
        alive = [fd for fd in opened if os.path.exists(f"/proc/self/fd/{fd}")]
        os._exit(0 if alive == [opened[1], opened[3]] and os.path.exists("/proc/self/fd/2") else 1)
    assert os.waitpid(child, 0)[1] == 0
