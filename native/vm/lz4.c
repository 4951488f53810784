/*
 * One block of LZ4 (lz4_Block_format.md): sequences of literals and a copy from what was written already.
 *
 *   token   high half: number of literals, low half: length of the copy less 4; 15 means that more bytes follow
 *   literals, then a 16-bit distance; the last sequence has literals only
 *
 * Debian's cloud kernel is packed so, and Python has no LZ4.
 */
#include "vm.h"

#include <string.h>

#define SHORTEST_COPY 4

/* A length's further bytes: each 255 says that there is another.  False at the end of the input. */
static bool more(const uint8_t **in, const uint8_t *end, size_t *length)
{
    if (*length != 15)
        return true;
    uint8_t byte;
    do {
        if (*in == end)
            return false;
        byte = *(*in)++;
        *length += byte;
    } while (byte == 255);
    return true;
}

/* The number of bytes written into target, or -1 if the block is broken or does not fit. */
long lz4_block(const uint8_t *source, size_t length, uint8_t *target, size_t room)
{
    const uint8_t *in = source, *end = source + length;
    uint8_t *out = target, *limit = target + room;
    while (in < end) {
        uint8_t token = *in++;
        size_t literals = token >> 4, copy = token & 15;
        if (!more(&in, end, &literals) || literals > (size_t)(end - in) || literals > (size_t)(limit - out))
            return -1;
        memcpy(out, in, literals);
        in += literals, out += literals;
        if (in == end)
            return out - target;
        if (end - in < 2)
            return -1;
        size_t distance = in[0] | (size_t)in[1] << 8;
        in += 2;
        if (!more(&in, end, &copy))
            return -1;
        copy += SHORTEST_COPY;
        if (distance == 0 || distance > (size_t)(out - target) || copy > (size_t)(limit - out))
            return -1;
        if (distance >= copy) {
            memcpy(out, out - distance, copy);
            out += copy;
        } else {
            while (copy--) /* the copy overlaps its source: that is how a run is written */
                *out = out[-(long)distance], out++;
        }
    }
    return -1;
}
