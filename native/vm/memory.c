#include "vm.h"

void *guest_range(const struct guest_memory *memory, uint64_t address, uint64_t length)
{
    uint64_t size = memory->low, offset = address;
    uint8_t *host = memory->host;
    if (address >= GUEST_HIGH) {
        size = memory->high;
        offset = address - GUEST_HIGH;
        host += memory->low;
    }
    if (length > size || offset > size - length)
        return NULL;
    return host + offset;
}
