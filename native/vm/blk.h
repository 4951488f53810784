/* virtio-blk, virtio 1.2 section 5.2: a file or block device, in one thread. */
#ifndef MINIRUN_BLK_H
#define MINIRUN_BLK_H

#include "virtq.h"
#include "worker.h"

#define BLK_SECTOR 512
#define BLK_BYTES_MOST (64u << 20)       /* of one request: 254 segments of size_max fit */
#define BLK_SEGMENTS_MOST 16             /* ranges of one discard or write-zeroes */
#define BLK_DISCARD_MOST (1u << 21)      /* sectors: 1 GiB */
#define BLK_ZEROES_MOST (16u << 20 >> 9) /* sectors: 16 MiB, written by hand where the file cannot do better */

struct blk {
    struct worker worker;
    struct virtq *queue;
    int fd;
    bool read_only, durable; /* durable: the driver does not know flush, so each write is */
    uint64_t sectors;
    char serial[20];
    uint64_t reads, writes, flushes, errors;
    struct virtq_chain chain;
};

int blk_start(struct blk *blk, int kick);
void blk_end(struct blk *blk);
void blk_activate(struct blk *blk);
void blk_reset(struct blk *blk);
/* One request: bytes written into the chain, -1 if the queue broke. */
int64_t blk_serve(struct blk *blk, const struct virtq_chain *chain);

#endif
