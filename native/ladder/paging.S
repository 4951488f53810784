/*
 * Paging: an address is looked up once more, page by page, in tables that lie in memory themselves.
 *
 * Four levels of 512 entries of 8 bytes; an entry names the next table, or, on level 2 with the bit 0x80, 2 MiB of memory.
 * 3 is "present, writable".  Entries 0 and 1 of level 3 (1 GiB each) name the same table, so what is written at
 * 0x40000500 is read at 0x500: the proof that the tables work.
 *
 * The processor wants this order (Intel SDM volume 3, 10.8.5): cr4.PAE, cr3, EFER.LME, cr0.PG.  The code is still of
 * 32 bits, for cs says so.  (There are older forms of two and three levels, without LME.  KVM of the emulated kind has
 * none of them.)
 */
#include "steps.inc"
.intel_syntax noprefix
.code16
start:
    to_protected
    mov dword ptr [0x2000], 0x3003   /* level 4, entry 0: level 3 is at 0x3000 */
    mov dword ptr [0x3000], 0x4003   /* level 3, entry 0: level 2 is at 0x4000 */
    mov dword ptr [0x3008], 0x4003   /* level 3, entry 1: there, too */
    mov dword ptr [0x4000], 0x83     /* level 2, entry 0: the first 2 MiB of memory */
    mov eax, cr4
    or eax, 0x20                     /* PAE: entries of 8 bytes */
    mov cr4, eax
    mov eax, 0x2000
    mov cr3, eax                     /* level 4 is here */
    mov ecx, 0xc0000080              /* the model-specific register EFER */
    rdmsr
    or eax, 0x100                    /* LME: four levels */
    wrmsr
    mov eax, cr0
    or eax, 0x80000000               /* PG: from the next instruction on, every address is looked up */
    mov cr0, eax
    mov dword ptr [0x40000500], 42
    mov eax, [0x500]
    out 0xf4, eax
    descriptors
