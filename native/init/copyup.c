/*
 * tmpcopyup: a tmpfs that begins with what the directory below it held (config.md, mount options): files,
 * directories, links, devices, fifos and sockets, with owner, mode, times and extended attributes; hard links become
 * files of their own, as under runc and crun.
 *
 * The source is untrusted: every step is from a directory fd, by name, with O_NOFOLLOW; the depth is bounded by
 * the recursion's own limit, the size by the tmpfs.  The target is a tmpfs that nobody else can see yet.
 */
#include "init.h"

#include <linux/time_types.h>

#define DEPTH 128

struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int copy_tree(struct ctx *c, int from, int to, int depth);

static int copy_bytes(int from, int to)
{
    char buffer[16384];
    for (;;) {
        long n = sys_read(from, buffer, sizeof buffer);
        if (n <= 0)
            return (int)n;
        for (long done = 0; done < n;) {
            long written = sys_write(to, buffer + done, (size_t)(n - done));
            if (written < 0)
                return -1;
            done += written;
        }
    }
}

/* xattr(7), ACLs and file capabilities among them; what this tmpfs, or this user namespace, cannot hold is left out. */
static int copy_attributes(int from, int to)
{
    static char names[65536], value[65536]; /* the kernel's own limits (XATTR_LIST_MAX, XATTR_SIZE_MAX) */
    long size = sc3(flistxattr, from, P(names), sizeof names);
    if (size < 0)
        return last_failure.err == EOPNOTSUPP ? 0 : -1;
    for (const char *name = names; name < names + size; name += text_length(name) + 1) {
        long n = sc4(fgetxattr, from, P(name), P(value), sizeof value);
        if (n < 0 && last_failure.err == ENODATA)
            continue; /* removed since it was listed */
        if (n < 0 || (sc5(fsetxattr, to, P(name), P(value), n, 0) < 0 && last_failure.err != EOPNOTSUPP &&
                      last_failure.err != EPERM))
            return -1;
    }
    return 0;
}

/* Owner first: chown(2) takes set-user-ID bits and file capabilities away.  Times last: all else changes them. */
static int finish(int from, int to, const struct statx *is)
{
    struct __kernel_timespec times[2] = {{is->stx_atime.tv_sec, is->stx_atime.tv_nsec},
                                         {is->stx_mtime.tv_sec, is->stx_mtime.tv_nsec}};
    if (sys_fchownat(to, "", is->stx_uid, is->stx_gid, AT_EMPTY_PATH) < 0 ||
        sc2(fchmod, to, is->stx_mode & 07777) < 0 || copy_attributes(from, to) < 0 ||
        sc4(utimensat, to, 0, P(times), 0) < 0)
        return -1;
    return 0;
}

static int close_both(int from, int to, int result)
{
    struct failure kept = last_failure;
    if (from >= 0)
        sys_close(from);
    if (to >= 0)
        sys_close(to);
    last_failure = kept;
    return result;
}

/* Whatever is there by now: it is copied as what it is when it is open, or not at all. */
static int copy_file(int from, int to, const char *name)
{
    struct statx is;
    int in = sys_openat2(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    int out = sys_openat2(to, name, O_WRONLY | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH);
    int result = in < 0 || out < 0 || sys_statx(in, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &is) < 0 ? -1 : 0;
    if (result >= 0 && (is.stx_mode & 0170000) != 0100000)
        result = fail(ESTALE, "tmpcopyup: swapped");
    if (result >= 0 && (copy_bytes(in, out) < 0 || finish(in, out, &is) < 0))
        result = -1;
    return close_both(in, out, result);
}

static int copy_directory(struct ctx *c, int from, int to, const char *name, int depth)
{
    struct statx is;
    if (sys_mkdirat(to, name, 0700) < 0)
        return -1;
    int in =
        sys_openat2(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    int out = sys_openat2(to, name, O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
    int result = in < 0 || out < 0 || sys_statx(in, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &is) < 0 ? -1 : 0;
    if (result >= 0 && (copy_tree(c, in, out, depth + 1) < 0 || finish(in, out, &is) < 0))
        result = -1;
    return close_both(in, out, result);
}

static int copy_link(int from, int to, const char *name)
{
    char target[PATH_SIZE];
    long n = sc4(readlinkat, from, P(name), P(target), sizeof target - 1);
    if (n < 0)
        return -1;
    target[n] = '\0';
    return sys_symlinkat(target, to, name);
}

/* A device, a fifo, a socket: nothing is read from it.  1: not allowed to make one (a device in a user namespace). */
static int copy_node(int to, const char *name, const struct statx *is)
{
    unsigned major = is->stx_rdev_major, minor = is->stx_rdev_minor;
    if (sys_mknodat(to, name, is->stx_mode, (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12)) >= 0)
        return sys_fchmodat(to, name, is->stx_mode & 07777);
    return last_failure.err == EPERM ? 1 : -1;
}

static int copy_entry(struct ctx *c, int from, int to, const char *name, int depth)
{
    struct statx is;
    text_join(c->text, sizeof c->text, name, "", ""); /* the name ends with the buffer it was read into */
    c->detail = c->text;
    if (sys_statx(from, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &is) < 0)
        return last_failure.err == ENOENT ? 0 : -1; /* removed since it was listed */
    switch (is.stx_mode & 0170000) {
    case 0040000:
        return copy_directory(c, from, to, name, depth);
    case 0100000:
        return copy_file(from, to, name);
    default:
        break;
    }
    int made = (is.stx_mode & 0170000) == 0120000 ? copy_link(from, to, name) : copy_node(to, name, &is);
    return made ? (made < 0 ? -1 : 0) : sys_fchownat(to, name, is.stx_uid, is.stx_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_tree(struct ctx *c, int from, int to, int depth)
{
    char buffer[2048] __attribute__((aligned(8)));
    if (depth > DEPTH)
        return fail(EMLINK, "tmpcopyup: depth");
    for (;;) {
        long n = sc3(getdents64, from, P(buffer), sizeof buffer);
        if (n <= 0)
            return (int)n;
        for (long at = 0; at < n;) {
            const struct entry *e = (const void *)(buffer + at);
            at += e->length;
            if (text_equal(e->name, ".") || text_equal(e->name, ".."))
                continue;
            if (copy_entry(c, from, to, e->name, depth) < 0)
                return -1;
        }
    }
}

/* Both are O_PATH or mount descriptors: reopen them for reading; the new root takes the old one's mode and owner. */
int copy_up(struct ctx *c, int from, int to)
{
    struct statx is;
    int in = sys_openat2(from, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
    int out = sys_openat2(to, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
    int result = in < 0 || out < 0 || sys_statx(in, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &is) < 0 ? -1 : 0;
    if (result >= 0 && (copy_tree(c, in, out, 0) < 0 || finish(in, out, &is) < 0))
        result = -1;
    return close_both(in, out, result);
}
