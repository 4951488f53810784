#define _GNU_SOURCE
#include "balloon.h"

#include <fcntl.h>
#include <linux/falloc.h>

#define PAGE 4096ull

static uint64_t punch(int memfd, uint64_t offset, uint64_t length)
{
    if (!length || fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) < 0)
        return 0;
    return length;
}

uint64_t balloon_pages(const struct guest_memory *memory, int memfd, const uint32_t *pages, size_t count)
{
    uint64_t done = 0, start = 0, length = 0; /* Linux names pages downwards or upwards, one after the other */
    for (size_t i = 0; i < count; i++) {
        const uint8_t *host = guest_range(memory, pages[i] * PAGE, PAGE);
        if (!host)
            continue;
        uint64_t offset = (uint64_t)(host - memory->host);
        if (length && offset == start + length) {
            length += PAGE;
        } else if (length && offset + PAGE == start) {
            start = offset;
            length += PAGE;
        } else {
            done += punch(memfd, start, length);
            start = offset;
            length = PAGE;
        }
    }
    return done + punch(memfd, start, length);
}

uint64_t balloon_buffers(const struct guest_memory *memory, int memfd, const struct virtq_chain *chain)
{
    uint64_t done = 0;
    for (int i = chain->readable; i < chain->readable + chain->writable; i++) {
        uint64_t offset = (uint64_t)((uint8_t *)chain->iov[i].iov_base - memory->host);
        uint64_t end = (offset + chain->iov[i].iov_len) & -PAGE;
        offset = (offset + PAGE - 1) & -PAGE;
        if (offset < end)
            done += punch(memfd, offset, end - offset);
    }
    return done;
}
