/* Leaving the old root: pivot_root(2), or MS_MOVE and chroot(2) where the rootfs is on ramfs (--no-pivot). */
#include "init.h"

#define MS_MOVE_FLAG 8192ul
#define MS_SLAVE_REC ((1ul << 19) | 16384ul)

/*
 * The old root stays in the namespace, hidden below the new one.  A full procfs or sysfs there would count as
 * "already visible", and a user namespace inside could mount one of its own, unmasked (fs/namespace.c,
 * mnt_already_visible): so they go first, or, where they cannot (locked), are covered.
 */
static int drop_old_kernel_views(struct ctx *c)
{
    static const char *const views[] = {"/proc", "/sys"};
    for (int i = 0; i < 2; i++) {
        int layers = 0;
        while (layers < 16 && sys_umount2(views[i], MNT_DETACH) >= 0)
            layers++;
        c->detail = views[i];
        uint64_t fs[16] = {0};
        if (sc2(statfs, P(views[i]), P(fs)) < 0 || (fs[0] != PROC_SUPER_MAGIC && fs[0] != SYSFS_MAGIC))
            continue;
        if (sys_mount("none", views[i], "tmpfs", 1 /* MS_RDONLY */) < 0)
            return -1;
    }
    return 0;
}

static int move_root(struct ctx *c)
{
    if (drop_old_kernel_views(c) < 0)
        return -1;
    c->detail = "/";
    if (sys_mount(".", "/", NULL, MS_MOVE_FLAG) < 0 || sc1(chroot, P(".")) < 0)
        return -1;
    return sys_chdir("/");
}

int op_pivot(struct ctx *c, const struct op *op)
{
    const char *path = S(op, PIVOT_PATH);
    c->detail = *path ? path : "/";
    if (*path && (c->root_fd = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, 0)) < 0)
        return -1;
    if (sys_fchdir(c->root_fd) < 0)
        return -1;
    if (N(op, PIVOT_FLAGS) & PIVOT_IN_PLACE)
        return sc1(chroot, P(".")) < 0 ? -1 : sys_chdir("/");
    if (N(op, PIVOT_FLAGS) & PIVOT_CHROOT)
        return move_root(c);
    int old = sys_openat2(AT_FDCWD, "/", O_DIRECTORY, 0, 0);
    if (old < 0 || sys_pivot_root(".", ".") < 0)
        return -1;
    /* "." and ".": the old root now lies over the new one; slave first, or the detaching would reach the host. */
    if (sys_fchdir(old) < 0 || sys_mount(NULL, ".", NULL, MS_SLAVE_REC) < 0 || sys_umount2(".", MNT_DETACH) < 0)
        return -1;
    sys_close(old);
    return sys_chdir("/");
}
