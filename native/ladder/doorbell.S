/*
 * How a virtio device and its driver talk, without the queues: the guest rings a doorbell, the device interrupts.
 *
 * The doorbell is port 0x70, which KVM turns into a write to an eventfd (KVM_IOEVENTFD): the processor stays in the
 * guest.  The interrupt is an eventfd, too (KVM_IRQFD): the VMM's loop writes to it, and KVM raises line 5.  Three rounds;
 * the only exit of this guest to the VMM is the last `out`.
 */
.intel_syntax noprefix
.code16
start:
    cli
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x8000
    mov word ptr [0x25 * 4], offset answer
    mov word ptr [0x25 * 4 + 2], 0
    mov al, 0x11             /* the 8259 as in interrupts.S */
    out 0x20, al
    mov al, 0x20
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xdf             /* all lines masked but 5 */
    out 0x21, al
    xor ebx, ebx
ring:
    mov ecx, ebx
    out 0x70, al             /* ding */
wait:
    sti
    hlt                      /* sti works after the next instruction: no interrupt is lost between the two */
    cli
    cmp ebx, ecx
    je wait
    cmp ebx, 3
    jb ring
    imul eax, ebx, 14
    out 0xf4, eax
answer:
    inc ebx
    mov al, 0x20
    out 0x20, al
    iret
