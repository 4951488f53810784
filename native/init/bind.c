/*
 * Binds: a clone of what the host has, or of what the host made of it (id-mapped mounts), on a target of the rootfs.
 * A source is the host's, and its links are followed; a target is the container's, and its links stay inside.
 */
#include "init.h"

#define DIRECTORY 0040000
#define LINK 0120000

/* copy-symlink (crun.1): 1 if the source is no link, so that there is something to bind. */
static int copy_link(struct ctx *c, const struct op *op)
{
    char wanted[PATH_SIZE], found[PATH_SIZE];
    long n = sc4(readlinkat, AT_FDCWD, P(S(op, BIND_SOURCE)), P(wanted), sizeof wanted - 1);
    if (n < 0)
        return last_failure.err == EINVAL ? 1 : -1;
    wanted[n] = '\0';
    const char *name;
    int parent = path_parent(c, S(op, BIND_TARGET), &name);
    if (parent < 0)
        return -1;
    int result = sys_symlinkat(wanted, parent, name);
    if (result < 0 && last_failure.err == EEXIST) { /* what is there already may say the same */
        n = sc4(readlinkat, parent, P(name), P(found), sizeof found - 1);
        found[n < 0 ? 0 : n] = '\0';
        result = n >= 0 && text_equal(found, wanted) ? 0 : fail(EEXIST, "symlinkat");
    }
    sys_close(parent);
    return result;
}

static int source_tree(struct ctx *c, const struct op *op)
{
    uint64_t flags = N(op, BIND_FLAGS);
    c->detail = S(op, BIND_SOURCE);
    if ((flags & BIND_MAPPED) || ((flags & BIND_BY_HOST) && c->passed_fd >= 0))
        return take_passed(c);
    return sys_open_tree(AT_FDCWD, S(op, BIND_SOURCE),
                         OPEN_TREE_CLONE | (flags & BIND_RECURSIVE ? AT_RECURSIVE : 0) |
                             (flags & BIND_SOURCE_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0));
}

/* The target, made if it is missing, of the source's kind: a directory, or anything else. */
static int target_for(struct ctx *c, const struct op *op, bool directory)
{
    const char *path = S(op, BIND_TARGET);
    struct statx is;
    if (N(op, BIND_FLAGS) & BIND_TARGET_NOFOLLOW) {
        int fd = path_open(c, path, O_NOFOLLOW, 0);
        if (fd >= 0 && path_kind(fd, &is) == LINK)
            return fd;
        if (fd >= 0)
            sys_close(fd);
    }
    int target = directory ? path_make_directory(c, path, 0) : path_make_file(c, path, 0);
    if (target < 0 || directory)
        return target;
    int kind = path_kind(target, &is);
    if (kind == DIRECTORY) {
        sys_close(target);
        return fail(ENOTDIR, "move_mount"); /* mount(2)'s word for it, which docker explains to its users */
    }
    return kind < 0 ? -1 : target;
}

int op_bind(struct ctx *c, const struct op *op)
{
    struct statx is;
    if (N(op, BIND_FLAGS) & BIND_COPY_LINK) {
        c->detail = S(op, BIND_SOURCE);
        int copied = copy_link(c, op);
        if (copied <= 0) {
            if (c->passed_fd >= 0) /* made in vain, and not for the next bind to find */
                sys_close(take_passed(c));
            return copied;
        }
    }
    int tree = source_tree(c, op);
    if (tree < 0)
        return -1;
    if (set_attributes(tree, AT_RECURSIVE, N(op, BIND_REC_SET), N(op, BIND_REC_CLR)) < 0 ||
        set_attributes(tree, 0, N(op, BIND_ATTR_SET), N(op, BIND_ATTR_CLR)) < 0)
        return -1;
    int kind = path_kind(tree, &is);
    int target = kind < 0 ? -1 : target_for(c, op, kind == DIRECTORY);
    if (target < 0)
        return -1;
    c->detail = S(op, BIND_TARGET);
    if (sys_move_mount(tree, target) < 0)
        return -1;
    sys_close(target);
    return mounted(c, S(op, BIND_TARGET), tree);
}
