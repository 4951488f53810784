/* rtnetlink(7): a socket in this network namespace, or in another; a new one. */
#define _GNU_SOURCE
#include "border.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_socket(void)
{
    int on = 1;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -1;
    /* the kernel's own words in an error, without our message repeated before them */
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    return fd;
}

/*
 * A socket stays in the network namespace that it was made in: this thread goes there for a moment.  It must come
 * back: whatever the runtime did from then on, it would do to the container's network.
 */
int minirun_netlink(int netns)
{
    if (netns < 0)
        return open_socket();
    int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return -1;
    int fd = -1, failed = setns(netns, CLONE_NEWNET) < 0;
    if (!failed) {
        fd = open_socket();
        int kept = errno;
        if (setns(own, CLONE_NEWNET) < 0)
            abort();
        errno = kept;
    }
    int kept = errno;
    close(own);
    errno = kept;
    return fd;
}

/* A descriptor of a new network namespace; this thread is in its own again, as above. */
int minirun_new_netns(void)
{
    int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return -1;
    int fd = -1;
    if (unshare(CLONE_NEWNET) == 0) {
        fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        int kept = errno;
        if (setns(own, CLONE_NEWNET) < 0)
            abort();
        errno = kept;
    }
    int kept = errno;
    close(own);
    errno = kept;
    return fd;
}
