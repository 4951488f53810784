/*
 * The native half of the VMM: what may not cross into Python at every exit or every request.
 *
 *   memory.c   guest memory: the only place where a guest's address becomes a pointer
 *   lz4.c      a kernel's packing that Python does not know
 *
 * Beside each file lies its .cdef: the declarations that Python sees (native/build.py joins them).
 */
#ifndef MINIRUN_VM_H
#define MINIRUN_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Guest memory in one mapping: [0, low) at the bottom, and [4 GiB, 4 GiB + high) right behind it in the mapping. */
struct guest_memory {
    uint8_t *host;
    uint64_t low, high;
};

#define GUEST_HIGH (4ull << 30)

/* NULL unless all of [address, address + length) is memory, in one region. */
void *guest_range(const struct guest_memory *memory, uint64_t address, uint64_t length);

long lz4_block(const uint8_t *source, size_t length, uint8_t *target, size_t room);

#endif
