/*
 * The oldest way to talk to a device: a port.  `out` is not carried out by the processor; it leaves the guest
 * (KVM_EXIT_IO) with the port, the size and the value, and the VMM decides what it means.
 *
 * Port 0xe9 prints a character (as in Bochs and QEMU); a word on port 0xf4 ends the machine: 42 says "it worked".
 * Every later rung ends this way.
 */
.intel_syntax noprefix
.code16
start:
    mov al, 'A'
    out 0xe9, al
    mov eax, 42
    out 0xf4, eax
