"""The VMM's main: from a description of a machine to the exit code of the program in it.

    open      kernel, initramfs, /dev/kvm, disks, taps, shares: whatever has a path on the host
    build     memory, vCPUs, Linux in its place, devices (``parts``)
    confine   the cell (confine.py), in three steps around the devices' threads
    run       vCPUs in their threads, everything else in this loop, until the program or the machine ends

What the guest's kernel says goes to the annotation's file, and its last lines into the error when the machine ends
before the program does.
"""

from __future__ import annotations

import posix
from _thread import start_new_thread
from time import sleep

from minirun.errors import FAILED, MinirunError, printable
from minirun.linux.confine import set_name
from minirun.linux.signalfd import signalfd
from minirun.vm import confine, linux_boot, parts, probe, process
from minirun.vm.boot.entry import BadKernel
from minirun.vm.channel import Write
from minirun.vm.control import CGROUP, Control
from minirun.vm.kernel import HINT
from minirun.vm.layout import virtio
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from minirun.vm.memory import Memory
from minirun.vm.platform import Platform
from minirun.vm.pty import open_pty
from minirun.vm.relay import Relay, Spawn
from minirun.vm.stdio import own_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.plan.hardware import Hardware
    from minirun.vm.channel import Exited
    from minirun.vm.exits import Exit
    from minirun.vm.process import Parts

SIGNALS = tuple(number for number in range(1, 65) if number not in (9, 17, 19, 32, 33))
GRACE = 5.0  # seconds for a guest with disks to write them out
SILENCE = 300.0  # seconds in which a guest has to say that its agent is there; it takes one, and in an emulator thirty
LONGEST_LINE = 300  # of the guest's last words
SAID = 60000  # bytes of the guest's console that are kept
KILLED = 128 + 9


