/*
 * tmpcopyup: a tmpfs that begins with what the directory below it held (config.md, mount options).
 *
 * The source is untrusted: every step is from a directory fd, by name, with O_NOFOLLOW; the depth is bounded by
 * the recursion's own limit, the size by the tmpfs.
 */
#include "init.h"

#define DEPTH 32

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

static int copy_file(int from, int to, const char *name)
{
    int in = sys_openat2(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    int out = sys_openat2(to, name, O_WRONLY | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH);
    int result = in < 0 || out < 0 ? -1 : copy_bytes(in, out);
    if (in >= 0)
        sys_close(in);
    if (out >= 0)
        sys_close(out);
    return result;
}

static int copy_directory(struct ctx *c, int from, int to, const char *name, int depth)
{
    if (sys_mkdirat(to, name, 0700) < 0)
        return -1;
    int in =
        sys_openat2(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    int out = sys_openat2(to, name, O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
    int result = in < 0 || out < 0 ? -1 : copy_tree(c, in, out, depth + 1);
    if (in >= 0)
        sys_close(in);
    if (out >= 0)
        sys_close(out);
    return result;
}

static int copy_link(struct ctx *c, int from, int to, const char *name)
{
    char target[PATH_SIZE];
    (void)c;
    long n = sc4(readlinkat, from, P(name), P(target), sizeof target - 1);
    if (n < 0)
        return -1;
    target[n] = '\0';
    return sys_symlinkat(target, to, name);
}

static int copy_entry(struct ctx *c, int from, int to, const char *name, int depth)
{
    struct statx is;
    text_join(c->text, 200, name, "", ""); /* the name ends with the buffer it was read into */
    c->detail = c->text;
    if (sys_statx(from, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &is) < 0)
        return -1;
    int result;
    switch (is.stx_mode & 0170000) {
    case 0040000:
        result = copy_directory(c, from, to, name, depth);
        break;
    case 0100000:
        result = copy_file(from, to, name);
        break;
    case 0120000:
        result = copy_link(c, from, to, name);
        break;
    default: /* devices, fifos and sockets of an image are not copied */
        return 0;
    }
    if (result < 0 || sys_fchownat(to, name, is.stx_uid, is.stx_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    return (is.stx_mode & 0170000) == 0120000 ? 0 : sys_fchmodat(to, name, is.stx_mode & 07777);
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
    int result = -1;
    if (in >= 0 && out >= 0 && sys_statx(in, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &is) >= 0)
        result = copy_tree(c, in, out, 0);
    if (result >= 0 && (sys_fchownat(out, "", is.stx_uid, is.stx_gid, AT_EMPTY_PATH) < 0 ||
                        sc2(fchmod, out, is.stx_mode & 07777) < 0))
        result = -1;
    if (in >= 0)
        sys_close(in);
    if (out >= 0)
        sys_close(out);
    return result;
}
