/*
 * A vCPU in user mode before its first instruction (Intel SDM volume 3, chapters 2 and 9): what processor.py decides, set in
 * one go.  Done once for each process of the program's, so that it is part of what fork(2) costs.
 */
#include "vm.h"

#include "sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
    return (struct kvm_segment){.limit = ~0u,
                                .selector = selector,
                                .type = type,
                                .present = 1,
                                .dpl = 3,
                                .s = 1,
                                .g = 1,
                                .db = type == 3,
                                .l = type != 3};
}

static int set_msrs(struct guest *guest, const struct start *start)
{
    _Alignas(struct kvm_msrs) char room[sizeof(struct kvm_msrs) + 3 * sizeof(struct kvm_msr_entry)] = {0};
    struct kvm_msrs *msrs = (struct kvm_msrs *)(void *)room;
    msrs->nmsrs = 3;
    msrs->entries[0] = (struct kvm_msr_entry){.index = 0xC0000081, .data = start->star};
    msrs->entries[1] = (struct kvm_msr_entry){.index = 0xC0000082, .data = start->lstar};
    msrs->entries[2] = (struct kvm_msr_entry){.index = 0xC0000084, .data = start->fmask};
    return ioctl(guest->fd, KVM_SET_MSRS, msrs) == 3 ? 0 : -1;
}

/* `cpuid`: struct kvm_cpuid2, or NULL if the vCPU has it already.  0, or -1 with errno. */
int guest_begin(struct guest *guest, void *cpuid, const struct start *start)
{
    struct kvm_sregs *sregs = guest_sregs(guest);
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = start->xcr0}}};
    if (cpuid && ioctl(guest->fd, KVM_SET_CPUID2, cpuid) < 0)
        return -1;
    if (ioctl(guest->fd, KVM_GET_SREGS, sregs) < 0)
        return -1;
    sregs->cr0 = start->cr0;
    sregs->cr3 = start->root;
    sregs->cr4 = start->cr4;
    sregs->efer = start->efer;
    sregs->cs = flat(0x33, 11);
    sregs->ss = flat(0x2b, 3);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = flat(0, 3);
    sregs->tr = (struct kvm_segment){
        .base = start->state, .limit = start->state_limit, .selector = 0x40, .type = 11, .present = 1};
    sregs->gdt = (struct kvm_dtable){.base = start->gdt, .limit = start->gdt_limit};
    sregs->idt = (struct kvm_dtable){.base = start->idt, .limit = start->idt_limit};
    if (ioctl(guest->fd, KVM_SET_SREGS, sregs) < 0 || ioctl(guest->fd, KVM_SET_XCRS, &xcrs) < 0)
        return -1;
    return set_msrs(guest, start);
}

/* The registers of a program that begins; `xsave` as the vCPU had it before the first one. */
int guest_start(struct guest *guest, uint64_t entry, uint64_t stack, const void *xsave)
{
    struct kvm_regs *regs = guest_regs(guest);
    memset(regs, 0, sizeof *regs);
    regs->rip = entry;
    regs->rsp = stack;
    regs->rflags = 0x202;
    guest_sregs(guest)->fs.base = guest_sregs(guest)->gs.base = 0;
    guest_dirty(guest);
    return ioctl(guest->fd, KVM_SET_XSAVE, xsave);
}

static int own_vm(struct guest *guest, const struct again *again)
{
    int vm;
    do
        vm = ioctl(again->kvm, KVM_CREATE_VM, 0ul);
    while (vm < 0 && errno == EINTR);
    if (vm < 0 || (guest->fd = ioctl(vm, KVM_CREATE_VCPU, 0ul)) < 0)
        return -1;
    for (unsigned i = 0; i < again->count; i++) {
        uint64_t at = again->slots[i] * again->slot_size;
        struct kvm_userspace_memory_region region = {.slot = again->slots[i],
                                                     .guest_phys_addr = at,
                                                     .memory_size = again->slot_size,
                                                     .userspace_addr =
                                                         (uint64_t)(uintptr_t)guest->space->base + at};
        if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
            return -1;
    }
    return vm;
}

/*
 * After fork(2), in the child: our memory is a copy, and the VM is still the parent's.  A new one around the copy, with the
 * vCPU as it was; kvm_run is where the parent's was, so that pointers into it stay.  Returns the VM's descriptor, or -1.
 *
 * In C because each object of Python's that is touched here is a page that is copied.
 */
int guest_again(struct guest *guest, const struct again *again)
{
    close(guest->fd);
    close(again->vm);
    int vm = own_vm(guest, again);
    if (vm < 0)
        return -1;
    if (mmap(guest->run, guest->run_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, guest->fd, 0) ==
        MAP_FAILED)
        return -1;
    guest->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    if (guest_begin(guest, again->cpuid, again->start) < 0 || ioctl(guest->fd, KVM_SET_XSAVE, again->xsave) < 0)
        return -1;
    memcpy(guest_regs(guest), again->regs, sizeof(struct kvm_regs));
    guest_sregs(guest)->fs.base = again->fs;
    guest_sregs(guest)->gs.base = again->gs;
    guest->pending = 0;
    guest->level0 = 0;
    guest_dirty(guest);
    return vm;
}
