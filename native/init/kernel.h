/* The kernel's own structures that its headers leave to the C library. */
#ifndef MINIRUN_KERNEL_H
#define MINIRUN_KERNEL_H

#include <stddef.h>
#include <stdint.h>

struct kernel_iovec {
    void *base;
    size_t length;
};
struct kernel_msghdr {
    void *name;
    int name_length;
    struct kernel_iovec *vector;
    size_t count;
    void *control;
    size_t control_length;
    unsigned flags;
};
/* One descriptor in a message (cmsg(3)). */
struct fd_control {
    size_t length;
    int level, type;
    int fd;
    int padding;
};
struct kernel_pollfd {
    int fd;
    short events, revents;
};
struct kernel_timespec {
    int64_t seconds, nanoseconds;
};
struct kernel_rusage { /* getrusage(2): the fields that Linux fills in, and room for the others */
    int64_t user_seconds, user_microseconds, system_seconds, system_microseconds, maximum;
    int64_t rest[13];
};
struct kernel_dirent {
    uint64_t inode, next;
    uint16_t length;
    uint8_t type;
    char name[];
};

#define SOL_SOCKET_LEVEL 1
#define SCM_RIGHTS_TYPE 1
#define MSG_DONTWAIT 0x40
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000
#define SOCK_CLOEXEC 02000000
#define POLLIN 1
#define POLLOUT 4
#define POLLERR 8
#define POLLHUP 16

#endif
