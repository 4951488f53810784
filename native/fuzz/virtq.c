/*
 * Queues and what is behind them under libFuzzer: the input is a queue's place and a guest's memory, which goes on
 * changing between any two requests, as a hostile guest's would.  The memory is as large as the guest's and not a byte
 * more, so ASan sees every step outside; what must hold of a chain besides is checked here.
 *
 * With -DALONE it is an ordinary program: it takes a file of inputs, and says how many requests were served.
 */
#define _GNU_SOURCE
#include "../vm/balloon.h"
#include "../vm/blk.h"
#include "../vm/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY 8192
#define DISK 65536
#define ROUNDS 200 /* more than any queue here is long */

struct __attribute__((packed)) input {
    uint8_t device, features, order, changes; /* which, what was agreed, log2 of the size, changes per request */
    uint16_t desc, avail, used, low;          /* addresses; where the low memory ends */
};

struct __attribute__((packed)) change {
    uint16_t at;
    uint8_t value;
};

enum { RAW, BLK, NET, BALLOON, DEVICES };

static unsigned served;
static int disk = -1;

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct guest_memory *memory, const struct virtq *queue, const struct virtq_chain *chain)
{
    uint64_t sums[2] = {0, 0};
    demand(chain->readable + chain->writable <= (int)queue->size);
    for (int i = 0; i < chain->readable + chain->writable; i++) {
        uint64_t offset = (uint64_t)((uint8_t *)chain->iov[i].iov_base - memory->host);
        uint64_t end = offset + chain->iov[i].iov_len;
        demand(end > offset && end <= memory->low + memory->high);
        demand(end <= memory->low || offset >= memory->low); /* one region or the other */
        sums[i >= chain->readable] += chain->iov[i].iov_len;
    }
    demand(sums[0] == chain->read_size && sums[1] == chain->write_size);
}

/* Read and write what a device in Python would. */
static uint32_t use(const struct virtq_chain *chain, uint64_t odd)
{
    static uint8_t bytes[3 * MEMORY];
    size_t got = virtq_copy_from(chain, odd % 64, bytes, sizeof bytes);
    demand(got <= chain->read_size);
    got = virtq_copy_to(chain, odd % 32, bytes, odd % sizeof bytes);
    demand(got <= chain->write_size);
    virtq_read_file(chain, odd % 16, odd * 3, disk, (int64_t)(odd % DISK));
    virtq_write_file(chain, odd % 16, odd * 5, disk, (int64_t)(odd % DISK));
    return (uint32_t)got;
}

/* One request of the driver's; false when there is none, or the queue is broken. */
static bool serve(struct guest_memory *memory, struct virtq *queue, const struct input *input, unsigned round)
{
    static struct blk blk;
    static struct net net;
    struct virtq_chain *chain = &blk.chain;
    if (input->device % DEVICES == NET) {
        net.rx = queue;
        net.mergeable = input->features & 4;
        net.waiting = NET_HEADER + (round * 97 + input->order) % 3000;
        return net_deliver(&net) > 0;
    }
    if (virtq_pop(queue, chain) <= 0)
        return false;
    check(memory, queue, chain);
    int64_t written = 0;
    if (input->device % DEVICES == BLK) {
        blk.queue = queue;
        blk.fd = disk;
        blk.sectors = DISK / BLK_SECTOR;
        blk.read_only = input->features & 4;
        written = blk_serve(&blk, chain);
        demand(written <= (int64_t)chain->write_size && (written >= 0 || queue->broken));
    } else if (input->device % DEVICES == BALLOON) {
        uint32_t pages[64];
        size_t got = virtq_copy_from(chain, 0, pages, sizeof pages);
        demand(balloon_pages(memory, disk, pages, got / 4) <= got / 4 * 4096);
        demand(balloon_buffers(memory, disk, chain) <= chain->write_size);
    } else {
        written = use(chain, input->order * 31u + round);
        if (round % 7 == 3)
            virtq_undo(queue, chain); /* and then it comes again */
    }
    if (written >= 0)
        virtq_push(queue, chain, (uint32_t)written);
    return !queue->broken;
}

static void serve_all(struct guest_memory *memory, const struct input *input, const struct change *changes)
{
    uint32_t status = 0;
    struct virtq queue = {
        .memory = memory,
        .most = 64,
        .size = 1u << input->order % 8,
        .event_idx = input->features & 1,
        .indirect = input->features & 2,
        .desc = input->desc,
        .avail = input->avail,
        .used = input->used,
        .call_fd = -1,
        .trouble_fd = -1,
        .status = &status,
    };
    if (virtq_start(&queue) < 0)
        return;
    for (unsigned round = 0, next = 0; round < ROUNDS && serve(memory, &queue, input, round); round++) {
        served++;
        demand(queue.in_flight <= queue.size);
        virtq_notify(&queue);
        for (unsigned i = 0; i < input->changes % 4u; i++, next++)
            if (input->changes / 4u > next % 64)
                memory->host[changes[next % (input->changes / 4u)].at % MEMORY] =
                    changes[next % (input->changes / 4u)].value;
        if (round % 16 == 15)
            virtq_disable(&queue);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    if (disk < 0)
        demand((disk = memfd_create("disk", MFD_CLOEXEC)) >= 0 && !ftruncate(disk, DISK));
    if (size < sizeof input)
        return 0;
    memcpy(&input, data, sizeof input);
    size_t tail = input.changes / 4u * sizeof(struct change), body = size - sizeof input;
    if (body < tail)
        return 0;
    struct change *changes = malloc(tail ? tail : 1);
    struct guest_memory memory = {.host = calloc(1, MEMORY), .low = MEMORY};
    if (input.low && input.low < MEMORY) {
        memory.low = input.low;
        memory.high = MEMORY - input.low;
    }
    memcpy(memory.host, data + sizeof input, body - tail < MEMORY ? body - tail : MEMORY);
    memcpy(changes, data + size - tail, tail);
    serve_all(&memory, &input, changes);
    free(memory.host);
    free(changes);
    return 0;
}

#ifdef ALONE
/* One file of the form {u32 size, bytes}...: thousands of inputs in one process. */
int main(int argc, char **argv)
{
    unsigned all = 0;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    uint32_t size;
    if (!file)
        return 2;
    while (fread(&size, sizeof size, 1, file) == 1) {
        uint8_t *data = malloc(size ? size : 1);
        if (!data || fread(data, 1, size, file) != size)
            return 2;
        LLVMFuzzerTestOneInput(data, size);
        all++;
        free(data);
    }
    fclose(file);
    printf("%u %u\n", all, served);
    return 0;
}
#endif
