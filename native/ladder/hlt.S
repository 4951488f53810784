/*
 * A processor starts in real mode: 16-bit code, addresses are segment * 16 + offset, no protection at all.
 * The VMM has put these bytes at 0x1000 and set cs = 0, ip = 0x1000.  That is a whole machine.
 *
 * `hlt` waits for an interrupt.  This machine has no interrupt controller, so nothing can ever come: KVM gives the
 * processor back to the VMM with KVM_EXIT_HLT, and the VMM reads 42 from its registers.
 */
.intel_syntax noprefix
.code16
start:
    mov eax, 42
    hlt
