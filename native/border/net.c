/* rtnetlink(7): a socket in this network namespace, or in another; a new one. */
#define _GNU_SOURCE
#include "border.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

struct request {
    int netns, fd, error;
    const char *path, *value;
};

static int in_there(void *data)
{
    struct request *request = data;
    if (setns(request->netns, CLONE_NEWNET) == 0)
        request->fd = open_socket();
    request->error = errno;
    return 0;
}

/*
 * A child that shares our memory and our descriptors goes elsewhere: this thread could not come back where it has no
 * rights in the namespace it came from, the host's for root of a user namespace.
 */
static int in_child(int (*go)(void *), struct request *request)
{
    char stack[16384] __attribute__((aligned(16)));
    int pid = clone(go, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES, request);
    if (pid < 0)
        return -1;
    while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR) /* no signal tells of it, and nobody else's wait */
        ;
    errno = request->error;
    return request->fd;
}

/* A socket stays in the network namespace that it was made in. */
int minirun_netlink(int netns)
{
    struct request request = {.netns = netns, .fd = -1};
    return netns < 0 ? open_socket() : in_child(in_there, &request);
}

static int write_there(void *data)
{
    struct request *request = data;
    int fd = setns(request->netns, CLONE_NEWNET) == 0 ? open(request->path, O_WRONLY | O_CLOEXEC) : -1;
    if (fd >= 0 && write(fd, request->value, strlen(request->value)) > 0)
        request->fd = 0;
    request->error = errno;
    if (fd >= 0)
        close(fd);
    return 0;
}

/* A file of /proc/sys/net: it is that of the network namespace of whoever opens it. */
int minirun_netns_write(int netns, const char *path, const char *value)
{
    struct request request = {.netns = netns, .fd = -1, .path = path, .value = value};
    return in_child(write_there, &request);
}

static int in_a_new_one(void *data)
{
    struct request *request = data;
    if (unshare(CLONE_NEWNET) == 0)
        request->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    request->error = errno;
    return 0;
}

/* A descriptor of a new network namespace. */
int minirun_new_netns(void)
{
    struct request request = {.netns = -1, .fd = -1};
    return in_child(in_a_new_one, &request);
}
