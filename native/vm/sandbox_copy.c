/*
 * The program's memory as seen from here: where it is reserved, and bytes to and from it (sandbox.h).
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#define LOWEST_BASE (1ull << 40)
#define GIB (1ull << 30)
#define PLACES                                                                                                    \
    32768 /* times 1 GiB: up to 33 TiB, below where any layout of a process puts what mmap(2) may choose */
#define ATTEMPTS 16

/*
 * Address space for the program, at a place where nobody else's mmap(2) ever goes: the kernel searches from the stack
 * downwards, or from a third of the address space upwards.  So a hole that is there for a moment, while mremap(2) moves
 * pages, is never filled by memory of ours, which the program would find as its own.
 */
int64_t sandbox_reserve(uint64_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint32_t number;
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            return -errno;
        uintptr_t at = LOWEST_BASE + number % PLACES * GIB;
        void *got = mmap((void *)at, size, PROT_NONE, flags, -1, 0); // NOLINT(performance-no-int-to-ptr)
        if (got == (void *)at)                                       // NOLINT(performance-no-int-to-ptr)
            return (int64_t)at;
        if (got != MAP_FAILED)
            munmap(got, size);
    }
    return -ENOMEM;
}

/*
 * Between our `own` and the host's address `at` of the program's; how many bytes, or -errno.  By a call of the kernel's: what
 * is not mapped is an error, not a signal; and the vectors are on this thread's stack, where no other can change them.
 */
int64_t sandbox_copy(int out, void *own, uint64_t at, uint64_t size)
{
    struct iovec ours = {own, size};
    struct iovec theirs = {(void *)(uintptr_t)at, size}; // NOLINT(performance-no-int-to-ptr)
    ssize_t done = out ? process_vm_writev(getpid(), &ours, 1, &theirs, 1, 0)
                       : process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0);
    return done < 0 ? -errno : done;
}
