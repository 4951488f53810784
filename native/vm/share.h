/*
 * What the file-system share (minirun/vm/devices/fs*.py) asks of the host, relative to descriptors, never by a path.
 *
 *   share.c        look up, make, change: one component at a time, nothing followed
 *   share_dirs.c   directories as FUSE wants them
 *
 * All return a descriptor, a length or 0, or -errno.  `proc` is the directory /proc/self/fd, kept open since before
 * the VMM gave up its root: the way from an O_PATH descriptor to the inode behind it that needs no capability.
 */
#ifndef MINIRUN_SHARE_H
#define MINIRUN_SHARE_H

#include "vm.h"

enum { SHARE_ATTR = 88, SHARE_ENTRY = 128, SHARE_NAME = 255 };

struct share_stat {
    uint64_t device, mount, inode; /* an inode of the host's, and through which mount it was reached */
    uint64_t size;
    int64_t ctime, mtime; /* in nanoseconds: what cached data is compared by */
    int64_t born; /* tells an inode from an earlier one of the same number; 0 if the file system has none */
    uint32_t mode, uid, gid, links;
    uint8_t attr[SHARE_ATTR]; /* struct fuse_attr */
};

int share_stat(int fd, struct share_stat *stat);
/* An O_PATH descriptor of one name in a directory; of the link itself, if it is one. */
int share_lookup(int parent, const char *name, struct share_stat *stat);

/* mknodat(2), mkdirat(2) or symlinkat(2), whatever mode says, with its owner: an O_PATH descriptor of it. */
int share_make(int parent, const char *name, uint32_t mode, uint32_t device, const char *target, uint32_t uid,
               uint32_t gid, int proc, struct share_stat *stat);
/* open(2) with O_CREAT | O_EXCL, with its owner; the O_PATH descriptor goes to *path. */
int share_create(int parent, const char *name, int flags, uint32_t mode, uint32_t uid, uint32_t gid, int proc,
                 int *path, struct share_stat *stat);
/* O_TMPFILE in a directory. */
int share_tmpfile(int parent, int flags, uint32_t mode, uint32_t uid, uint32_t gid, int proc, int *path,
                  struct share_stat *stat);

int share_open(int proc, int fd, int flags);
int share_chown(int fd, uint32_t uid, uint32_t gid);
/* Nanoseconds since 1970, or UTIME_NOW, UTIME_OMIT. */
int share_utimens(int proc, int fd, int64_t atime, long atime_ns, int64_t mtime, long mtime_ns);
int share_rename(int from, const char *old_name, int to, const char *new_name, unsigned flags);
int share_link(int proc, int fd, int parent, const char *name);
int share_fallocate(int fd, int mode, int64_t offset, int64_t length);
int share_sync(int proc, int fd);
/* What write(2) does for a writer without CAP_FSETID: set-user-ID goes, and set-group-ID with group execute. */
int share_kill_suid(int fd);

/* An open directory: where it stands, and entries that have been read but not been told yet.  Zeros to begin with. */
struct share_dir {
    uint64_t position;
    uint32_t at, length;
    uint8_t batch[4096] __attribute__((aligned(8)));
};

/* struct fuse_dirent, as many as fit, from the cookie `position` on: bytes. */
long share_dirents(int fd, struct share_dir *dir, uint64_t position, uint8_t *out, size_t size);

/* An entry of share_direntsplus that was looked up: where in `out` its struct fuse_entry_out begins. */
struct share_entry {
    int fd;
    uint32_t offset;
    struct share_stat stat;
};
enum { SHARE_ENTRIES = 256 };

/* struct fuse_direntplus; at most SHARE_ENTRIES, and *found says how many have a descriptor. */
long share_direntsplus(int fd, struct share_dir *dir, uint64_t position, uint8_t *out, size_t size,
                       struct share_entry *entries, int *found);

#endif
