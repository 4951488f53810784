#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "share.h"

#include <dirent.h>
#include <errno.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's own, as getdents64(2) gives it. */
struct linux_dirent64 {
    uint64_t d_ino;
    int64_t d_off;
    uint16_t d_reclen;
    uint8_t d_type;
    char d_name[];
};

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

static void put_dirent(const struct linux_dirent64 *from, uint8_t *out, size_t length)
{
    struct fuse_dirent entry = {from->d_ino, (uint64_t)from->d_off, (uint32_t)length, from->d_type};
    memcpy(out, &entry, FUSE_NAME_OFFSET);
    memset(out + FUSE_NAME_OFFSET, 0, FUSE_DIRENT_ALIGN(length));
    memcpy(out + FUSE_NAME_OFFSET, from->d_name, length);
}

/* An entry_out in front of it: with a descriptor, or of nodeid 0, which says "not looked up". */
static void put_entry(int directory, const char *name, uint8_t *out, struct share_entry *entry)
{
    struct fuse_entry_out head = {.entry_valid = 1, .attr_valid = 1};
    entry->fd = is_dots(name) ? -1 : share_lookup(directory, name, &entry->stat);
    memset(out, 0, sizeof head);
    if (entry->fd < 0)
        return;
    memcpy(&head.attr, entry->stat.attr, sizeof head.attr);
    memcpy(out, &head, sizeof head);
}

/*
 * What one getdents64(2) gave and did not fit stays in `dir` for the next request.  Only a guest that goes elsewhere
 * makes us seek: on tmpfs (before Linux 6.6) a position is a count, and removing files moves what it counts.
 */
static long fill(int fd, struct share_dir *dir, uint64_t position, uint8_t *out, size_t size,
                 struct share_entry *entries, int *found)
{
    size_t used = 0, front = entries ? sizeof(struct fuse_entry_out) : 0;
    if (position != dir->position) {
        if (lseek(fd, (off_t)position, SEEK_SET) < 0)
            return -errno;
        dir->position = position;
        dir->at = dir->length = 0;
    }
    for (;;) {
        if (dir->at == dir->length) {
            long length = syscall(SYS_getdents64, fd, dir->batch, sizeof dir->batch);
            dir->at = 0;
            dir->length = length > 0 ? (uint32_t)length : 0;
            if (length <= 0)
                return used || !length ? (long)used : -errno;
        }
        const struct linux_dirent64 *from = (const void *)(dir->batch + dir->at);
        size_t name = strnlen(from->d_name, SHARE_NAME), need = front + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name);
        if (need > size - used || (entries && *found == SHARE_ENTRIES))
            return used ? (long)used : -EINVAL;
        if (entries) {
            put_entry(fd, from->d_name, out + used, &entries[*found]);
            entries[*found].offset = (uint32_t)used;
            *found += entries[*found].fd >= 0;
        }
        put_dirent(from, out + used + front, name);
        used += need;
        dir->at += from->d_reclen;
        dir->position = (uint64_t)from->d_off;
    }
}

long share_dirents(int fd, struct share_dir *dir, uint64_t position, uint8_t *out, size_t size)
{
    return fill(fd, dir, position, out, size, NULL, NULL);
}

long share_direntsplus(int fd, struct share_dir *dir, uint64_t position, uint8_t *out, size_t size,
                       struct share_entry *entries, int *found)
{
    *found = 0;
    return fill(fd, dir, position, out, size, entries, found);
}
