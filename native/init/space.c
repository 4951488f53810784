/* Namespaces, session, names, interfaces. */
#include "init.h"

struct interface_request { /* struct ifreq of netdevice(7), the part for flags */
    char name[16];
    short flags;
    char rest[22];
};
#define GET_FLAGS 0x8913 /* SIOCGIFFLAGS */
#define SET_FLAGS 0x8914 /* SIOCSIFFLAGS */
#define INTERFACE_UP 1   /* IFF_UP */

/*
 * exec joins all of the container's namespaces by its init's pidfd, in one call; create joins those that
 * config.json gives by path.  setns checks the type: a path to another kind is EINVAL.
 */
int op_join(struct ctx *c, const struct op *op)
{
    const char *path = S(op, JOIN_PATH);
    c->detail = path;
    if (*path) {
        int fd = sys_openat2(AT_FDCWD, path, O_RDONLY, 0, 0);
        if (fd < 0 || sys_setns(fd, (int)N(op, JOIN_FLAGS)) < 0)
            return -1;
        return sys_close(fd);
    }
    if (sys_setns(c->target_fd, (int)N(op, JOIN_FLAGS)) < 0)
        return -1;
    sys_close(c->target_fd);
    c->target_fd = -1;
    return 0;
}

int op_unshare(struct ctx *c, const struct op *op)
{
    c->detail = "";
    return sys_unshare(N(op, UNSHARE_FLAGS));
}

/*
 * Should: leave the host with a child of its own (CLONE_PARENT) that carries on with the plan.
 * Mustn't: let that child run before the host knows its pid; it waits for GO.
 */
static int fork_inside(struct ctx *c)
{
    c->detail = "";
    if (c->proc_fd >= 0) /* exec's is the host's /proc: nothing to bring into the container's sight */
        sys_close(c->proc_fd);
    c->proc_fd = -1;
    long pid = checked("clone", raw_syscall(__NR_clone, CLONE_PARENT | 17 /* SIGCHLD */, 0, 0, 0, 0, 0));
    if (pid < 0)
        return -1;
    if (pid > 0) {
        sync_simple(c, MSG_FORKED, (int)pid);
        sys_exit(0);
    }
    return sync_wait_go(c);
}

int op_session(struct ctx *c, const struct op *op)
{
    c->detail = "";
    if (sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) /* from here on others may see us: start.c, set_dumpable */
        return -1;
    if (N(op, SESSION_FORK) && fork_inside(c) < 0)
        return -1;
    if (sc1(getsid, 0) != sc0(getpid) && sc0(setsid) < 0)
        return -1;
    if (c->has_terminal && console_control() < 0)
        return -1;
    /*
     * Without a keyring of its own the container reads the caller's; a kernel without keys has none to read.  It
     * has no name: joining by name (runc's "_ses.ID") would join what somebody else had put there under that name.
     */
    if (N(op, SESSION_NEW_KEYRING) && sc2(keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0) < 0 &&
        last_failure.err != ENOSYS)
        return -1;
    return 0;
}

/* netdevice(7), rtnetlink's older sister: enough for one IPv4 address and one way out. */
struct inet_address {
    uint16_t family, port;
    uint32_t address;
    char zero[8];
};
struct address_request {
    char name[16];
    struct inet_address address;
    char zero[8];
};
struct route_request { /* struct rtentry */
    unsigned long pad1;
    struct inet_address destination, gateway, mask;
    uint16_t flags;
    short pad2;
    unsigned long pad3;
    void *pad4;
    short metric;
    char *device;
    unsigned long mtu, window;
    unsigned short irtt;
};
#define AF_INET 2
#define SET_ADDRESS 0x8916
#define SET_MASK 0x891c
#define ADD_ROUTE 0x890b
#define UP_AND_GATEWAY 3

static int set_inet(int fd, const char *name, unsigned request, uint64_t address)
{
    struct address_request wanted = {.address = {.family = AF_INET, .address = (uint32_t)address}};
    if (!address)
        return 0;
    if (text_join(wanted.name, sizeof wanted.name, name, "", "") < 0)
        return -1;
    return (int)sys_ioctl(fd, request, P(&wanted));
}

static int default_route(int fd, uint64_t gateway)
{
    struct inet_address any = {.family = AF_INET}, way = {.family = AF_INET, .address = (uint32_t)gateway};
    struct route_request wanted = {.destination = any, .gateway = way, .mask = any, .flags = UP_AND_GATEWAY};
    return gateway ? (int)sys_ioctl(fd, ADD_ROUTE, P(&wanted)) : 0;
}

/* Brings it up: lo, or a machine's own, with its address.  What the host moves here, the host brings up. */
int op_interface(struct ctx *c, const struct op *op)
{
    c->detail = S(op, INTERFACE_NAME);
    struct interface_request wanted = {0};
    if (text_join(wanted.name, sizeof wanted.name, c->detail, "", "") < 0)
        return -1;
    bool inet = N(op, INTERFACE_ADDRESS) != 0;
    int fd = (int)sc3(socket, inet ? AF_INET : 1 /* AF_UNIX: any carries the request */, 2 | O_CLOEXEC, 0);
    if (fd < 0 || sys_ioctl(fd, GET_FLAGS, P(&wanted)) < 0)
        return -1;
    wanted.flags |= INTERFACE_UP;
    if (set_inet(fd, c->detail, SET_ADDRESS, N(op, INTERFACE_ADDRESS)) < 0 ||
        set_inet(fd, c->detail, SET_MASK, N(op, INTERFACE_MASK)) < 0 || sys_ioctl(fd, SET_FLAGS, P(&wanted)) < 0 ||
        default_route(fd, N(op, INTERFACE_GATEWAY)) < 0)
        return -1;
    return sys_close(fd);
}

int op_name(struct ctx *c, const struct op *op)
{
    const char *value = S(op, NAME_VALUE);
    c->detail = value;
    if (text_equal(S(op, NAME_WHAT), "hostname"))
        return (int)sc2(sethostname, P(value), text_length(value));
    return (int)sc2(setdomainname, P(value), text_length(value));
}
