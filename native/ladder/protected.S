/*
 * Protected mode: what a segment register means is looked up in a table, the GDT, with base, limit and rights.
 *
 * Three steps: say where the table is, set the bit PE of cr0, and jump far, because only a load of cs makes the
 * processor decode 32-bit code.  The proof: 0x200000 is above the first MiB, where real mode does not reach.
 */
#include "steps.inc"
.intel_syntax noprefix
.code16
start:
    cli                        /* no interrupt now: there is no table for it */
    xor ax, ax
    mov ds, ax
    lgdt [gdt_register]
    mov eax, cr0
    or eax, 1                  /* PE */
    mov cr0, eax
    ljmp 8, offset protected   /* cs = descriptor 8 */
.code32
protected:
    mov ax, 16
    mov ds, ax
    mov dword ptr [0x200000], 42
    mov eax, [0x200000]
    out 0xf4, eax
    descriptors
