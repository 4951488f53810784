/*
 * A system call of the host's that may wait, for a program that has signals to handle.
 *
 * A signal that arrives between the last look at `pending` and the call would be handled only after the call, which may wait
 * for ever.  So the look and the call are a few instructions apart, and whoever catches a signal between them has the
 * call begun anew, after the program's handler: as if the signal had come before it.
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <stddef.h>
#include <ucontext.h>

long sandbox_enter(const volatile uint64_t *pending, long number, const long *arguments);
extern const char sandbox_enter_looks[], sandbox_enter_calls[], sandbox_enter_not[];

__asm__(".text\n"
        ".globl sandbox_enter, sandbox_enter_looks, sandbox_enter_calls, sandbox_enter_not\n"
        ".hidden sandbox_enter, sandbox_enter_looks, sandbox_enter_calls, sandbox_enter_not\n"
        ".type sandbox_enter, @function\n"
        "sandbox_enter:\n"
        "    mov %rdi, %rcx\n"
        "    mov %rsi, %rax\n"
        "    mov %rdx, %r11\n"
        "    mov 0(%r11), %rdi\n"
        "    mov 8(%r11), %rsi\n"
        "    mov 16(%r11), %rdx\n"
        "    mov 24(%r11), %r10\n"
        "    mov 32(%r11), %r8\n"
        "    mov 40(%r11), %r9\n"
        "sandbox_enter_looks:\n"
        "    cmpq $0, (%rcx)\n"
        "    jne sandbox_enter_not\n"
        "    syscall\n"
        "sandbox_enter_calls:\n"
        "    ret\n"
        "sandbox_enter_not:\n"
        "    mov $-516, %rax\n" /* -GUEST_AGAIN */
        "    ret\n"
        ".size sandbox_enter, . - sandbox_enter\n");

/* In a signal's handler: the call was not made yet, and is not. */
void guest_interrupted(void *context)
{
    greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    uintptr_t at = (uintptr_t)*rip;
    if (at >= (uintptr_t)sandbox_enter_looks && at < (uintptr_t)sandbox_enter_calls)
        *rip = (greg_t)(uintptr_t)sandbox_enter_not;
}

/* -GUEST_AGAIN if a signal is to be handled first. */
long guest_call(struct guest *guest, long number, long a, long b, long c, long d, long e, long f)
{
    const long arguments[6] = {a, b, c, d, e, f};
    return sandbox_enter(&guest->pending, number, arguments);
}