class Vmm:
    """One machine with one container in it."""

    def __init__(self, given: Parts) -> None:
        self.given = given
        self.loop = Loop()
        self.code: int | None = None  # the program's
        self.said = b""
        self.over = False
        self.console = -1
        self.control: Control | None = None
        self.hardware = given.hardware

    def main(self) -> int:
        given, hardware = self.given, self.hardware
        signals = signalfd(SIGNALS)
        probe.demand(emulated=hardware.emulated)
        # Before we join the cgroup: KVM puts a thread of the kernel's into ours, which no freezer stops (Linux 6.1 to
        # 6.12), so that the container could never be called paused.  Its memory is touched later.
        machine = Machine(memory_of(hardware), hardware.vcpus, self.loop)
        begin_with(given)
        opened = parts.Opened(hardware, given.cache)
        self.console = opened.console
        terminal = open_pty() if given.terminal else (-1, -1)
        self.stdio = take_stdio(given.stdio)
        root = posix.geteuid() == 0
        filter_program = confine.prepare(parts.IOCTLS, given.cache)
        platform = Platform(machine, self.hear)
        line = parts.command_line(hardware)
        places = [virtio(slot) for slot in range(opened.devices)]
        self.load(machine, opened, line, places)
        opened.loaded()
        confine.begin(root=root)
        devices = opened.made(self.hear)
        confine.enter(root=root)
        opened.attach(machine, devices, places)
        relay = Relay(self.loop, opened.port)
        relay.broken = self.broken
        self.control = Control(self.loop, given.control, relay, machine.exits, lambda: self.said)
        self.machine, self.relay, self.platform = machine, relay, platform
        machine.on_end(self.ended)
        relay.spawn(self.program(terminal))
        relay.signals(signals)
        confine.close(filter_program)
        machine.start()
        if not hardware.emulated:
            later(SILENCE, self.silent)
        self.loop.run()
        opened.leave()
        return FAILED if self.code is None else self.code

    def load(self, machine: Machine, opened: parts.Opened, line: str, places: list[tuple[int, int]]) -> None:
        """Linux into its memory: what is no kernel, or larger than its machine, is somebody's word in config.json."""
        what, where = f"cannot boot the kernel {opened.image}", self.hardware.origin
        try:
            linux_boot.load(machine, opened.kernel, opened.initrd, line, places)
        except BadKernel as error:
            raise MinirunError(what, reason=str(error), pointer=where("kernel") or None, hint=HINT) from error
        except ValueError as error:
            hint = "annotation dev.minirun.vm.memory gives a machine more"
            raise MinirunError(what, reason=str(error), pointer=where("memory") or None, hint=hint) from error

    def program(self, terminal: tuple[int, int]) -> Spawn:
        """The container's first process; the descriptors pass to it."""
        given = self.given
        return Spawn(
            step=given.step, flags=given.flags, plan=given.plan, sync=given.sync, gate=given.gate,
            stdio=self.stdio, terminal=terminal, cgroup=CGROUP.rpartition("/")[2], exited=self.exited,
            abandoned=lambda: self.machine.stop("nobody waits for it"),
            cgroup_writes=[Write(step=step, file=file, value=value) for step, file, value in given.inside],
        )  # fmt: skip

    def hear(self, data: bytes) -> None:
        """The guest's serial port."""
        self.said = (self.said + data)[-SAID:]
        if self.control is not None:
            self.control.heard(data)
        if self.console >= 0:
            try:
                posix.write(self.console, data)
            except OSError:
                self.console = -1

    def exited(self, ended: Exited | None) -> None:
        """The program has ended, and all that it said is written."""
        if ended is not None:
            self.code = ended.code()
        if self.over or ended is None:
            self.loop.stop()
            return
        if self.hardware.disks:
            self.relay.power_off()
            later(GRACE, lambda: self.machine.stop("the guest did not switch itself off"))
        else:
            self.machine.stop("the program has ended")

    def silent(self) -> None:
        """No word from the agent: a kernel that hangs, or one that does not find it."""
        if self.relay.hello is None:
            self.machine.stop(f"its agent has said nothing for {SILENCE:.0f} seconds")

    def broken(self, why: str) -> None:
        self.say(f"the guest's agent does not keep to its protocol: {why}")
        self.machine.stop("broken")

    def ended(self, why: Exit) -> None:
        """No vCPU runs any more."""
        self.over = True
        if self.code is not None:
            self.loop.stop()
            return
        self.say(self.reason(why))
        bell = posix.eventfd(0, posix.EFD_CLOEXEC)
        self.loop.add(bell, lambda events: self.loop.stop())
        later(GRACE, lambda: posix.eventfd_write(bell, 1))  # for whoever does not read what the program has said
        self.relay.lost()

    def reason(self, why: Exit) -> str:
        word = self.platform.reason(why)
        said = self.said.decode("utf-8", "replace").splitlines()
        lines = [printable(line[:LONGEST_LINE]) for line in said if line.strip()]
        panics = [number for number, line in enumerate(lines) if "Kernel panic" in line]
        lines = lines[max(panics[0] - 3, 0) :][:8] if panics else lines[-8:]  # behind a panic there is but a trace
        ended = f"the guest ended by itself ({word})"
        return "\n    ".join([f"{ended}, its last words:", *lines]) if lines else ended

    def say(self, reason: str) -> None:
        process.say(self.given.words, MinirunError("the machine ended", reason=reason))


def later(seconds: float, call: Callable[[], None]) -> None:
    """Once, from a thread of its own: a loop without timers needs none for this."""

    def wait() -> None:
        sleep(seconds)
        call()

    start_new_thread(wait, ())


def begin_with(given: Parts) -> None:
    """Our name; our cgroup, before any memory of the guest's is touched; and then only when we are told to."""
    set_name("minirun-vmm")
    try:
        import prctl

        prctl.set_proctitle(f"minirun-vmm {given.name}")
    except ImportError:  # the name will do
        pass
    posix.read(given.go, 1)
    posix.close(given.go)
    if given.cgroup:
        with open(f"{given.cgroup}/cgroup.procs", "wb", buffering=0) as file:
            file.write(b"0")


def memory_of(hardware: Hardware) -> Memory:
    try:
        return Memory(hardware.memory)
    except OSError as error:
        what = f"cannot have {hardware.memory >> 20} MiB for the machine"
        pointer, hint = hardware.origin("memory") or None, "annotation dev.minirun.vm.memory asks for another number"
        raise MinirunError(what, reason=error.strerror or "", pointer=pointer, hint=hint) from error


def take_stdio(given: tuple[int, int, int]) -> tuple[int, int, int]:
    """The program's, as descriptors that only the relay holds: what the program closes is closed for its readers."""
    first, second, third = [fd if fd >= 0 else number for number, fd in enumerate(given)]
    stdio = own_all((first, second, third))
    null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
    for fd in range(3):
        posix.dup2(null, fd)
    posix.close(null)
    return stdio


def main(given: Parts) -> int:
    return Vmm(given).main()
