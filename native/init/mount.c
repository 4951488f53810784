/*
 * Mounts, attached fd to fd: a file system is made or cloned detached, given its attributes while nobody can see
 * it, and only then moved onto a target that is held open.  No path is looked up twice.
 */
#include "init.h"

#define EVERY_PROPAGATION ((1ul << 17) | (1ul << 18) | (1ul << 19) | (1ul << 20)) /* MS_UNBINDABLE ... MS_SHARED */
#define MS_REC_FLAG 16384ul
#define MS_PRIVATE_FLAG (1ul << 18)
#define MS_SHARED_FLAG (1ul << 20)

/*
 * Make the mount that `target` lies on private: what is attached to a shared one appears at all its peers, and
 * pivot_root(2) refuses a root below one.  The descriptor's own path, links resolved, is cut until a mount point
 * is found; the first may be the rootfs itself.
 */
static int privatize_mount_of(int target)
{
    char link[64], path[PATH_SIZE], number[21];
    struct statx is;
    text_number(number, (uint64_t)target);
    if (text_join(link, sizeof link, "/proc/self/fd/", number, "") < 0)
        return -1;
    long end = sc4(readlinkat, AT_FDCWD, P(link), P(path), sizeof path - 1);
    while (end > 0) {
        path[end] = '\0';
        if (sys_statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &is) < 0)
            return -1;
        if (is.stx_attributes & STATX_ATTR_MOUNT_ROOT)
            return sys_mount(NULL, path, NULL, MS_PRIVATE_FLAG);
        while (end > 0 && path[--end] != '/')
            ;
        end = end == 0 && path[1] ? 1 : end; /* "/" is looked at as well */
    }
    return end < 0 ? -1 : 0;
}

/*
 * A clone of a shared mount is its peer: what we mount in it would appear on the host.  Only where the namespace
 * stays shared (rootfsPropagation) is there anything to do: a slave's clone is a slave, and sends nothing up.
 */
static int keep_to_ourselves(int tree, int target, unsigned long propagation)
{
    struct mount_attr private = {.propagation = MS_PRIVATE_FLAG};
    if (!(propagation & MS_SHARED_FLAG))
        return 0;
    return privatize_mount_of(target) < 0 ? -1 : sys_mount_setattr(tree, 0, &private);
}

int op_root(struct ctx *c, const struct op *op)
{
    const char *path = S(op, ROOT_PATH);
    unsigned long propagation = N(op, ROOT_PROPAGATION);
    c->detail = "/";
    if (propagation && sys_mount(NULL, "/", NULL, propagation) < 0)
        return -1;
    c->detail = path;
    int tree = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE);
    if (tree < 0)
        return -1;
    int target = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, 0);
    if (target < 0 || keep_to_ourselves(tree, target, propagation) < 0 || sys_move_mount(tree, target) < 0)
        return -1;
    sys_close(target);
    c->root_fd = tree;
    if (propagation)
        return 0;
    /* In the runtime's namespace: it was attached to a mount that may be shared, and became so itself. */
    struct mount_attr private = {.propagation = MS_PRIVATE_FLAG};
    return sys_mount_setattr(tree, AT_RECURSIVE, &private);
}

/* The kernel says in words what it disliked ("e tmpfs: Bad value for 'size'"): keep the last line. */
static void keep_complaint(struct ctx *c, int fsfd)
{
    struct failure kept = last_failure;
    long n = sys_read(fsfd, c->text, sizeof c->text - 1);
    if (n > 2) {
        c->text[c->text[n - 1] == '\n' ? n - 1 : n] = '\0';
        c->detail = c->text + 2;
    }
    last_failure = kept;
}

