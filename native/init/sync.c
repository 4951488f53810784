/*
 * The talk with the host, over one SOCK_SEQPACKET socket: fixed records out, one word in.
 * minirun/engine/protocol.py says what each means.  A host that is gone (EPIPE, end of file) ends init: nothing
 * half-built goes on living.
 */
#include "init.h"
#include "kernel.h"

#include <linux/time_types.h>

struct report {
    uint32_t type, step;
    int32_t err, value;
    uint64_t nanoseconds;
    char call[24];
    char detail[208];
};

static void copy_text(char *to, size_t size, const char *from)
{
    size_t i = 0;
    for (; from && from[i] && i + 1 < size; i++)
        to[i] = from[i];
    to[i] = '\0';
}

static int send_message(int socket, struct report *m, int fd)
{
    struct kernel_iovec vector = {m, sizeof *m};
    struct fd_control control = {sizeof control - sizeof control.padding, SOL_SOCKET_LEVEL, SCM_RIGHTS_TYPE, fd,
                                 0};
    struct kernel_msghdr h = {.vector = &vector, .count = 1};
    if (fd >= 0) {
        h.control = &control;
        h.control_length = sizeof control;
    }
    return sc3(sendmsg, socket, P(&h), MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static struct report compose(struct ctx *c, unsigned type)
{
    struct report m = {.type = type, .step = c->step};
    copy_text(m.call, sizeof m.call, "");
    copy_text(m.detail, sizeof m.detail, "");
    return m;
}

/* The report of a failure goes to whoever waits: the host that builds us, or the one that opened the gate. */
void sync_failed(struct ctx *c)
{
    struct report m = compose(c, MSG_FAILED);
    m.err = last_failure.err;
    copy_text(m.call, sizeof m.call, last_failure.call);
    copy_text(m.detail, sizeof m.detail, c->detail);
    send_message(c->sync_fd >= 0 ? c->sync_fd : c->gate_fd, &m, -1);
}

void sync_warning(struct ctx *c, const char *detail)
{
    struct report m = compose(c, MSG_WARNING);
    copy_text(m.detail, sizeof m.detail, detail);
    send_message(c->sync_fd, &m, -1);
}

void sync_trace(struct ctx *c, uint32_t step, uint64_t nanoseconds)
{
    struct report m = compose(c, MSG_TRACE);
    m.step = step;
    m.nanoseconds = nanoseconds;
    send_message(c->sync_fd, &m, -1);
}

int sync_simple(struct ctx *c, unsigned type, int value)
{
    struct report m = compose(c, type);
    m.value = value;
    return send_message(c->sync_fd, &m, -1);
}

int sync_send_fd(struct ctx *c, unsigned type, int fd)
{
    struct report m = compose(c, type);
    return send_message(c->sync_fd >= 0 ? c->sync_fd : c->gate_fd, &m, fd);
}

/* One word from the host; a descriptor with it is for the operation that follows. End of file: the host is gone, so are we. */
static uint32_t receive_order(struct ctx *c, int socket)
{
    uint32_t order = 0;
    struct kernel_iovec vector = {&order, sizeof order};
    struct fd_control control = {0};
    struct kernel_msghdr h = {
        .vector = &vector, .count = 1, .control = &control, .control_length = sizeof control};
    long n = sc3(recvmsg, socket, P(&h), MSG_CMSG_CLOEXEC);
    if (n != sizeof order)
        return 0;
    if (h.control_length >= sizeof control - sizeof control.padding && control.type == SCM_RIGHTS_TYPE) {
        if (c->passed_fd >= 0)
            sys_close(c->passed_fd);
        c->passed_fd = control.fd;
    }
    return order;
}

int sync_wait_go(struct ctx *c)
{
    if (receive_order(c, c->sync_fd) != ORDER_GO)
        sys_exit(1);
    return 0;
}

/* Someone connects to the gate. */
static int open_gate(struct ctx *c)
{
    int listener = c->gate_fd;
    c->gate_fd = (int)sc4(accept4, listener, 0, 0, SOCK_CLOEXEC);
    if (c->gate_fd < 0) {
        c->gate_fd = listener;
        return -1;
    }
    if (receive_order(c, c->gate_fd) != ORDER_START) {
        sys_close(c->gate_fd); /* a start that died before it said so */
        c->gate_fd = listener;
        return 1;
    }
    sys_close(listener);
    return 0;
}

/*
 * READY, then one of: START from the host (run: the same process creates and starts), DETACH (create: wait at
 * the gate for another one), end of file (the host was killed before it could write the state: go as well).
 */
/* What waits holds no place of the file system: all of it has been done, and /proc/PID/fd shows nothing to ask about. */
static void let_go(struct ctx *c)
{
    int *held[] = {&c->root_fd, &c->dev_fd, &c->proc_fd, &c->mask_fd};
    for (unsigned i = 0; i < sizeof held / sizeof *held; i++) {
        if (*held[i] >= 0)
            sys_close(*held[i]);
        *held[i] = -1;
    }
}

int op_wait(struct ctx *c, const struct op *op)
{
    (void)op;
    let_go(c);
    if (sync_simple(c, MSG_READY, 0) < 0)
        sys_exit(1);
    uint32_t order = receive_order(c, c->sync_fd);
    if (order == ORDER_START)
        return 0;
    if (order != ORDER_DETACH || c->gate_fd < 0)
        sys_exit(1);
    sys_close(c->sync_fd);
    c->sync_fd = -1;
    for (;;) {
        int refused = open_gate(c);
        if (refused <= 0)
            return refused;
    }
}

uint64_t now_nanoseconds(void)
{
    struct __kernel_timespec now = {0};
    sc2(clock_gettime, 1 /* CLOCK_MONOTONIC */, P(&now));
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
