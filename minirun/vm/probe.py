"""What KVM is here: there or not, allowed or not, of hardware or emulated.

Inside some virtual machines /dev/kvm works without vmx or svm: the host's hypervisor runs a guest's user mode natively
and *emulates* its kernel mode, at one or two million instructions a second.  Small guests do not mind; Linux needs
minutes.  All the ioctls answer as usual, so the one way to know is to let a guest count at level 0 and look at the
clock.  Where the processor shows vmx or svm, it is KVM of hardware, and nothing has to be measured.
"""

from __future__ import annotations

import posix
from time import thread_time

from minirun.errors import MinirunError
from minirun.linux.kvm import Kvm
from minirun.record import Record
from minirun.vm import exits
from minirun.vm.loop import Loop
from minirun.vm.machine import Machine
from minirun.vm.memory import Memory

REAL, EMULATED = "real", "emulated"
SLOW = 50.0  # million instructions a second: emulation stays well below, hardware in a slow machine well above
LOOP = b"\x66\xb9%s\x66\x49\x75\xfc\xf4"  # mov ecx, n; again: dec ecx; jnz again; hlt
TRIES = 4
ENTRY = 0x1000
ENOENT, EACCES, EPERM, EBUSY, ENODEV, EOPNOTSUPP, ENOTTY = 2, 13, 1, 16, 19, 95, 25

HINTS = {
    ENOENT: "load the module (modprobe kvm_intel, or kvm_amd) and switch virtualization on in the firmware; in a "
    "virtual machine, have its host allow nested virtualization; in a container, pass the device /dev/kvm",
    ENODEV: "the module is not loaded: modprobe kvm_intel, or kvm_amd",
    EACCES: "be root, or in the group that owns the device: usermod -aG kvm USER, then log in again",
    EPERM: "the device filter of a cgroup (are we in a container?) keeps us from it: allow c 10:232 rwm",
    EBUSY: "another hypervisor has the processor's virtualization (VirtualBox, VMware): stop its machines first",
    EOPNOTSUPP: "a kernel of at least 5.14 has all of these",
    ENOTTY: "what is there is no KVM: c 10:232 is its number",
}


class Probe(Record):
    """``kind`` is real, emulated or "" (there is none: ``error`` says why); ``rate`` 0 if it was not measured."""

    kind: str
    rate: float = 0.0
    error: OSError | None = None


def shown(cpuinfo: str) -> bool:
    """The processor offers virtualization to this kernel (/proc/cpuinfo, "flags")."""
    for line in cpuinfo.splitlines():
        if line.startswith("flags"):
            flags = line.split()
            return "vmx" in flags or "svm" in flags
    return False


def look(measure: bool = False) -> Probe:
    """``measure``: the rate also where the kind is known without it."""
    try:
        Kvm().close()
        real = shown(first_processor())
        if real and not measure:
            return Probe(kind=REAL)
        rate = counted()
    except OSError as error:
        return Probe(kind="", error=error)
    return Probe(kind=REAL if real or rate >= SLOW else EMULATED, rate=rate)


def demand(emulated: bool = False) -> None:
    """Raises MinirunError unless a Linux guest can run here; ``emulated``: somebody has the patience."""
    found = look()
    if found.error is not None:
        raise explain(found.error) from found.error
    if found.kind == EMULATED and not emulated:
        raise MinirunError(
            "cannot run Linux in a micro-VM here",
            reason=f"this KVM emulates a guest's kernel, at {found.rate:.1f} million instructions a second",
            hint="a machine whose processor shows vmx or svm, or the lab (make demo-lab), can; here small guests run "
            "(minirun vm ladder). The annotation dev.minirun.vm.emulated=allow insists, and waits for minutes",
        )


def first_processor() -> str:
    try:
        fd = posix.open("/proc/cpuinfo", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return posix.read(fd, 8192).decode("ascii", "replace")
    finally:
        posix.close(fd)


def counted() -> float:
    """Million instructions a second at level 0.  Raises OSError.

    The best of a few, for a host that is a virtual machine itself is not always given the time it counts.  Short ones
    first, 20 ms of emulation each; where one took hardly any time, one a hundred times longer.
    """
    best = 0.0
    for _ in range(TRIES):
        best = max(best, count(20_000))
        if best >= SLOW / 10:
            return max(count(2_000_000), count(2_000_000))
    return best


def count(rounds: int) -> float:
    loop, memory = Loop(), Memory(1 << 16)
    machine = Machine(memory, 1, loop, irqchip=False)
    try:
        vcpu = machine.vcpus[0]
        memory.write(ENTRY, LOOP % rounds.to_bytes(4, "little"))
        sregs, regs = vcpu.get_sregs(), vcpu.get_regs()
        sregs.cs.base = sregs.cs.selector = 0
        regs.rip, regs.rflags = ENTRY, 2
        vcpu.set_sregs(sregs)
        vcpu.set_regs(regs)
        began = thread_time()
        end = exits.next_exit(vcpu, memory)
        passed = thread_time() - began
        if not isinstance(end, exits.Hlt):
            raise OSError(EOPNOTSUPP, end.describe(), "KVM_RUN")
        return 2 * rounds / passed / 1e6
    finally:
        machine.close()
        memory.close()
        loop.close()


def explain(error: OSError) -> MinirunError:
    """What the failure of an ioctl, or of /dev/kvm itself, means, and what to do."""
    name = getattr(error, "filename", None) or "/dev/kvm"
    what = f"cannot open {name}" if str(name).startswith("/") else f"cannot use KVM ({name})"
    return MinirunError(what, reason=error.strerror or str(error), hint=HINTS.get(error.errno or 0, ""))