static int configure(struct ctx *c, int fsfd, const char *option)
{
    const char *equals = text_first(option, '=');
    if (!equals)
        return sys_fsconfig(fsfd, FSCONFIG_SET_FLAG, option, NULL);
    char key[256];
    size_t n = (size_t)(equals - option);
    if (n >= sizeof key)
        return fail(EINVAL, "fsconfig");
    for (size_t i = 0; i < n; i++)
        key[i] = option[i];
    key[n] = '\0';
    c->detail = option;
    char label[PATH_SIZE];
    const char *value = equals + 1;
    size_t length = text_length(value);
    if (length > 2 && *value == '"' && value[length - 1] == '"') { /* mount(8)'s quotes: context="a,b" */
        if (text_join(label, sizeof label, value + 1, "", "") < 0)
            return -1;
        label[length - 2] = '\0';
        value = label;
    }
    return sys_fsconfig(fsfd, FSCONFIG_SET_STRING, key, value);
}

/* A tmpfs that is given no mode takes that of the directory it covers, as under runc; its own default is 1777. */
static int take_mode_of(int mount, int target)
{
    struct statx is;
    if (path_kind(target, &is) < 0)
        return -1;
    return sys_fchmodat(mount, ".", is.stx_mode & 07777u);
}

/* fsopen(2) to fsmount(2): a detached mount of a new file system. */
static int new_mount(struct ctx *c, const struct op *op)
{
    c->detail = S(op, MOUNT_FSTYPE);
    int fsfd = sys_fsopen(S(op, MOUNT_FSTYPE));
    if (fsfd < 0)
        return -1;
    int result = 0;
    if (*S(op, MOUNT_SOURCE))
        result = sys_fsconfig(fsfd, FSCONFIG_SET_STRING, "source", S(op, MOUNT_SOURCE));
    const char *option = S(op, MOUNT_DATA);
    for (uint64_t i = 0; result >= 0 && i < N(op, MOUNT_DATA); i++, option = list_next(option))
        result = configure(c, fsfd, option);
    if (result >= 0)
        result = sys_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL);
    if (result < 0)
        keep_complaint(c, fsfd);
    else
        result = sys_fsmount(fsfd, 0);
    sys_close(fsfd);
    return result;
}

/* fsconfig(2) takes values of at most 255 bytes; the lowerdir of an overlay is longer soon. */
static bool has_long_value(struct ctx *c, const struct op *op)
{
    const char *option = S(op, MOUNT_DATA);
    for (uint64_t i = 0; i < N(op, MOUNT_DATA); i++, option = list_next(option)) {
        const char *equals = text_first(option, '=');
        if (equals && text_length(equals + 1) > 255)
            return true;
    }
    return false;
}

/* The flags of mount(2) for what mount_setattr(2) would set; the first four bits are the same. */
static unsigned long classic_flags(uint64_t attributes)
{
    unsigned long flags = attributes & 15;
    uint64_t atime = attributes & MOUNT_ATTR__ATIME;
    flags |= atime == MOUNT_ATTR_NOATIME ? 1024ul : atime == MOUNT_ATTR_STRICTATIME ? 1ul << 24 : 1ul << 21;
    flags |= attributes & MOUNT_ATTR_NODIRATIME ? 2048ul : 0;
    return flags | (attributes & MOUNT_ATTR_NOSYMFOLLOW ? 256ul : 0);
}

/* Words for the superblock are flags in mount(2); a file system of the old kind would call them unknown options. */
static unsigned long superblock_flag(const char *word)
{
    static const struct {
        const char *word;
        unsigned long flag;
    } FLAGS[] = {
        {"ro", 1}, {"sync", 16}, {"mand", 64}, {"dirsync", 128}, {"iversion", 1ul << 23}, {"lazytime", 1ul << 25}};
    for (size_t i = 0; i < sizeof FLAGS / sizeof FLAGS[0]; i++)
        if (text_equal(word, FLAGS[i].word))
            return FLAGS[i].flag;
    return 0;
}

/*
 * mount(2), for options that fsconfig(2) cannot take: all in one string of at most a page.  Its target is the
 * directory that is held open, by the name that procfs gives the descriptor: no path of the rootfs is looked up.
 */
