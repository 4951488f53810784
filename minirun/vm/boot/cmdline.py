"""PURE: the kernel's command line, word by word (Documentation/admin-guide/kernel-parameters.txt).

``DEFAULT`` is what a machine gets.  Words of the user's come behind it, and where one has the name of a default (what
is before its "="), the default is left out: ``initcall_blacklist=`` takes ours away, and puts nothing there.
"""

from __future__ import annotations

from minirun.vm import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# (word, why)
DEFAULT: tuple[tuple[str, str], ...] = (
    ("console=ttyS0", "the kernel's messages go to COM1: a panic must be seen"),
    ("loglevel=3", "only what is worse than an error: every character is an exit, and having no PCI is an error to it"),
    ("panic=-1", "restart at once after a panic, do not wait for somebody to read the screen"),
    (
        "reboot=panic_warm",
        "a restart after a panic leaves 0x1234 at 0x472, any other 0: so the VMM can tell them apart",
    ),
    ("tsc=reliable", "no watchdog over the time stamp counter: KVM keeps it"),
    ("cryptomgr.notests", "ciphers do not test themselves at every boot"),
    ("rcupdate.rcu_expedited=1", "who waits for readers to pass does so by interrupt, not by the timer's tick"),
    ("8250.nr_uarts=1", "one serial port: the other three of a PC are not looked for"),
    ("pci=off", "there is no PCI: no scan of 256 buses that nobody answers on"),
    (
        "initcall_blacklist=trace_eval_init,tracer_init_tracefs",
        "no files in tracefs: making them is a fifth of all that a distribution's kernel does until its init",
    ),
    (
        "random.trust_cpu=on",
        "random numbers from RDRAND at once: a machine without disk or keyboard has no other noise",
    ),
)


def default() -> str:
    return " ".join(word for word, _ in DEFAULT)


def join(words: Iterable[str]) -> str:
    """One line of all; a default word gives way to one of its name.  Raises ValueError for more than one line."""
    given = [word for text in words for word in text.split(" ") if word]
    names = [name(word) for word in given]
    ours = {word for word, _ in DEFAULT}
    line = " ".join(word for at, word in enumerate(given) if word not in ours or name(word) not in names[at + 1 :])
    if "\0" in line or "\n" in line:
        raise ValueError("a kernel's command line is one line of text")
    return line


def name(word: str) -> str:
    return word.partition("=")[0]


def encoded(line: str, most: int) -> bytes:
    """With its NUL; ``most`` characters are what the kernel keeps.  Raises ValueError."""
    data = line.encode()
    if len(data) > min(most, layout.CMDLINE_MOST - 1):
        raise ValueError(f"the command line has {len(data)} characters, and this kernel takes {most}")
    if b"\0" in data:
        raise ValueError("a command line ends at its first NUL")
    return data + b"\0"
