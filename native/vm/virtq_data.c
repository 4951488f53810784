/* The bytes of a chain: pieces of it, copies, and straight between it and a file. */
#include "virtq.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int virtq_slice(const struct virtq_chain *chain, bool writable, uint64_t offset, uint64_t length,
                struct iovec *out, int most)
{
    const struct iovec *piece = chain->iov + (writable ? chain->readable : 0);
    const struct iovec *end = piece + (writable ? chain->writable : chain->readable);
    int count = 0;
    for (; piece < end && length && count < most; piece++) {
        if (offset >= piece->iov_len) {
            offset -= piece->iov_len;
            continue;
        }
        size_t size = piece->iov_len - offset < length ? piece->iov_len - offset : length;
        out[count++] = (struct iovec){.iov_base = (uint8_t *)piece->iov_base + offset, .iov_len = size};
        length -= size;
        offset = 0;
    }
    return count;
}

static size_t copy(const struct virtq_chain *chain, bool writable, uint64_t offset, uint8_t *ours, size_t length)
{
    struct iovec pieces[64];
    size_t done = 0;
    int count;
    while (done < length && (count = virtq_slice(chain, writable, offset + done, length - done, pieces, 64)))
        for (int i = 0; i < count; i++) {
            memcpy(writable ? pieces[i].iov_base : ours + done, writable ? ours + done : pieces[i].iov_base,
                   pieces[i].iov_len);
            done += pieces[i].iov_len;
        }
    return done;
}

size_t virtq_copy_from(const struct virtq_chain *chain, uint64_t offset, void *to, size_t length)
{
    return copy(chain, false, offset, to, length);
}

size_t virtq_copy_to(const struct virtq_chain *chain, uint64_t offset, const void *from, size_t length)
{
    return copy(chain, true, offset, (uint8_t *)from, length);
}

static long transfer(const struct virtq_chain *chain, bool reading, uint64_t offset, uint64_t length, int fd,
                     int64_t position)
{
    struct iovec pieces[VIRTQ_MOST]; /* IOV_MAX is as many */
    int count = virtq_slice(chain, reading, offset, length, pieces, VIRTQ_MOST);
    long done;
    do {
        if (position < 0)
            done = reading ? readv(fd, pieces, count) : writev(fd, pieces, count);
        else
            done = reading ? preadv(fd, pieces, count, position) : pwritev(fd, pieces, count, position);
    } while (done < 0 && errno == EINTR);
    return done;
}

long virtq_read_file(const struct virtq_chain *chain, uint64_t offset, uint64_t length, int fd, int64_t position)
{
    return transfer(chain, true, offset, length, fd, position);
}

long virtq_write_file(const struct virtq_chain *chain, uint64_t offset, uint64_t length, int fd, int64_t position)
{
    return transfer(chain, false, offset, length, fd, position);
}
