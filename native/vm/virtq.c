#include "virtq.h"

#include <linux/virtio_ring.h>
#include <unistd.h>

/* As struct vring_desc, but at any address: nothing says how an indirect table is aligned. */
struct __attribute__((packed)) descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

static uint16_t load(const uint16_t *place) { return __atomic_load_n(place, __ATOMIC_RELAXED); }

static uint16_t *used_event(struct virtq *queue) { return &queue->available->ring[queue->size]; }

static uint16_t *avail_event(struct virtq *queue) { return (uint16_t *)&queue->done->ring[queue->size]; }

/* An eventfd that is full has been rung: nothing is lost. */
static void ring_bell(int fd)
{
    uint64_t one = 1;
    ssize_t done = fd >= 0 ? write(fd, &one, sizeof one) : 0;
    (void)done;
}

bool virtq_lives(const struct virtq *queue)
{
    return __atomic_load_n(&queue->ready, __ATOMIC_ACQUIRE) && !__atomic_load_n(&queue->broken, __ATOMIC_RELAXED);
}

int virtq_start(struct virtq *queue)
{
    uint64_t size = queue->size;
    if (!size || size > queue->most || size > VIRTQ_MOST || size & (size - 1))
        return -1;
    if (queue->desc % 16 || queue->avail % 2 || queue->used % 4) /* 2.7, the table of alignments */
        return -1;
    queue->table = guest_range(queue->memory, queue->desc, size * sizeof(struct vring_desc));
    queue->available = guest_range(queue->memory, queue->avail, 6 + 2 * size);
    queue->done = guest_range(queue->memory, queue->used, 6 + 8 * size);
    if (!queue->table || !queue->available || !queue->done)
        return -1;
    queue->next_avail = queue->next_used = queue->signalled = queue->in_flight = 0;
    queue->broken = false;
    queue->generation++;
    __atomic_store_n(&queue->ready, true, __ATOMIC_RELEASE);
    return 0;
}

void virtq_stop(struct virtq *queue) { __atomic_store_n(&queue->ready, false, __ATOMIC_RELEASE); }

int virtq_break(struct virtq *queue)
{
    if (!__atomic_exchange_n(&queue->broken, true, __ATOMIC_RELAXED))
        ring_bell(queue->trouble_fd);
    return -1;
}

/* One buffer into the chain; -1 if it is not memory, or in the wrong order. */
static int add(const struct guest_memory *memory, struct virtq_chain *chain, const struct descriptor *one)
{
    bool writable = one->flags & VRING_DESC_F_WRITE;
    uint32_t *size = writable ? &chain->write_size : &chain->read_size;
    if (chain->writable && !writable) /* 2.7.4.2: what the device writes comes last */
        return -1;
    if (!one->length)
        return 0;
    void *host = guest_range(memory, one->address, one->length);
    if (!host || __builtin_add_overflow(*size, one->length, size))
        return -1;
    chain->iov[chain->readable + chain->writable] = (struct iovec){.iov_base = host, .iov_len = one->length};
    *(writable ? &chain->writable : &chain->readable) += 1;
    return 0;
}

/* The table's own entries, or an indirect table's: at most queue->size in all, so a loop ends, too. */
static int walk(struct virtq *queue, struct virtq_chain *chain, uint16_t at)
{
    const volatile struct descriptor *table = (const void *)queue->table;
    uint32_t entries = queue->size;
    bool direct = true;
    for (uint32_t steps = 0; steps <= queue->size; steps++) { /* one more, for the entry that is an indirect one */
        if (at >= entries)
            return -1;
        struct descriptor one = {table[at].address, table[at].length, table[at].flags, table[at].next};
        if (one.flags & VRING_DESC_F_INDIRECT) { /* 2.7.5.3: one level, the last of its chain */
            if (!direct || !queue->indirect || one.flags & VRING_DESC_F_NEXT || !one.length || one.length % 16)
                return -1;
            table = guest_range(queue->memory, one.address, one.length);
            if (!table)
                return -1;
            entries = one.length / 16;
            direct = false;
            at = 0;
            continue;
        }
        if (steps == queue->size && direct)
            return -1;
        if (add(queue->memory, chain, &one) < 0)
            return -1;
        if (!(one.flags & VRING_DESC_F_NEXT))
            return 0;
        at = one.next;
    }
    return -1;
}

