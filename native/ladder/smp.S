/*
 * Two processors.  Only the first one starts; the other waits until it is told where, by two messages that the first
 * one's local APIC sends: INIT, then SIPI with a page number.  It starts there in real mode, as every processor does.
 *
 * The local APIC's registers are memory at 0xfee00000, each 16 bytes from the next (Intel SDM volume 3, 11.4.1).
 */
#include "steps.inc"
.intel_syntax noprefix
.code16
start:
    to_protected
    mov dword ptr [0xfee000f0], 0x1ff   /* spurious interrupt register: the APIC is on */
    mov dword ptr [0xfee00310], 1 << 24 /* to the processor whose APIC has number 1: */
    mov dword ptr [0xfee00300], 0x4500  /* INIT */
    mov dword ptr [0xfee00310], 1 << 24
    mov dword ptr [0xfee00300], 0x4602  /* SIPI: start at page 2 */
wait:
    pause
    cmp dword ptr [0x500], 0            /* written by the other one */
    je wait
    mov eax, [0x500]
    out 0xf4, eax
    descriptors
.org 0x1000                             /* page 2: we begin at page 1 */
.code16
second:
    xor ax, ax
    mov ds, ax
    mov dword ptr [0x500], 42
rest:
    hlt
    jmp rest
