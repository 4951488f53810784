/* Guest memory given back to the host: holes in the memfd.  The guest reads zeroes there, and gets new pages. */
#ifndef MINIRUN_BALLOON_H
#define MINIRUN_BALLOON_H

#include "virtq.h"

/* Pages by their number; those that are not memory are passed over.  How many bytes were given back. */
uint64_t balloon_pages(const struct guest_memory *memory, int memfd, const uint32_t *pages, size_t count);
/* The whole pages in the writable buffers of a chain (free page reporting). */
uint64_t balloon_buffers(const struct guest_memory *memory, int memfd, const struct virtq_chain *chain);

#endif
