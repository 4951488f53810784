/*
 * Split virtqueues, virtio 1.2 section 2.7: the one implementation for all devices, in C and in Python.
 *
 * The driver is hostile until shown otherwise.  Every address goes through guest_range; each descriptor is read once,
 * because the guest may change it under us; a chain is never longer than the queue; and a queue in which anything is
 * wrong is broken until the device is reset.  What a guest can break is its own device.
 *
 * One thread at a time works on a queue: its device's worker, or whoever holds the loop's lock.
 */
#ifndef MINIRUN_VIRTQ_H
#define MINIRUN_VIRTQ_H

#include "vm.h"

#define VIRTQ_MOST 1024 /* descriptors of the longest queue */

struct vring_desc;
struct vring_avail;
struct vring_used;

struct virtq {
    const struct guest_memory *memory;
    uint64_t desc, avail, used; /* as the driver gave them */
    uint32_t size, most;
    bool event_idx, indirect; /* negotiated */
    int call_fd;              /* an irqfd */
    int trouble_fd;           /* an eventfd: tells the transport that the queue is broken */
    uint32_t *status;         /* InterruptStatus, shared with the vCPU loop */
    /* from virtq_start on: */
    bool ready, broken;
    uint32_t generation; /* a chain of an earlier life of the queue is not pushed */
    uint16_t next_avail, next_used, signalled, in_flight;
    const struct vring_desc *table;
    struct vring_avail *available;
    struct vring_used *done;
};

/* One request: the readable buffers, then the writable ones, as pointers that were checked. */
struct virtq_chain {
    uint32_t generation;
    uint16_t head, readable, writable; /* the counts are of iov */
    uint32_t read_size, write_size;
    struct iovec iov[VIRTQ_MOST];
};

enum { VIRTQ_INTERRUPT_USED = 1, VIRTQ_INTERRUPT_CONFIG = 2 };

/* -1 if size, alignment or addresses are wrong. */
int virtq_start(struct virtq *queue);
void virtq_stop(struct virtq *queue);
/* Ready and not broken; another thread may end that at any time: a reset, a broken queue of the same device. */
bool virtq_lives(const struct virtq *queue);

/* 1 and the next chain, 0 if there is none, -1 if the queue is broken. */
int virtq_next(struct virtq *queue, struct virtq_chain *chain);
/* The same; before it says 0, it has asked for kicks. */
int virtq_pop(struct virtq *queue, struct virtq_chain *chain);
/* The last chain was not wanted yet: the next call of virtq_next brings it again. */
void virtq_undo(struct virtq *queue, struct virtq_chain *chain);
/* The last count chains were not wanted yet. */
void virtq_rewind(struct virtq *queue, uint16_t count);
int virtq_break(struct virtq *queue);

/* Ask for kicks again; true if something came meanwhile, so look again. */
bool virtq_enable(struct virtq *queue);
void virtq_disable(struct virtq *queue);

void virtq_push(struct virtq *queue, struct virtq_chain *chain, uint32_t written);
/* Several at once: put them at 0, 1 ... ahead, then publish them all.  Only with chains of this life of the queue. */
void virtq_put(struct virtq *queue, uint16_t ahead, uint16_t head, uint32_t written);
void virtq_publish(struct virtq *queue, uint16_t count);
bool virtq_should_interrupt(struct virtq *queue);
/* After one or more pushes: interrupt, if the driver wants one. */
void virtq_notify(struct virtq *queue);
void virtq_interrupt(uint32_t *status, uint32_t bits, int fd);
uint32_t virtq_status_clear(uint32_t *status, uint32_t bits);

/* From offset on, at most length bytes of one half of a chain: how many pieces were put into out (of most). */
int virtq_slice(const struct virtq_chain *chain, bool writable, uint64_t offset, uint64_t length,
                struct iovec *out, int most);
/* Bytes copied: fewer than length at the end of the chain. */
size_t virtq_copy_from(const struct virtq_chain *chain, uint64_t offset, void *to, size_t length);
size_t virtq_copy_to(const struct virtq_chain *chain, uint64_t offset, const void *from, size_t length);

/* preadv(2) into the writable half, pwritev(2) out of the readable one; position -1: readv(2), writev(2). */
long virtq_read_file(const struct virtq_chain *chain, uint64_t offset, uint64_t length, int fd, int64_t position);
long virtq_write_file(const struct virtq_chain *chain, uint64_t offset, uint64_t length, int fd, int64_t position);

#endif
