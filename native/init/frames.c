/*
 * The two buffers of the channel.  Frames are put together where they will be written from, and looked at where they
 * were read to.  Callers ask for room first (frames_room): there is always enough for what they then say.
 */
#include "agent.h"

void copy_bytes(void *to, const void *from, size_t length)
{
    char *t = to;
    const char *f = from;
#if defined(__x86_64__) && defined(MINIRUN_FREESTANDING)
    __asm__ volatile("rep movsb" : "+D"(t), "+S"(f), "+c"(length) : : "memory");
#else
    while (length--)
        *t++ = *f++;
#endif
}

uint32_t frames_room(const struct agent *a) { return OUTBOX - (a->out_end - a->out_first); }

/* Where the payload of a new frame goes, `most` bytes in one piece. */
char *frame_begin(struct agent *a, unsigned kind, unsigned stream, uint32_t most)
{
    struct frame_header *header;
    if (a->out_end + sizeof *header + most > OUTBOX) {
        copy_bytes(a->out, a->out + a->out_first, a->out_end - a->out_first); /* downwards: overlap does no harm */
        a->out_end -= a->out_first;
        a->out_first = 0;
    }
    struct frame_header filled = {0, (uint16_t)kind, (uint16_t)stream};
    copy_bytes(a->out + a->out_end, &filled, sizeof filled);
    return a->out + a->out_end + sizeof filled;
}

/* So much has been put there. */
void frame_end(struct agent *a, uint32_t length)
{
    copy_bytes(a->out + a->out_end, &length, sizeof length);
    a->out_end += (uint32_t)sizeof(struct frame_header) + length;
}

void frame_send(struct agent *a, unsigned kind, unsigned stream, const void *payload, uint32_t length)
{
    char *at = frame_begin(a, kind, stream, length);
    copy_bytes(at, payload, length);
    frame_end(a, length);
}

/* Write what the channel takes; -1 if it is broken. */
int frames_flush(struct agent *a)
{
    while (a->out_first < a->out_end) {
        long n = sys_write(a->channel, a->out + a->out_first, a->out_end - a->out_first);
        if (n < 0)
            return last_failure.err == EAGAIN || last_failure.err == EINTR ? 0 : -1;
        a->out_first += (uint32_t)n;
    }
    a->out_first = a->out_end = 0;
    return 0;
}

/* Read what the channel has: how much, 0 if nothing, -1 if it is broken, -2 at its end. */
int frames_fill(struct agent *a)
{
    if (a->in_length == INBOX)
        return 0;
    long n = sys_read(a->channel, a->in + a->in_length, INBOX - a->in_length);
    if (n < 0)
        return last_failure.err == EAGAIN || last_failure.err == EINTR ? 0 : -1;
    a->in_length += (uint32_t)n;
    return n ? (int)n : -2;
}

/* The frame at *at, if it is whole; *at moves behind it.  NULL and *at = ~0: no frame is as long as this one says. */
const struct frame_header *frame_next(struct agent *a, uint32_t *at)
{
    static struct frame_header header;
    if (a->in_length - *at < sizeof header)
        return NULL;
    copy_bytes(&header, a->in + *at, sizeof header);
    if (header.length > FRAME_MOST) {
        *at = ~0u;
        return NULL;
    }
    if (a->in_length - *at - sizeof header < header.length)
        return NULL;
    *at += (uint32_t)sizeof header + header.length;
    return &header;
}

/* The first `length` bytes have been dealt with. */
void frames_drop(struct agent *a, uint32_t length)
{
    if (!length)
        return;
    copy_bytes(a->in, a->in + length, a->in_length - length);
    a->in_length -= length;
}
