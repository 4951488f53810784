#define _GNU_SOURCE
#include "blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NOTIFY_EVERY 50000 /* ns: a driver with many requests out does not wait for the last one */

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct range {
    uint64_t sector;
    uint32_t sectors, flags;
};

static bool inside(const struct blk *blk, uint64_t sector, uint64_t sectors)
{
    return sectors <= blk->sectors && sector <= blk->sectors - sectors;
}

/* All of it or an error: a file that ends early has lost what we promised. */
static int transfer(struct blk *blk, const struct virtq_chain *chain, bool reading, uint64_t sector,
                    uint64_t length)
{
    struct iovec pieces[VIRTQ_MOST];
    uint64_t start = reading ? 0 : sizeof(struct header), done = 0;
    if (length % BLK_SECTOR || length > BLK_BYTES_MOST || !inside(blk, sector, length / BLK_SECTOR))
        return VIRTIO_BLK_S_IOERR;
    if (!reading && blk->read_only)
        return VIRTIO_BLK_S_IOERR;
    while (done < length) {
        int count = virtq_slice(chain, reading, start + done, length - done, pieces, VIRTQ_MOST);
        off_t at = (off_t)(sector * BLK_SECTOR + done);
        ssize_t size = reading ? preadv(blk->fd, pieces, count, at)
                               : pwritev2(blk->fd, pieces, count, at, blk->durable ? RWF_DSYNC : 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return VIRTIO_BLK_S_IOERR;
        done += (uint64_t)size;
    }
    return VIRTIO_BLK_S_OK;
}

static int zero_by_hand(const struct blk *blk, uint64_t at, uint64_t length)
{
    static const uint8_t zeroes[64 << 10];
    while (length) {
        ssize_t size = pwrite(blk->fd, zeroes, length < sizeof zeroes ? length : sizeof zeroes, (off_t)at);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return -1;
        at += (uint64_t)size;
        length -= (uint64_t)size;
    }
    return 0;
}

static int clear(const struct blk *blk, const struct range *range, bool discard)
{
    uint64_t at = range->sector * BLK_SECTOR, length = (uint64_t)range->sectors * BLK_SECTOR;
    bool punch = discard || range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    int mode = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    if (!length || !fallocate(blk->fd, mode, (off_t)at, (off_t)length))
        return VIRTIO_BLK_S_OK;
    if (errno != EOPNOTSUPP)
        return VIRTIO_BLK_S_IOERR;
    if (discard)
        return VIRTIO_BLK_S_UNSUPP;
    return zero_by_hand(blk, at, length) < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* 5.2.6.2: ranges, each checked before any is touched. */
static int clear_ranges(struct blk *blk, const struct virtq_chain *chain, bool discard, uint64_t length)
{
    struct range ranges[BLK_SEGMENTS_MOST];
    uint32_t most = discard ? BLK_DISCARD_MOST : BLK_ZEROES_MOST;
    uint32_t known = discard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    size_t count = length / sizeof *ranges;
    int status = VIRTIO_BLK_S_OK;
    if (blk->read_only || length % sizeof *ranges || count > BLK_SEGMENTS_MOST)
        return VIRTIO_BLK_S_IOERR;
    virtq_copy_from(chain, sizeof(struct header), ranges, length);
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].flags & ~known)
            return VIRTIO_BLK_S_UNSUPP;
        if (ranges[i].sectors > most || !inside(blk, ranges[i].sector, ranges[i].sectors))
            return VIRTIO_BLK_S_IOERR;
    }
    for (size_t i = 0; i < count && status == VIRTIO_BLK_S_OK; i++)
        status = clear(blk, &ranges[i], discard);
    return status;
}

int64_t blk_serve(struct blk *blk, const struct virtq_chain *chain)
{
    struct header header;
    if (chain->read_size < sizeof header || !chain->write_size)
        return virtq_break(blk->queue);
    virtq_copy_from(chain, 0, &header, sizeof header);
    uint32_t in = chain->write_size - 1, out = chain->read_size - (uint32_t)sizeof header, written = 0;
    int status = VIRTIO_BLK_S_UNSUPP;
    switch (header.type) {
    case VIRTIO_BLK_T_IN:
        status = transfer(blk, chain, true, header.sector, in);
        written = status == VIRTIO_BLK_S_OK ? in : 0;
        blk->reads++;
        break;
    case VIRTIO_BLK_T_OUT:
        status = transfer(blk, chain, false, header.sector, out);
        blk->writes++;
        break;
    case VIRTIO_BLK_T_FLUSH:
        status = fdatasync(blk->fd) < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
        blk->flushes++;
        break;
    case VIRTIO_BLK_T_GET_ID:
        written = in < sizeof blk->serial ? in : (uint32_t)sizeof blk->serial;
        virtq_copy_to(chain, 0, blk->serial, written);
        status = VIRTIO_BLK_S_OK;
        break;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        status = clear_ranges(blk, chain, header.type == VIRTIO_BLK_T_DISCARD, out);
    }
    blk->errors += status != VIRTIO_BLK_S_OK;
    uint8_t byte = (uint8_t)status;
    virtq_copy_to(chain, in, &byte, 1); /* the last byte, wherever the data ended */
    return written + 1;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static bool serve_round(void *device)
{
    struct blk *blk = device;
    struct virtq *queue = blk->queue;
    uint64_t last = now();
    bool more = true;
    virtq_disable(queue);
    for (uint32_t i = 0; i < queue->size; i++) {
        if (virtq_next(queue, &blk->chain) <= 0) {
            more = virtq_enable(queue);
            if (!more)
                break;
            continue;
        }
        int64_t written = blk_serve(blk, &blk->chain);
        if (written < 0)
            return false;
        virtq_push(queue, &blk->chain, (uint32_t)written);
        if (now() - last > NOTIFY_EVERY) {
            virtq_notify(queue);
            last = now();
        }
    }
    virtq_notify(queue);
    return more;
}

int blk_start(struct blk *blk, int kick)
{
    return worker_start(&blk->worker, "virtio-blk", &kick, 1, serve_round, blk);
}

void blk_end(struct blk *blk) { worker_end(&blk->worker); }

void blk_activate(struct blk *blk) { worker_walk(&blk->worker); }

void blk_reset(struct blk *blk) { worker_stand(&blk->worker); }
