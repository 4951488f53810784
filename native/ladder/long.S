/*
 * Long mode: registers and addresses of 64 bits.  With the tables of paging.S in force, one far jump is left, into a
 * code segment whose bit L is set.
 *
 * The proof: a number that 32 bits cannot hold goes through memory and comes back.
 */
#include "steps.inc"
.intel_syntax noprefix
.code16
start:
    to_protected
    to_paging
    ljmp 48, offset long_mode
.code64
long_mode:
    movabs r8, 0x2a00000000          /* 42 << 32 */
    mov [0x500], r8
    mov rax, [0x500]
    shr rax, 32
    out 0xf4, eax
    descriptors
