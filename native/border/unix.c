/* unix(7): records and descriptors over AF_UNIX.  Python's socket module does the same and costs 0.3 ms to load. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "border.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST_FDS 16

/* Control data for one descriptor, or for several, aligned as the kernel wants it. */
union fd_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};
union fds_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MOST_FDS * sizeof(int))];
};

int minirun_pair(int ends[2]) { return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends); }

/* Send a record, and a descriptor with it unless `passed` is -1. */
long minirun_send(int socket, const void *data, size_t size, int passed)
{
    struct iovec vector = {(void *)data, size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    union fd_control control;
    memset(&control, 0, sizeof control);
    if (passed >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof passed);
        memcpy(CMSG_DATA(header), &passed, sizeof passed);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

/* Receive a record; *passed is the descriptor that came with it, or -1. */
long minirun_receive(int socket, void *data, size_t size, int *passed)
{
    struct iovec vector = {data, size};
    union fd_control control;
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    long n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC); /* EINTR is Python's business: its handlers come first */
    *passed = -1;
    struct cmsghdr *header = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(passed, CMSG_DATA(header), sizeof *passed);
    return n;
}

/* A byte, and at most MOST_FDS descriptors with it. */
long minirun_send_fds(int socket, const int *fds, unsigned count)
{
    char byte = 0;
    struct iovec vector = {&byte, 1};
    union fds_control control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(count * sizeof *fds)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(header), fds, count * sizeof *fds);
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

/* Their number, 0 at end of file.  `fds` has room for MOST_FDS. */
long minirun_receive_fds(int socket, int *fds)
{
    char byte;
    struct iovec vector = {&byte, 1};
    union fds_control control;
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    long n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = n <= 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (n >= 0 && message.msg_flags & MSG_CTRUNC) {
        errno = EMFILE;
        return -1;
    }
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return n < 0 ? -1 : 0;
    memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    return (long)((header->cmsg_len - CMSG_LEN(0)) / sizeof *fds);
}

static int address_of(const char *path, struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return 0;
}

static int finished(int fd, int failed)
{
    if (!failed)
        return fd;
    int kept = errno;
    close(fd);
    errno = kept;
    return -1;
}

/* A listening SOCK_SEQPACKET socket at `path`. */
int minirun_listen(const char *path)
{
    struct sockaddr_un address;
    if (address_of(path, &address) < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    return finished(fd, bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0);
}

/* The next connection of a listening socket; it does not wait, and neither does the connection. */
int minirun_accept(int socket) { return accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

/* Connected to `path`; `stream` is SOCK_STREAM, as console sockets are, else SOCK_SEQPACKET. */
int minirun_connect(const char *path, int stream)
{
    struct sockaddr_un address;
    if (address_of(path, &address) < 0)
        return -1;
    int fd = socket(AF_UNIX, (stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    return finished(fd, connect(fd, (const struct sockaddr *)&address, sizeof address) < 0);
}

/* A descriptor of another process, by its number there (pidfd_getfd(2)). */
int minirun_pidfd_getfd(int pidfd, int number) { return (int)syscall(SYS_pidfd_getfd, pidfd, number, 0); }
