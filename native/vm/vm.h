/*
 * The native half of the VMM: what may not cross into Python at every exit or every request.
 *
 *   memory.c   guest memory: the only place where a guest's address becomes a pointer
 *   confine.c  what the VMM gives up before its guest runs
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

/* confine.c: minirun/vm/confine.py says in which order. */
int confine_unshare(uint64_t flags);
int confine_empty_root(void);
int confine_rights(uint64_t kept);
int confine_filter(const void *program, unsigned count);
int confine_name(const char *name);

#endif
