"""The doctor's part about VMs: KVM is there, allowed, and of hardware or emulated, which is tried by counting."""

from __future__ import annotations

import os

from minirun.cli.doctor import LIMITED, OK, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

EMULATED = (
    "a machine whose processor shows vmx or svm (in a virtual one: nested virtualization), or the lab (make demo-lab): "
    "Linux needs it (--isolation vm); small guests and --isolation sandbox do not"
)


def machines() -> Iterator[Finding]:
    """Nothing here is missing for a container."""
    from minirun.vm import probe

    found = probe.look(measure=True)
    if found.error is not None:
        error = probe.explain(found.error)
        why = "not there" if found.error.errno == probe.ENOENT else error.headline()
        yield Finding(
            name="/dev/kvm", status=LIMITED, found=why, hint=f"only micro-VMs and sandboxes need it: {error.hint}"
        )
        return
    yield Finding(name="/dev/kvm", status=OK, found="there and allowed, with every capability that minirun needs")
    rate = f"a guest's kernel mode runs {found.rate:,.1f} million instructions a second"
    if found.kind == probe.EMULATED:
        yield Finding(name="KVM", status=LIMITED, found=f"emulated: {rate}", hint=EMULATED)
    else:
        yield Finding(name="KVM", status=OK, found=f"of hardware: {rate}")
    yield guest_kernel()
    tun = os.access("/dev/net/tun", os.R_OK | os.W_OK)
    hint = "" if tun else "only a micro-VM with a network needs it: modprobe tun, and rights on the device"
    yield Finding(
        name="/dev/net/tun", status=OK if tun else LIMITED, found="there" if tun else "not to be had", hint=hint
    )


def guest_kernel() -> Finding:
    """What a machine boots that names no kernel."""
    from minirun.errors import MinirunError
    from minirun.vm import kernel

    try:
        found = kernel.find()
    except MinirunError as error:
        hint = f"only micro-VMs need it: {error.hint}"
        return Finding(name="guest kernel", status=LIMITED, found=error.headline(), hint=hint)
    return Finding(name="guest kernel", status=OK, found=f"{found.image} ({found.why})")
