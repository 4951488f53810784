"""A kernel by itself in a machine: its serial port is our standard input and output, and nothing else is there.

For trying kernels, and for what is in the Linux boot protocol without being Linux (memtest86+, iPXE).  No container, no
devices, no cell: what runs is what a person has just named.
"""

from __future__ import annotations

import posix

from minirun.errors import MinirunError
from minirun.vm import kernel, linux_boot, probe
from minirun.vm.boot import cmdline
from minirun.vm.boot.entry import BadKernel
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from minirun.vm.memory import Memory
from minirun.vm.platform import RESET, SHUTDOWN, Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.exits import Exit

ESCAPE = b"\x01x"  # ^A x, as in QEMU


class Plain:
    """The machine between a person's terminal and its serial port."""

    def __init__(self, memory: int, vcpus: int) -> None:
        self.loop = Loop()
        self.machine = Machine(Memory(memory), vcpus, self.loop)
        self.platform = Platform(self.machine, lambda data: write(data))
        self.machine.on_end(self.ended)
        self.end: Exit | None = None
        self.last = b""

    def ended(self, why: Exit) -> None:
        self.end = why
        self.loop.stop()

    def typed(self, events: int) -> None:
        data = posix.read(0, 64)
        if not data:
            self.loop.remove(0)
            return
        self.last = (self.last + data)[-2:]
        if self.last == ESCAPE:
            self.machine.stop("by ^A x")
        else:
            self.platform.serial.feed(data)


def write(data: bytes) -> None:
    while data:
        data = data[posix.write(1, data) :]


def run(image: str, initrd: str, append: str, memory: int, vcpus: int) -> int:
    """0 if it switched itself off or restarted."""
    probe.demand(emulated=True)  # whatever it is, a person has named it
    plain = Plain(memory, vcpus)
    try:
        data = kernel.read(kernel.find(image).image)
        archive = kernel.read(initrd) if initrd else b""
        line = cmdline.join([cmdline.default(), "loglevel=7", append])
        linux_boot.load(plain.machine, data, archive, line, [])
    except (BadKernel, ValueError) as error:
        raise MinirunError(f"cannot boot {image}", reason=str(error)) from error
    except OSError as error:
        raise MinirunError(f"cannot boot {image}", reason=f"{error.filename}: {error.strerror}") from error
    saved = raw()
    try:
        try:
            plain.loop.add(0, plain.typed)
        except PermissionError:  # a regular file: nobody types there
            pass
        plain.machine.start()
        plain.loop.run()
    finally:
        restore(saved)
    assert plain.end is not None
    why = getattr(plain.end, "why", "")
    write(f"\r\nminirun: {why or plain.end.describe()}\n".encode())
    return 0 if why in (SHUTDOWN, RESET) else 1


def raw() -> list[object] | None:
    """What is typed is the guest's, ^C included; None where there is no terminal."""
    import termios
    import tty

    if not posix.isatty(0):
        return None
    saved = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSANOW)
    return saved


def restore(saved: list[object] | None) -> None:
    if saved is not None:
        import termios

        termios.tcsetattr(0, termios.TCSANOW, saved)  # type: ignore[arg-type]