static int classic_mount(struct ctx *c, const struct op *op, int target)
{
    char data[PATH_SIZE], path[64], number[21];
    const char *option = S(op, MOUNT_DATA);
    unsigned long flags = classic_flags(N(op, MOUNT_ATTR_SET));
    size_t at = 0;
    data[0] = 0;
    for (uint64_t i = 0; i < N(op, MOUNT_DATA); i++, option = list_next(option)) {
        unsigned long flag = superblock_flag(option);
        flags |= flag;
        if (flag)
            continue;
        if (text_join(data + at, sizeof data - at, at ? "," : "", option, "") < 0)
            return fail(E2BIG, "mount");
        at += text_length(data + at);
    }
    text_number(number, (uint64_t)target);
    if (text_join(path, sizeof path, "/proc/self/fd/", number, "") < 0)
        return -1;
    return (int)sc5(mount, P(S(op, MOUNT_SOURCE)), P(path), P(S(op, MOUNT_FSTYPE)), flags, P(data));
}

int set_attributes(int mount, unsigned flags, uint64_t set, uint64_t clear)
{
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear};
    if (set & MOUNT_ATTR__ATIME)
        attr.attr_clr |= MOUNT_ATTR__ATIME; /* the access time mode is a field, not a bit */
    if (!attr.attr_set && !attr.attr_clr)
        return 0;
    return sys_mount_setattr(mount, flags, &attr);
}

int take_passed(struct ctx *c)
{
    int fd = c->passed_fd;
    c->passed_fd = -1;
    return fd < 0 ? fail(EBADF, "recvmsg: no mount") : fd;
}

/* What lies on / is the rootfs from now on: every later path begins there. */
int mounted(struct ctx *c, const char *target, int mount)
{
    if (!text_equal(target, "/"))
        return sys_close(mount);
    sys_close(c->root_fd);
    c->root_fd = mount;
    return 0;
}

int op_mount(struct ctx *c, const struct op *op)
{
    const char *target_path = S(op, MOUNT_TARGET);
    bool plain = !text_equal(S(op, MOUNT_FSTYPE), "proc") && !text_equal(S(op, MOUNT_FSTYPE), "sysfs") &&
                 !(N(op, MOUNT_FLAGS) & MOUNT_IS_DEV);
    /* /proc, /sys and /dev decide what is trusted later: a link there is an attack (CVE-2019-19921, CVE-2023-28642). */
    uint64_t resolve = plain ? 0 : RESOLVE_NO_SYMLINKS;
    int target = path_open(c, target_path, O_DIRECTORY, resolve);
    bool made =
        target < 0 && last_failure.err == ENOENT; /* by us: then its mode says nothing about a tmpfs on it */
    if (made)
        target = path_make_directory(c, target_path, resolve);
    if (target < 0)
        return -1;
    bool mapped = N(op, MOUNT_FLAGS) & MOUNT_MAPPED;
    if (!mapped && ((N(op, MOUNT_FLAGS) & MOUNT_CLASSIC) || has_long_value(c, op))) {
        c->detail = target_path;
        if (text_equal(target_path, "/")) /* only a mount that is held open can become the rootfs */
            return fail(E2BIG, "fsconfig");
        return classic_mount(c, op, target) < 0 ? -1 : sys_close(target);
    }
    int mount = mapped ? take_passed(c) : new_mount(c, op);
    if (mount < 0)
        return -1;
    if ((N(op, MOUNT_FLAGS) & MOUNT_MODE_OF_TARGET) && !made && take_mode_of(mount, target) < 0)
        return -1;
    if ((N(op, MOUNT_FLAGS) & MOUNT_COPY_UP) && copy_up(c, target, mount) < 0)
        return -1;
    c->detail = target_path;
    if (set_attributes(mount, 0, N(op, MOUNT_ATTR_SET), N(op, MOUNT_ATTR_CLR)) < 0 ||
        sys_move_mount(mount, target) < 0)
        return -1;
    sys_close(target);
    if (!(N(op, MOUNT_FLAGS) & MOUNT_IS_DEV))
        return mounted(c, target_path, mount);
    c->dev_fd = mount;
    return 0;
}

/* -2: not there, and that is fine. */
static int attr_target(struct ctx *c, const struct op *op)
{
    c->detail = S(op, ATTR_TARGET);
    int fd = path_open(c, S(op, ATTR_TARGET), 0, 0);
    if (fd < 0 && last_failure.err == ENOENT && (N(op, ATTR_FLAGS) & ATTR_OPTIONAL))
        return -2;
    return fd;
}