int virtq_next(struct virtq *queue, struct virtq_chain *chain)
{
    if (!virtq_lives(queue))
        return __atomic_load_n(&queue->broken, __ATOMIC_RELAXED) ? -1 : 0;
    /* acquire: the entries of the ring were written before the index */
    uint16_t waiting = __atomic_load_n(&queue->available->idx, __ATOMIC_ACQUIRE) - queue->next_avail;
    if (!waiting)
        return 0;
    if (waiting > queue->size || queue->in_flight >= queue->size)
        return virtq_break(queue);
    chain->generation = queue->generation;
    chain->readable = chain->writable = 0;
    chain->read_size = chain->write_size = 0;
    chain->head = load(&queue->available->ring[queue->next_avail & (queue->size - 1)]);
    if (walk(queue, chain, chain->head) < 0)
        return virtq_break(queue);
    queue->next_avail++;
    queue->in_flight++;
    return 1;
}

int virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
    int found = virtq_next(queue, chain);
    return found == 0 && virtq_enable(queue) ? virtq_next(queue, chain) : found;
}

void virtq_rewind(struct virtq *queue, uint16_t count)
{
    queue->next_avail -= count;
    queue->in_flight -= count;
}

void virtq_undo(struct virtq *queue, struct virtq_chain *chain)
{
    if (chain->generation != queue->generation)
        return;
    chain->generation = 0;
    virtq_rewind(queue, 1);
}

bool virtq_enable(struct virtq *queue)
{
    if (!virtq_lives(queue))
        return false;
    if (queue->event_idx) /* for one more than there are, even if we leave some for later */
        __atomic_store_n(avail_event(queue), load(&queue->available->idx), __ATOMIC_RELAXED);
    else
        __atomic_store_n(&queue->done->flags, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our wish before our look, as the driver's index before its look */
    return load(&queue->available->idx) != queue->next_avail;
}

void virtq_disable(struct virtq *queue)
{
    if (!queue->event_idx && virtq_lives(queue)) /* with event_idx, the old index is far away already */
        __atomic_store_n(&queue->done->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

void virtq_put(struct virtq *queue, uint16_t ahead, uint16_t head, uint32_t written)
{
    struct vring_used_elem *element = &queue->done->ring[(uint16_t)(queue->next_used + ahead) & (queue->size - 1)];
    element->id = head;
    element->len = written;
}

void virtq_publish(struct virtq *queue, uint16_t count)
{
    queue->in_flight -= count;
    queue->next_used += count;
    /* release: the elements, and the data before them, are there when the index says so */
    __atomic_store_n(&queue->done->idx, queue->next_used, __ATOMIC_RELEASE);
}

void virtq_push(struct virtq *queue, struct virtq_chain *chain, uint32_t written)
{
    if (chain->generation != queue->generation ||
        !virtq_lives(queue)) /* pushed already, or the device was reset */
        return;
    chain->generation = 0;
    virtq_put(queue, 0, chain->head, written);
    virtq_publish(queue, 1);
}

bool virtq_should_interrupt(struct virtq *queue)
{
    uint16_t old = queue->signalled, now = queue->next_used;
    if (old == now || !virtq_lives(queue))
        return false;
    queue->signalled = now;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our index before our look at what the driver wants */
    if (!queue->event_idx)
        return !(load(&queue->available->flags) & VRING_AVAIL_F_NO_INTERRUPT);
    uint16_t event = load(used_event(queue));
    return (uint16_t)(now - event - 1) < (uint16_t)(now - old); /* 2.7.7.2: has the index passed event? */
}

void virtq_interrupt(uint32_t *status, uint32_t bits, int fd)
{
    __atomic_fetch_or(status, bits, __ATOMIC_SEQ_CST);
    ring_bell(fd);
}

uint32_t virtq_status_clear(uint32_t *status, uint32_t bits)
{
    return __atomic_and_fetch(status, ~bits, __ATOMIC_SEQ_CST);
}

void virtq_notify(struct virtq *queue)
{
    if (virtq_should_interrupt(queue))
        virtq_interrupt(queue->status, VIRTQ_INTERRUPT_USED, queue->call_fd);
}
