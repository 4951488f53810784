/* Files of an image: openat2(2), a small file with all its attributes in one crossing, move_mount(2), mount(2). */
#define _GNU_SOURCE
#include "border.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int minirun_openat2(int at, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, at, path, &how, sizeof how);
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

/*
 * A new regular file `name` in the directory `at`: never an existing one, never through a link.  The owner before the
 * mode, because chown(2) takes set-user-ID away; the time last, because write(2) sets it.
 */
int minirun_new_file(int at, const char *name, unsigned mode, unsigned uid, unsigned gid, int64_t seconds,
                     long nanoseconds, const void *data, size_t size)
{
    struct timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int failed = write_all(fd, data, size) < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0 ||
                 futimens(fd, times) < 0;
    int kept = errno;
    close(fd);
    errno = kept;
    return failed ? -1 : 0;
}

/* Attach what fsmount(2) or open_tree(2) made; the last part of the path is not followed if it is a link. */
int minirun_move_mount(int mount, const char *path)
{
    return (int)syscall(SYS_move_mount, mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

/* mount(2), for a file system whose options no longer fit fsconfig(2)'s 255 bytes. */
int minirun_mount(const char *source, const char *target, const char *type, uint64_t flags, const char *data)
{
    return mount(source, target, type, flags, data);
}
