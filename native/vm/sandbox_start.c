/*
 * A vCPU in user mode before its first instruction (Intel SDM volume 3, chapters 2 and 9): what processor.py decides, set in
 * one go.  Done once for each process of the program's, so that it is part of what fork(2) costs.
 */
#include "vm.h"

#include "sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

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

/* `cpuid`: struct kvm_cpuid2.  0, or -1 with errno. */
int guest_begin(struct guest *guest, void *cpuid, const struct start *start)
{
    struct kvm_sregs *sregs = guest_sregs(guest);
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = start->xcr0}}};
    if (ioctl(guest->fd, KVM_SET_CPUID2, cpuid) < 0 || ioctl(guest->fd, KVM_GET_SREGS, sregs) < 0)
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
