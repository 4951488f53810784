/*
 * Devices, directories and links.  Below /dev they go into the tmpfs that we mounted there, by its fd, so that
 * no name of the rootfs is looked up (CVE-2026-41579: a rootfs whose /dev is a link).
 */
#include "init.h"

/* The directory that holds `path`, and its last name. */
static int node_parent(struct ctx *c, const char *path, const char **name)
{
    if (c->dev_fd < 0 || !text_starts(path, "/dev/"))
        return path_parent(c, path, name);
    const char *below = path + 5;
    const char *slash = text_last(below, '/');
    *name = slash ? slash + 1 : below;
    int root = c->root_fd;
    char parent[PATH_SIZE];
    if (text_join(parent, sizeof parent, below, "", "") < 0)
        return -1;
    parent[slash ? slash - below : 0] = '\0';
    c->root_fd = c->dev_fd; /* "in root" now means: in our own /dev */
    int fd = path_make_directory(c, slash ? parent : ".", RESOLVE_NO_SYMLINKS);
    c->root_fd = root;
    c->detail = path;
    return fd;
}

static unsigned device_number(const struct op *op)
{
    uint64_t major = N(op, NODE_MAJOR), minor = N(op, NODE_MINOR);
    return (unsigned)((minor & 0xff) | (major << 8) | ((minor & ~0xffull) << 12));
}

/* Something has that name: the same kind of thing is fine, anything else is an error (config-linux.md, Devices). */
static int node_matches(int parent, const char *name, const struct op *op, unsigned type)
{
    struct statx is;
    if (sys_statx(parent, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS, &is) < 0)
        return -1;
    bool device = type == 0020000 || type == 0060000;
    if ((is.stx_mode & 0170000u) != type ||
        (device && (is.stx_rdev_major != N(op, NODE_MAJOR) || is.stx_rdev_minor != N(op, NODE_MINOR))))
        return fail(EEXIST, "mknodat");
    return 0;
}

/*
 * What is there gets our mode.  chmod(2) by name would follow a link that was put in its place since we looked, out
 * of the rootfs; so it goes to what is held open, by the name that procfs gives it (fchmodat2 came with Linux 6.6).
 */
static int adopt_node(const struct op *op, int parent, const char *name, unsigned type)
{
    char number[21], path[64];
    int fd = sys_openat2(parent, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH);
    if (fd < 0)
        return -1;
    text_number(number, (uint64_t)fd);
    int result = -1;
    if (node_matches(fd, "", op, type) >= 0 && text_join(path, sizeof path, "/proc/self/fd/", number, "") >= 0)
        result = sys_fchmodat(AT_FDCWD, path, (unsigned)N(op, NODE_MODE));
    struct failure kept = last_failure;
    sys_close(fd);
    last_failure = kept;
    return result;
}

static int make_link(struct ctx *c, const struct op *op, int parent, const char *name)
{
    struct statx is;
    if ((N(op, NODE_FLAGS) & NODE_IF_PRESENT) && sys_statx(AT_FDCWD, S(op, NODE_TARGET), 0, STATX_TYPE, &is) < 0)
        return 0;
    c->detail = S(op, NODE_PATH);
    if (sys_symlinkat(S(op, NODE_TARGET), parent, name) < 0 && last_failure.err != EEXIST)
        return -1;
    return 0;
}

/* In a user namespace mknod(2) is not allowed: the host's own node is put over an empty file. */
static int bind_host_node(struct ctx *c, const struct op *op, int parent, const char *name)
{
    c->detail = S(op, NODE_PATH);
    int tree = sys_open_tree(AT_FDCWD, S(op, NODE_PATH), OPEN_TREE_CLONE);
    if (tree < 0)
        return last_failure.err == ENOENT && (N(op, NODE_FLAGS) & NODE_IF_PRESENT) ? 0 : -1;
    if (node_matches(tree, "", op, *S(op, NODE_TYPE) == 'b' ? 0060000 : 0020000) <
        0) /* another device than asked */
        return last_failure.err == EEXIST ? fail(ENXIO, "open_tree") : -1;
    /* A device is neither executed nor has it a user's rights to give: crun binds it so, too. */
    struct mount_attr only_a_device = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
    if (sys_mount_setattr(tree, 0, &only_a_device) < 0)
        return -1;
    if (sys_mknodat(parent, name, 0100000 | 0644, 0) < 0 && last_failure.err != EEXIST)
        return -1;
    int target = sys_openat2(parent, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (target < 0 || sys_move_mount(tree, target) < 0)
        return -1;
    sys_close(target);
    return sys_close(tree);
}

static int make_node(struct ctx *c, const struct op *op, int parent, const char *name)
{
    char type = *S(op, NODE_TYPE);
    unsigned format = type == 'b' ? 0060000 : type == 'p' ? 0010000 : 0020000;
    unsigned mode = (unsigned)N(op, NODE_MODE);
    if (N(op, NODE_FLAGS) & NODE_BIND)
        return bind_host_node(c, op, parent, name);
    c->detail = S(op, NODE_PATH);
    if (sys_mknodat(parent, name, format | mode, device_number(op)) < 0) {
        if (last_failure.err != EEXIST || adopt_node(op, parent, name, format) < 0)
            return -1;
    }
    unsigned uid = (unsigned)N(op, NODE_UID), gid = (unsigned)N(op, NODE_GID);
    if (uid == 0 && gid == 0)
        return 0;
    return sys_fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int op_node(struct ctx *c, const struct op *op)
{
    const char *path = S(op, NODE_PATH);
    char type = *S(op, NODE_TYPE);
    if (type == 'd') {
        int fd = path_make_directory(c, path, 0);
        return fd < 0 ? -1 : sys_close(fd);
    }
    const char *name;
    int parent = node_parent(c, path, &name);
    if (parent < 0)
        return -1;
    int result = type == 'l' ? make_link(c, op, parent, name) : make_node(c, op, parent, name);
    struct failure kept = last_failure;
    sys_close(parent);
    last_failure = kept;
    return result;
}
