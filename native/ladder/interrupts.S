/*
 * Interrupts: a timer (the 8254), an interrupt controller (the 8259), and a table of handlers, which in real mode is
 * at 0, four bytes each: offset, segment.  All of it is KVM's own (KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2): `hlt` does not
 * leave the guest any more, and nor do the ports of the two chips.
 *
 * The timer ticks a thousand times a second; three ticks are enough.
 */
.intel_syntax noprefix
.code16
start:
    cli
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x8000
    mov word ptr [0x20 * 4], offset tick
    mov word ptr [0x20 * 4 + 2], 0
    mov al, 0x11             /* 8259: four bytes of set-up follow; */
    out 0x20, al
    mov al, 0x20             /* line 0 is interrupt 0x20, */
    out 0x21, al
    mov al, 4                /* a second controller is on line 2, */
    out 0x21, al
    mov al, 1                /* of an 8086. */
    out 0x21, al
    mov al, 0xfe             /* all lines masked but 0 */
    out 0x21, al
    mov al, 0x34             /* 8254: channel 0, low byte then high byte, again and again, */
    out 0x43, al
    mov al, 0xa9             /* 1193 of 1193182 Hz */
    out 0x40, al
    mov al, 0x04
    out 0x40, al
    xor ebx, ebx
    sti
wait:
    hlt                      /* until an interrupt comes */
    cmp ebx, 3
    jb wait
    imul eax, ebx, 14
    out 0xf4, eax
tick:
    inc ebx
    mov al, 0x20             /* end of interrupt: the next may come */
    out 0x20, al
    iret
