/*
 * Mounts made by the host for init: open_tree(2), mount_setattr(2), fsopen(2), and the user namespace that says how a
 * mount's ids are mapped.  Only for id-mapped mounts: the kernel wants the rights of the file system's own user
 * namespace for them, which init has given up where the container has one of its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "border.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* A detached clone of what is held open as `fd`; `flags` is AT_RECURSIVE or 0. */
int minirun_open_tree(int fd, unsigned flags)
{
    return (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
}

/* `user_namespace` is a descriptor, or -1 for no mapping. */
int minirun_mount_setattr(int mount, unsigned flags, uint64_t propagation, int user_namespace)
{
    struct mount_attr attr = {.propagation = propagation};
    if (user_namespace >= 0) {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = (uint64_t)user_namespace;
    }
    return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, &attr, sizeof attr);
}

int minirun_fsopen(const char *type) { return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC); }

/* key=value, a key alone (`value` NULL), or, without a key, FSCONFIG_CMD_CREATE. */
int minirun_fsconfig(int context, const char *key, const char *value)
{
    unsigned command = !key ? FSCONFIG_CMD_CREATE : value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
    return (int)syscall(SYS_fsconfig, context, command, key, value, 0);
}

int minirun_fsmount(int context) { return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0); }

/* The whole text in one write(2), as the kernel wants it (user_namespaces(7)); returns 0 or an errno. */
static int write_map(int pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
    close(fd);
    return error;
}

/*
 * A descriptor of a new user namespace with these maps.  A namespace needs a process to be born in: a child holds
 * it for the moment that writing takes.  -1: errno, and *call and *path name what failed.
 */
int minirun_user_namespace(const char *uid_map, const char *gid_map, const char **call, const char **path)
{
    int end, fd = -1, error = 0;
    char name[64];
    *call = "clone3";
    *path = "";
    int pid = minirun_hold(CLONE_NEWUSER, &end);
    if (pid < 0)
        return -1;
    *call = "write";
    *path = "uid_map";
    error = write_map(pid, "uid_map", uid_map);
    if (!error) {
        *path = "gid_map";
        error = write_map(pid, "gid_map", gid_map);
    }
    if (!error) {
        snprintf(name, sizeof name, "/proc/%d/ns/user", pid);
        *call = "open";
        *path = "";
        fd = open(name, O_RDONLY | O_CLOEXEC);
        error = fd < 0 ? errno : 0;
    }
    close(end);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    errno = error;
    return fd;
}
