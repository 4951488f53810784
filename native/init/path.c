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

/* The longest part of `path` that is there, as a descriptor; *missing is the rest of it. */
static int open_longest(struct ctx *c, const char *path, uint64_t resolve, const char **missing)
{
    char part[PATH_SIZE];
    size_t end = text_length(path);
    int fd = -1;
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
    *missing = path + end;
    return fd;
}

/* Where the link `name` in `parent` leads, as a path from the root: `path` up to `name`, what it says, `rest`. */
static int link_target(int parent, const char *name, const char *path, const char *rest, char *to)
{
    char target[PATH_SIZE], directory[PATH_SIZE];
    long n = sc4(readlinkat, parent, P(name), P(target), sizeof target - 1);
    if (n < 0 || text_join(directory, sizeof directory, path, "", "") < 0)
        return -1;
    target[n] = '\0';
    directory[text_length(path) - text_length(rest) - text_length(name)] = '\0';
    return text_join(to, PATH_SIZE, target[0] == '/' ? "" : directory, target, rest);
}

#define LEADS_ON -2 /* a link is in the way: `followed` is the path that it makes of this one */

/* What is missing of `path`, a component at a time, each in the descriptor of the one before. */
static int make_missing(struct ctx *c, const char *path, bool directory, uint64_t resolve, char *followed)
{
    const char *rest;
    int fd = open_longest(c, path, resolve, &rest);
    char name[256];
    while (fd >= 0) {
        size_t n = 0;
        while (*rest == '/')
            rest++;
        while (*rest && *rest != '/' && n < sizeof name)
            name[n++] = *rest++;
        if (n == 0)
            break;
        name[n < sizeof name ? n : 0] = '\0';
        bool sound = *name && !text_equal(name, ".."); /* above what is not there is nowhere */
        int child =
            sound ? make_component(fd, name, directory || *rest) : fail(*name ? ELOOP : ENAMETOOLONG, "path");
        if (sound && child < 0 && last_failure.err == ELOOP && !(resolve & RESOLVE_NO_SYMLINKS))
            child = link_target(fd, name, path, rest, followed) < 0 ? -1 : LEADS_ON;
        sys_close(fd);
        fd = child;
    }
    return fd;
}

/*
 * mkdir -p, and for a file its last component.  A dangling link on the way (/etc/resolv.conf of many images, /var/run
 * to a /run that is not there) is followed, as runc and crun do, and what it leads to is made: inside the rootfs,
 * because it is resolved like every path.  What is made stays below what was found, even if the tree is renamed
 * meanwhile.
 */
static int path_make(struct ctx *c, const char *path, bool directory, uint64_t resolve)
{
    const char *asked = path;
    char followed[2][PATH_SIZE]; /* the path that a link has made, and the next one */
    for (int links = 0; links < 40; links++) {
        c->detail = asked;
        int fd = path_open(c, path, directory ? O_DIRECTORY : 0, resolve);
        if (fd >= 0 || last_failure.err != ENOENT)
            return fd;
        fd = make_missing(c, path, directory, resolve, followed[links & 1]);
        if (fd != LEADS_ON)
            return fd;
        path = followed[links & 1];
    }
    return fail(ELOOP, "openat2");
}

int path_make_directory(struct ctx *c, const char *path, uint64_t resolve)
{
    return path_make(c, path, true, resolve);
}

int path_make_file(struct ctx *c, const char *path, uint64_t resolve)
{
    return path_make(c, path, false, resolve);
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
