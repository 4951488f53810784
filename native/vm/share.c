#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

_Static_assert(sizeof(struct fuse_attr) == SHARE_ATTR, "struct fuse_attr");
_Static_assert(sizeof(struct fuse_entry_out) == SHARE_ENTRY, "struct fuse_entry_out");

#define NANO 1000000000ll
#define SHARE_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* The name of a descriptor below /proc/self/fd. */
struct number {
    char text[16];
};

static struct number number_of(int fd)
{
    struct number number;
    snprintf(number.text, sizeof number.text, "%d", fd);
    return number;
}

static int result(long value) { return value < 0 ? -errno : (int)value; }

static void to_attr(const struct statx *from, struct fuse_attr *to)
{
    memset(to, 0, sizeof *to);
    to->ino = from->stx_ino;
    to->size = from->stx_size;
    to->blocks = from->stx_blocks;
    to->atime = (uint64_t)from->stx_atime.tv_sec;
    to->mtime = (uint64_t)from->stx_mtime.tv_sec;
    to->ctime = (uint64_t)from->stx_ctime.tv_sec;
    to->atimensec = from->stx_atime.tv_nsec;
    to->mtimensec = from->stx_mtime.tv_nsec;
    to->ctimensec = from->stx_ctime.tv_nsec;
    to->mode = from->stx_mode;
    to->nlink = from->stx_nlink;
    to->uid = from->stx_uid;
    to->gid = from->stx_gid;
    to->blksize = from->stx_blksize;
    /* new_encode_dev() of the kernel: what fuse decodes with new_decode_dev() */
    to->rdev = (from->stx_rdev_minor & 0xff) | from->stx_rdev_major << 8 | (from->stx_rdev_minor & ~0xffu) << 12;
}

int share_stat(int fd, struct share_stat *stat)
{
    struct statx found;
    struct fuse_attr attr;
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, SHARE_MASK, &found) < 0)
        return -errno;
    to_attr(&found, &attr);
    memcpy(stat->attr, &attr, sizeof attr);
    stat->device = makedev(found.stx_dev_major, found.stx_dev_minor);
    stat->mount = found.stx_mnt_id;
    stat->inode = found.stx_ino;
    stat->size = found.stx_size;
    stat->ctime = found.stx_ctime.tv_sec * NANO + found.stx_ctime.tv_nsec;
    stat->mtime = found.stx_mtime.tv_sec * NANO + found.stx_mtime.tv_nsec;
    stat->born = found.stx_mask & STATX_BTIME ? found.stx_btime.tv_sec * NANO + found.stx_btime.tv_nsec : 0;
    stat->mode = found.stx_mode;
    stat->uid = found.stx_uid;
    stat->gid = found.stx_gid;
    stat->links = found.stx_nlink;
    return 0;
}