/* fspick(2), fsconfig(2): a remount that changes the file system, for whoever else has it mounted, too. */
static int reconfigure(struct ctx *c, const struct op *op, int target)
{
    const char *option = S(op, ATTR_DATA);
    int fsfd = sys_fspick(target), result = fsfd;
    for (uint64_t i = 0; result >= 0 && i < N(op, ATTR_DATA); i++, option = list_next(option))
        result = configure(c, fsfd, option);
    if (result >= 0)
        result = sys_fsconfig(fsfd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL);
    if (result < 0 && fsfd >= 0)
        keep_complaint(c, fsfd);
    if (fsfd >= 0)
        sys_close(fsfd);
    return result;
}

int op_attr(struct ctx *c, const struct op *op)
{
    int target = attr_target(c, op);
    if (target < 0)
        return target == -2 ? 0 : -1;
    if (N(op, ATTR_DATA) && reconfigure(c, op, target) < 0)
        return -1;
    unsigned flags = N(op, ATTR_FLAGS) & ATTR_RECURSIVE ? AT_RECURSIVE : 0;
    int mount = target;
    if (N(op, ATTR_FLAGS) & ATTR_CLONE) {
        mount = sys_open_tree(target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
        if (mount < 0)
            return -1;
    }
    c->detail = S(op, ATTR_TARGET);
    if (set_attributes(mount, flags, N(op, ATTR_ATTR_SET), N(op, ATTR_ATTR_CLR)) < 0)
        return -1;
    struct mount_attr propagation = {.propagation = N(op, ATTR_PROPAGATION) & EVERY_PROPAGATION};
    unsigned all = N(op, ATTR_PROPAGATION) & MS_REC_FLAG ? AT_RECURSIVE : 0;
    if (propagation.propagation && sys_mount_setattr(mount, all, &propagation) < 0)
        return -1;
    if (mount != target) {
        if (sys_move_mount(mount, target) < 0)
            return -1;
        sys_close(mount);
    }
    return sys_close(target);
}

/*
 * One empty read-only tmpfs serves every masked directory: a super block each would cost a millisecond in all.
 * The first use attaches it, the next ones clone what was attached (a detached mount cannot be cloned before
 * Linux 6.15).
 */
static int masking_directory(struct ctx *c)
{
    if (c->mask_fd >= 0)
        return sys_open_tree(c->mask_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    int fsfd = sys_fsopen("tmpfs");
    if (fsfd < 0)
        return -1;
    int mount = -1;
    if (sys_fsconfig(fsfd, FSCONFIG_SET_STRING, "nr_inodes", "1") >= 0 &&
        sys_fsconfig(fsfd, FSCONFIG_SET_FLAG, "ro", NULL) >= 0 &&
        sys_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL) >= 0)
        mount = sys_fsmount(fsfd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    sys_close(fsfd);
    return mount;
}

int op_mask(struct ctx *c, const struct op *op)
{
    struct statx is;
    c->detail = S(op, MASK_PATH);
    int target = path_open(c, S(op, MASK_PATH), 0, 0);
    if (target < 0)
        return last_failure.err == ENOENT || last_failure.err == ENOTDIR ? 0 : -1;
    int kind = path_kind(target, &is);
    if (kind == 0040000) {
        int mount = masking_directory(c);
        if (mount < 0 || sys_move_mount(mount, target) < 0)
            return -1;
        if (c->mask_fd < 0)
            c->mask_fd = mount;
        else
            sys_close(mount);
        return sys_close(target);
    }
    int null = path_null(c);
    if (kind < 0 || null < 0)
        return -1;
    int mount = sys_open_tree(null, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    sys_close(null);
    if (mount < 0 || set_attributes(mount, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0) < 0)
        return -1;
    c->detail = S(op, MASK_PATH);
    if (sys_move_mount(mount, target) < 0)
        return -1;
    sys_close(mount);
    return sys_close(target);
}
