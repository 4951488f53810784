/*
 * Container paths: the only place that resolves them.
 *
 * Every path is resolved by openat2(2) below the rootfs's fd with RESOLVE_IN_ROOT (an absolute link or ".." stays
 * inside) and RESOLVE_NO_MAGICLINKS (/proc/self/fd/N leads nowhere).  What is missing is made one component at
 * a time, by name in a directory that is held open, never through a link.  That answers CVE-2021-30465,
 * CVE-2024-45310 and their kin: there is no moment at which a path is checked and then used again.
 */
#include "init.h"

#define TRIES 64 /* openat2 gives EAGAIN while somebody renames under it (RESOLVE_IN_ROOT) */

int path_open(struct ctx *c, const char *path, uint64_t flags, uint64_t resolve)
{
    if (c->root_fd < 0)
        return fail(EBADF, "openat2");
    for (int i = 0; i < TRIES; i++) {
        int fd =
            sys_openat2(c->root_fd, path, O_PATH | flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve);
        if (fd >= 0 || last_failure.err != EAGAIN)
            return fd;
    }
    return -1;
}

int path_kind(int fd, struct statx *to)
{
    if (sys_statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MODE, to) < 0)
        return -1;
    return to->stx_mode & 0170000;
}

/* Make `name` in `parent`, which must not be a link, and open it. */
static int make_component(int parent, const char *name, bool directory)
{
    int made = directory ? sys_mkdirat(parent, name, 0755) : sys_mknodat(parent, name, 0100000 | 0644, 0);
    if (made < 0 && last_failure.err != EEXIST)
        return -1;
    int fd = sys_openat2(parent, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH);
    struct statx is;
    int kind = fd < 0 ? -1 : path_kind(fd, &is); /* O_PATH | O_NOFOLLOW opens a link itself (openat2(2)) */
    if (kind >= 0 && kind != 0120000 && (!directory || kind == 0040000))
        return fd;
    if (fd >= 0)
        sys_close(fd);
    return kind < 0 ? -1 : fail(kind == 0120000 ? ELOOP : ENOTDIR, "openat2");
}

/* The directory of `path`, made if missing; *name is the last component. */
int path_parent(struct ctx *c, const char *path, const char **name)
{
    char parent[PATH_SIZE];
    const char *slash = text_last(path, '/');
    *name = slash ? slash + 1 : path;
    if (!**name || text_equal(*name, "..") || text_equal(*name, "."))
        return fail(EINVAL, "path");
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (text_join(parent, sizeof parent, path, "", "") < 0)
        return -1;
    parent[length] = '\0';
    /* A rootfs whose /dev is a link is an attack on the nodes to be made there (CVE-2026-41579). */
    uint64_t resolve = text_starts(path, "/dev/") ? RESOLVE_NO_SYMLINKS : 0;
    int fd = path_make_directory(c, length ? parent : "/", resolve);
    c->detail = path; /* `parent` ends with this function; the report comes after it */
    return fd;
}

/* Make the directories of `rest`, one by one, each from its parent's descriptor; `fd` is used up. */
static int make_below(int fd, const char *rest)
{
    char name[256];
    while (fd >= 0) {
        size_t n = 0;
        while (*rest == '/')
            rest++;
        while (*rest && *rest != '/' && n < sizeof name)
            name[n++] = *rest++;
        if (n == 0)
            break;
        int child = n < sizeof name ? 0 : fail(ENAMETOOLONG, "path");
        if (child == 0) {
            name[n] = '\0';
            child = make_component(fd, name, true);
        }
        sys_close(fd);
        fd = child;
    }
    return fd;
}

/*
 * mkdir -p: find the longest part that exists, then make the rest below its descriptor.  What is made stays
 * below what was found, even if the tree is renamed meanwhile.
 */
int path_make_directory(struct ctx *c, const char *path, uint64_t resolve)
{
    c->detail = path;
    int fd = path_open(c, path, O_DIRECTORY, resolve);
    if (fd >= 0 || last_failure.err != ENOENT)
        return fd;
    char part[PATH_SIZE];
    size_t end = text_length(path);
    if (text_join(part, sizeof part, path, "", "") < 0)
        return -1;
    while (fd < 0 && end > 0) {
        while (end > 0 && part[--end] != '/')
            ;
        part[end] = '\0';
        fd = path_open(c, end ? part : "/", O_DIRECTORY, resolve);
        if (fd < 0 && last_failure.err != ENOENT)
            return -1;
    }
    return make_below(fd, path + end);
}

/* Where the link `name` in `parent` (the directory of `path`) leads, as a path from the root, into `to`. */
static int link_target(int parent, const char *name, const char *path, char *to)
{
    char target[PATH_SIZE], directory[PATH_SIZE];
    long n = sc4(readlinkat, parent, P(name), P(target), sizeof target - 1);
    if (n < 0 || text_join(directory, sizeof directory, path, "", "") < 0)
        return -1;
    target[n] = '\0';
    directory[text_length(path) - text_length(name)] = '\0';
    return text_join(to, PATH_SIZE, target[0] == '/' ? "" : directory, target, "");
}

/*
 * A file to mount on, made if missing.  A dangling link in its place (/etc/resolv.conf of many images) is followed,
 * as runc and crun do, and what it leads to is made: inside the rootfs, because it is resolved like every path.
 */
int path_make_file(struct ctx *c, const char *path, uint64_t resolve)
{
    const char *asked = path;
    char followed[PATH_SIZE];
    for (int links = 0; links < 8; links++) {
        c->detail = asked;
        int fd = path_open(c, path, 0, resolve);
        if (fd >= 0 || last_failure.err != ENOENT)
            return fd;
        const char *name;
        int parent = path_parent(c, path, &name);
        if (parent < 0)
            return -1;
        fd = make_component(parent, name, false);
        bool dangling = fd < 0 && last_failure.err == ELOOP;
        int led = dangling ? link_target(parent, name, path, followed) : 0;
        sys_close(parent);
        c->detail = asked;
        if (!dangling || led < 0)
            return dangling ? -1 : fd;
        path = followed;
    }
    return fail(ELOOP, "openat2");
}

/*
 * The null device to mask files with: the one we made on our own /dev, or else the host's.  Whatever it is, it
 * must be the null device (CVE-2025-31133: a container can put something else there).
 */
int path_null(struct ctx *c)
{
    int fd = -1;
    if (c->dev_fd >= 0)
        fd = sys_openat2(c->dev_fd, "null", O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (fd < 0)
        fd = sys_openat2(AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS);
    struct statx is;
    if (fd < 0 || sys_statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, &is) < 0)
        return -1;
    if ((is.stx_mode & 0170000) != 0020000 || is.stx_rdev_major != 1 || is.stx_rdev_minor != 3) {
        sys_close(fd);
        c->detail = "/dev/null";
        return fail(ENXIO, "null device (char 1:3)");
    }
    return fd;
}