/* One component: whoever calls has refused "", ".", ".." and "/"; the kernel refuses what is left. */
static int path_of(int parent, const char *name)
{
    struct open_how how = {
        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    for (int tries = 0; tries < 16; tries++) { /* EAGAIN: something was renamed at the same time */
        int fd = (int)syscall(SYS_openat2, parent, name, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            return result(fd);
    }
    return -EAGAIN;
}

int share_lookup(int parent, const char *name, struct share_stat *stat)
{
    int fd = path_of(parent, name);
    if (fd < 0)
        return fd;
    int failed = share_stat(fd, stat);
    if (!failed)
        return fd;
    close(fd);
    return failed;
}

/* Somebody on the host may have put another file in its place: only what can be ours is given away. */
static bool ours(const struct share_stat *stat)
{
    return stat->uid == geteuid() && (S_ISDIR(stat->mode) || stat->links <= 1);
}

/*
 * What was just made gets its owner.  A group that came from the directory (set-group-ID) stays; chown(2) takes
 * set-user-ID away even from root's hand, so the mode comes back behind it, which also undoes a umask.
 */
static int own(int parent, int fd, int proc, uint32_t mode, uint32_t uid, uint32_t gid, struct share_stat *stat)
{
    struct share_stat above;
    uint32_t wanted = mode & 07777;
    if (stat->gid != gid) {
        int failed = share_stat(parent, &above);
        if (failed)
            return failed;
        if (stat->gid != getegid() || above.mode & S_ISGID)
            gid = stat->gid;
    }
    if (S_ISDIR(mode))
        wanted |= stat->mode & S_ISGID;
    bool given = stat->uid == uid && stat->gid == gid;
    if (given && (S_ISLNK(mode) || (stat->mode & 07777) == wanted))
        return 0;
    if (!ours(stat))
        return -ESTALE;
    if (!given && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
        return -errno;
    if (!S_ISLNK(mode) && fchmodat(proc, number_of(fd).text, wanted, 0) < 0)
        return -errno;
    return share_stat(fd, stat);
}

int share_make(int parent, const char *name, uint32_t mode, uint32_t device, const char *target, uint32_t uid,
               uint32_t gid, int proc, struct share_stat *stat)
{
    int made, fd;
    dev_t number = makedev((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    if (S_ISDIR(mode))
        made = mkdirat(parent, name, mode & 07777);
    else if (S_ISLNK(mode))
        made = symlinkat(target, parent, name);
    else
        made = mknodat(parent, name, mode, number);
    if (made < 0)
        return -errno;
    fd = share_lookup(parent, name, stat);
    if (fd < 0)
        return fd;
    bool same = (stat->mode & S_IFMT) == (mode & S_IFMT);
    int failed = same ? own(parent, fd, proc, mode, uid, gid, stat) : -ESTALE;
    if (!failed)
        return fd;
    close(fd);
    if (failed != -ESTALE)
        unlinkat(parent, name, S_ISDIR(mode) ? AT_REMOVEDIR : 0);
    return failed;
}

/* An open file that is new: its owner, and an O_PATH descriptor beside it. */
static int adopt(int parent, int fd, uint32_t mode, uint32_t uid, uint32_t gid, int proc, int *path,
                 struct share_stat *stat)
{
    int failed = share_stat(fd, stat);
    if (!failed)
        failed = own(parent, fd, proc, mode, uid, gid, stat);
    *path = failed ? failed : result(openat(proc, number_of(fd).text, O_PATH | O_CLOEXEC));
    return *path < 0 ? *path : 0;
}

int share_create(int parent, const char *name, int flags, uint32_t mode, uint32_t uid, uint32_t gid, int proc,
                 int *path, struct share_stat *stat)
{
    flags = (flags & ~O_TRUNC) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags, mode & 07777);
    if (fd < 0)
        return -errno;
    int failed = adopt(parent, fd, mode, uid, gid, proc, path, stat);
    if (!failed)
        return fd;
    close(fd);
    unlinkat(parent, name, 0);
    return failed;
}

int share_tmpfile(int parent, int flags, uint32_t mode, uint32_t uid, uint32_t gid, int proc, int *path,
                  struct share_stat *stat)
{
    flags = (flags & ~(O_TRUNC | O_CREAT)) | O_TMPFILE | O_CLOEXEC;
    int fd = openat(proc, number_of(parent).text, flags, mode & 07777);
    if (fd < 0)
        return -errno;
    int failed = adopt(parent, fd, mode, uid, gid, proc, path, stat);
    if (!failed)
        return fd;
    close(fd);
    return failed;
}

int share_open(int proc, int fd, int flags) { return result(openat(proc, number_of(fd).text, flags | O_CLOEXEC)); }

int share_chown(int fd, uint32_t uid, uint32_t gid) { return result(fchownat(fd, "", uid, gid, AT_EMPTY_PATH)); }

int share_utimens(int proc, int fd, int64_t atime, long atime_ns, int64_t mtime, long mtime_ns)
{
    struct timespec times[2] = {{atime, atime_ns}, {mtime, mtime_ns}};
    return result(utimensat(proc, number_of(fd).text, times, 0));
}

int share_rename(int from, const char *old_name, int to, const char *new_name, unsigned flags)
{
    /* by number: without flags, glibc takes renameat(2), and the VMM's filter has one of the two */
    return result(syscall(SYS_renameat2, from, old_name, to, new_name, flags));
}

int share_link(int proc, int fd, int parent, const char *name)
{
    return result(linkat(proc, number_of(fd).text, parent, name, AT_SYMLINK_FOLLOW)); /* as far as the inode */
}

int share_fallocate(int fd, int mode, int64_t offset, int64_t length)
{
    return result(fallocate(fd, mode, offset, length));
}

int share_sync(int proc, int fd)
{
    int open_fd = share_open(proc, fd, O_RDONLY | O_NONBLOCK);
    if (open_fd < 0)
        return open_fd;
    int failed = result(syncfs(open_fd));
    close(open_fd);
    return failed;
}

int share_kill_suid(int fd)
{
    struct stat now;
    if (fstat(fd, &now) < 0)
        return -errno;
    mode_t gone = now.st_mode & S_ISUID;
    if (now.st_mode & S_IXGRP)
        gone |= now.st_mode & S_ISGID;
    return gone ? result(fchmod(fd, (now.st_mode & ~gone) & 07777)) : 0;
}
