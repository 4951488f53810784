/*
 * A disk's worker and a driver against each other, for ThreadSanitizer: half a million requests through one queue, with
 * event indices and with flags, and resets while the worker is busy.  A kick or an interrupt that is lost is a driver
 * that waits for ever: here, for ten seconds.
 */
#define _GNU_SOURCE
#include "../vm/blk.h"

#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 64, CHAINS = 20, AVAIL = 0x1000, USED = 0x2000, STATUS = 0x7000, HEADER = 0x8000, DATA = 0x9000 };
enum { LIVES = 200, ROUNDS = 300 };

static uint8_t memory[1 << 20] __attribute__((aligned(4096)));
static struct vring_desc *const table = (void *)memory;
static struct vring_avail *const avail = (void *)(memory + AVAIL);
static struct vring_used *const used = (void *)(memory + USED);
static struct virtq queue;
static unsigned long requests, kicks, interrupts;

static void store(uint16_t *place, uint16_t value) { __atomic_store_n(place, value, __ATOMIC_RELEASE); }

static uint16_t load(const uint16_t *place) { return __atomic_load_n(place, __ATOMIC_ACQUIRE); }

/* The same reads of one sector, again and again. */
static void prepare(void)
{
    memset(memory, 0, DATA);
    for (uint16_t i = 0; i < CHAINS; i++) {
        uint16_t head = (uint16_t)(3 * i);
        table[head] = (struct vring_desc){HEADER, 16, VRING_DESC_F_NEXT, (uint16_t)(head + 1)};
        table[head + 1] = (struct vring_desc){DATA + 4096ull * i, BLK_SECTOR,
                                              VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, (uint16_t)(head + 2)};
        table[head + 2] = (struct vring_desc){STATUS + (uint64_t)i, 1, VRING_DESC_F_WRITE, 0};
    }
}

/* Some requests, and a kick if the device wants one (2.7.10.1). */
static uint16_t offer(uint16_t index, int count, int kick)
{
    uint16_t old = index, event;
    uint64_t one = 1;
    for (int i = 0; i < count; i++) {
        store(&avail->ring[index % SIZE], (uint16_t)(3 * i));
        store(&avail->idx, ++index);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    event = load((uint16_t *)&used->ring[SIZE]);
    bool passed = (uint16_t)(index - event - 1) < (uint16_t)(index - old);
    if (queue.event_idx ? passed : !(load(&used->flags) & VRING_USED_F_NO_NOTIFY))
        kicks += write(kick, &one, sizeof one) == sizeof one;
    requests += (unsigned long)count;
    return index;
}

/* Until all came back; asks for an interrupt, looks again, then sleeps.  -1: nobody woke us. */
static int await(uint16_t index, int call)
{
    uint64_t count;
    uint16_t seen; /* read once: what is asked for must be what was found wanting */
    while ((seen = load(&used->idx)) != index) {
        store(&avail->ring[SIZE], seen);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (load(&used->idx) != seen)
            continue;
        struct pollfd fd = {.fd = call, .events = POLLIN};
        if (poll(&fd, 1, 10000) != 1)
            return -1;
        interrupts += read(call, &count, sizeof count) == sizeof count;
    }
    return 0;
}

int main(void)
{
    static struct blk blk;
    struct guest_memory guest = {memory, sizeof memory, 0};
    uint32_t status = 0;
    int kick = eventfd(0, EFD_NONBLOCK), call = eventfd(0, EFD_NONBLOCK);
    queue = (struct virtq){.memory = &guest,
                           .avail = AVAIL,
                           .used = USED,
                           .size = SIZE,
                           .most = SIZE,
                           .event_idx = true,
                           .call_fd = call,
                           .trouble_fd = -1,
                           .status = &status};
    blk.queue = &queue;
    blk.fd = memfd_create("disk", MFD_CLOEXEC);
    blk.sectors = 8;
    if (blk.fd < 0 || ftruncate(blk.fd, 4096) < 0 || blk_start(&blk, kick))
        return 2;
    for (int life = 0; life < LIVES; life++) {
        uint16_t index = 0;
        prepare();
        queue.event_idx = life % 2;
        if (virtq_start(&queue) < 0)
            return 2;
        blk_activate(&blk);
        for (int round = 0; round < ROUNDS; round++) {
            index = offer(index, 1 + round % CHAINS, kick);
            if (life % 7 == 0 && round == life) /* a reset while it is busy */
                break;
            if (await(index, call) < 0) {
                printf("lost: life %d, round %d, %u of %u\n", life, round, load(&used->idx), index);
                return 1;
            }
        }
        virtq_stop(&queue);
        blk_reset(&blk);
        queue.generation++;
    }
    blk_end(&blk);
    printf("%lu requests, %lu kicks, %lu interrupts\n", requests, kicks, interrupts);
    return 0;
}
