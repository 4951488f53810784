/*
 * User mode: privilege level 3.  A program may not touch ports, tables or `hlt`; it faults, and the fault enters the
 * kernel at the address that the IDT names, on the stack that the task state segment names.
 *
 * We go down with `sysexit` (level 3 code and data are the descriptors after those in SYSENTER_CS) and come back by a
 * forbidden `hlt`: a general protection fault, number 13.  The saved cs on the stack tells which level it came from.
 */
#include "steps.inc"
.intel_syntax noprefix
.code16
start:
    to_protected
    mov dword ptr [task_state + 4], 0x8000  /* esp for level 0 */
    mov dword ptr [task_state + 8], 16      /* ss for level 0 */
    mov ax, 40
    ltr ax
    mov word ptr [0x700 + 13 * 8], offset fault  /* the IDT is at 0x700; its entry 13: */
    mov word ptr [0x700 + 13 * 8 + 2], 8         /* kernel's code, */
    mov word ptr [0x700 + 13 * 8 + 4], 0x8e00    /* present, an interrupt gate of 32 bits */
    lidt [idt_register]
    mov ecx, 0x174                          /* SYSENTER_CS = 8: level 3 gets 8 + 16 and 8 + 24 */
    xor edx, edx
    mov eax, 8
    wrmsr
    mov edx, offset program                 /* sysexit: to edx, with ecx as its stack */
    mov ecx, 0x9000
    sysexit
program:
    mov ebx, 39
    hlt                                     /* not allowed here */
fault:
    mov eax, [esp + 8]                      /* error code, eip, cs */
    and eax, 3                              /* the level: 3 */
    add eax, ebx
    out 0xf4, eax
idt_register:
    .word 14 * 8 - 1
    .long 0x700
    descriptors
