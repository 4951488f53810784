"""kvm(4) through our types: what is read is what was set, what fails says which ioctl; what is missing is named."""

from __future__ import annotations

import errno
import posix

import pytest

from minirun.linux import kvm
from minirun.linux.kvm import Kvm, lib
from tests.vm.hand import HLT, machine, run

pytestmark = [pytest.mark.needs("kvm")]

TSC, APIC_BASE, SYSENTER_CS, LSTAR = 0x10, 0x1B, 0x174, 0xC0000082


def test_everything_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """S390_PSW is what no x86 has."""
    monkeypatch.setattr(kvm, "NEEDED", (*kvm.NEEDED, "S390_PSW"))
    with pytest.raises(OSError, match="this KVM lacks KVM_CAP_S390_PSW") as caught:
        Kvm()
    assert (caught.value.errno, caught.value.filename) == (errno.EOPNOTSUPP, "/dev/kvm")


def test_another_device_is_not_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "DEVICE", "/dev/null")
    before = len(posix.listdir("/proc/self/fd"))
    with pytest.raises(OSError) as caught:
        Kvm()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOTTY, "KVM_GET_API_VERSION")
    assert len(posix.listdir("/proc/self/fd")) == before


def test_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "DEVICE", "/dev/no-kvm")
    with pytest.raises(FileNotFoundError, match="/dev/no-kvm"):
        Kvm()


def test_registers_come_back() -> None:
    with machine(HLT) as made:
        vcpu = made.vcpus[0]
        regs = vcpu.get_regs()
        regs.r15, regs.rsp = 0x1234567890, 0x7000
        vcpu.set_regs(regs)
        assert (vcpu.get_regs().r15, vcpu.get_regs().rsp) == (0x1234567890, 0x7000)
        sregs = vcpu.get_sregs()
        sregs.gdt.base, sregs.gdt.limit, sregs.fs.base = 0x5000, 0x37, 0x9000
        vcpu.set_sregs(sregs)
        again = vcpu.get_sregs()
        assert (again.gdt.base, again.gdt.limit, again.fs.base) == (0x5000, 0x37, 0x9000)
        fpu = vcpu.get_fpu()
        fpu.fcw = 0x27F
        vcpu.set_fpu(fpu)
        assert vcpu.get_fpu().fcw == 0x27F
        vcpu.set_msrs({SYSENTER_CS: 8, LSTAR: 0x1000})
        assert vcpu.get_msrs([SYSENTER_CS, LSTAR]) == {SYSENTER_CS: 8, LSTAR: 0x1000}


def test_a_refused_msr_is_named() -> None:
    with machine(HLT) as made, pytest.raises(OSError, match="MSR 0x12345678 is not to be set") as caught:
        made.vcpus[0].set_msrs({SYSENTER_CS: 8, 0x12345678: 1})
    assert caught.value.filename == "KVM_SET_MSRS"


def test_cpuid_comes_back() -> None:
    """A leaf of ours among the others."""
    with machine(HLT) as made:
        leaf = (0x40000100, 0, 0, 1, 2, 3, 4)
        made.vcpus[0].set_cpuid2([*made.kvm.get_supported_cpuid(), leaf])
        assert leaf in made.vcpus[0].get_cpuid2()


def test_what_a_snapshot_needs() -> None:
    with machine(HLT, irqchip=True) as made:
        assert SYSENTER_CS in made.kvm.get_msr_index_list()
        assert made.vcpus[0].get_msrs([APIC_BASE])[APIC_BASE] & 0xFFFFF000 == 0xFEE00000
        lapic = made.vcpus[0].get_lapic()
        made.vcpus[0].set_lapic(lapic)
        clock = made.vm.get_clock()
        clock.flags = 0
        clock.clock = 5_000_000_000
        made.vm.set_clock(clock)
        assert 5_000_000_000 <= made.vm.get_clock().clock < 65_000_000_000
        xcrs = made.vcpus[0].get_xcrs()
        made.vcpus[0].set_xcrs(xcrs)
        assert made.vcpus[0].get_mp_state() == lib.KVM_MP_STATE_RUNNABLE


def test_the_others_wait_to_be_started() -> None:
    with machine(HLT, vcpus=2, irqchip=True) as made:
        assert made.vcpus[1].get_mp_state() == lib.KVM_MP_STATE_UNINITIALIZED
        made.vcpus[1].set_mp_state(lib.KVM_MP_STATE_RUNNABLE)
        assert made.vcpus[1].get_mp_state() == lib.KVM_MP_STATE_RUNNABLE


def test_addresses_without_paging_are_themselves() -> None:
    with machine(HLT) as made:
        assert made.vcpus[0].translate(0x1234) == 0x1234


def test_eventfds_are_taken_away_again() -> None:
    with machine(HLT, irqchip=True) as made:
        fd = posix.eventfd(0, posix.EFD_CLOEXEC)
        for _ in range(2):
            made.vm.ioeventfd(fd, 0xD0000050, 4, datamatch=3)
            with pytest.raises(FileExistsError, match="KVM_IOEVENTFD"):
                made.vm.ioeventfd(fd, 0xD0000050, 4, datamatch=3)
            made.vm.ioeventfd(fd, 0xD0000050, 4, datamatch=3, deassign=True)
            made.vm.irqfd(fd, 5)
            made.vm.irqfd(fd, 5, deassign=True)
        posix.close(fd)


def test_a_slot_twice_is_refused() -> None:
    with machine(HLT) as made, pytest.raises(FileExistsError, match="KVM_SET_USER_MEMORY_REGION"):
        host = int(kvm.ffi.cast("uintptr_t", made.memory.native.host))
        made.vm.set_user_memory_region(7, 0, 4096, host)


def test_dirty_pages() -> None:
    """A superset is allowed: KVM may be nested."""
    with machine(b"\xbb\x00\x50\x2e\xc7\x07\x2a\x00" + HLT) as made:  # mov bx, 0x5000; mov word cs:[bx], 42; hlt
        host = int(kvm.ffi.cast("uintptr_t", made.memory.native.host))
        made.vm.set_user_memory_region(0, 0, 0, host)
        made.vm.set_user_memory_region(0, 0, made.memory.size, host, flags=lib.KVM_MEM_LOG_DIRTY_PAGES)
        run(made)
        log = made.vm.get_dirty_log(0, made.memory.size // 4096)
        assert log[0] & 1 << 5
        assert made.memory.read(0x5000, 2) == b"\x2a\0"
