/*
 * The agent's loop.  One round: write what can be written, look at the host's frames, wait for anything, deal with it.
 * When the host does not read us, nothing else is done until it does: so the outgoing buffer never runs over.
 */
#include "agent.h"

#define POLLED (2 + 4 * TASKS)
#define SIGNAL_SET 0x10000ull /* SIGCHLD, as signalfd(2) wants it */
#define SIGPIPE_SET 0x1000ull
#define DEAF_ROUNDS 5000 /* of a millisecond: so long may the host's end of the port be closed */

struct agent the_agent; /* all zero: it costs a file nothing */

/* Ourselves in a sealed memfd: no file of the guest's is ever /proc/self/exe of a container (CVE-2019-5736). */
int own_program(const char *path)
{
    int from = sys_openat2(AT_FDCWD, path, O_RDONLY, 0, 0);
    int to = (int)sc2(memfd_create, P("minirun-init"), 1 | 2 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */);
    long n = from < 0 || to < 0 ? -1 : 1;
    while (n > 0)
        n = sc4(sendfile, to, from, 0, 1 << 20);
    if (from >= 0)
        sys_close(from);
    return n < 0 || sc3(fcntl, to, F_ADD_SEALS, 15 /* all of them */) < 0 ? -1 : to;
}

/* A frame that belongs to a task there is. */
static void of_task(struct agent *a, struct task *t, const struct frame_header *h, const char *payload)
{
    unsigned fd = h->stream & 3;
    uint32_t number = 0;
    if (h->length >= sizeof number)
        copy_bytes(&number, payload, sizeof number);
    if (h->kind == FRAME_ORDER)
        task_order(t, number);
    else if (h->kind == FRAME_SIGNAL && t->alive && !t->dead)
        sc4(pidfd_send_signal, t->pidfd, number, 0, 0);
    else if (h->kind == FRAME_RESIZE && t->terminal && h->length == 8)
        sys_ioctl(t->in, 0x5414 /* TIOCSWINSZ */, P(payload));
    else if (h->kind == FRAME_DATA && fd == 0 && stream_typed(a, t, payload, h->length) < 0)
        power_off(a, "more input than there was credit for");
    else if (h->kind == FRAME_END)
        stream_end(a, t, fd);
    else if (h->kind == FRAME_CREDIT && (fd == 1 || fd == 2))
        t->credit[fd - 1] = number < WINDOW - t->credit[fd - 1] ? t->credit[fd - 1] + number : WINDOW;
}

static void take_frame(struct agent *a, const struct frame_header *h, const char *payload)
{
    unsigned number = h->stream >> 2;
    struct task *t;
    if (h->kind == FRAME_BYTES || h->kind == FRAME_SPAWN) {
        t = task_make(a, number);
        if (!t)
            power_off(a, "too many programs at the same time");
        if (h->kind == FRAME_BYTES)
            task_bytes(t, payload, h->length);
        else
            task_spawn(a, t, payload, h->length);
    } else if (h->kind == FRAME_READ) {
        file_read(a, payload, h->length);
    } else if (h->kind == FRAME_WRITE) {
        file_write(a, payload, h->length);
    } else if (h->kind == FRAME_POWEROFF) {
        power_off(a, NULL);
    } else if ((t = task_find(a, number))) {
        of_task(a, t, h, payload);
    }
}

/* Every whole frame that is there, while there is room for what it may make us say. */
static void take_frames(struct agent *a)
{
    uint32_t at = 0;
    while (frames_room(a) >= ROOM_ANSWER) {
        uint32_t start = at;
        const struct frame_header *h = frame_next(a, &at);
        if (at == ~0u)
            power_off(a, "a frame that is too long");
        if (!h)
            break;
        take_frame(a, h, a->in + start + sizeof *h);
    }
    frames_drop(a, at);
}

/* The channel: something to read, or nobody there.  The port is not open on the host's side at once (virtio 1.2, 5.3). */
static void channel_event(struct agent *a, short events)
{
    static unsigned deaf;
    int n = events & POLLIN ? frames_fill(a) : events & (POLLHUP | POLLERR) ? -2 : 0;
    if (n >= 0) {
        deaf = 0;
        return;
    }
    struct kernel_timespec pause = {0, 1000000};
    if (!a->guest || n == -1 || ++deaf > DEAF_ROUNDS)
        power_off(a, "the channel is closed");
    sc2(nanosleep, P(&pause), 0);
}

static unsigned add(struct kernel_pollfd *set, unsigned count, int fd, short events)
{
    set[count] = (struct kernel_pollfd){fd, events, 0};
    return count + 1;
}

/* What a task waits for: at most four descriptors, always in this order; -1 is none (poll(2) skips it). */
static unsigned watch_task(struct kernel_pollfd *set, unsigned count, const struct task *t)
{
    short typed = t->held ? POLLOUT : 0, wanted = t->terminal && t->credit[0] ? POLLIN : 0;
    bool in = t->terminal ? (typed | wanted) != 0 : t->in >= 0; /* of a pipe POLLERR says that nobody reads */
    count = add(set, count, t->sync, POLLIN);
    count = add(set, count, in ? t->in : -1, typed | wanted);
    count = add(set, count, t->credit[0] && !t->terminal ? t->out[0] : -1, POLLIN);
    return add(set, count, t->credit[1] ? t->out[1] : -1, POLLIN);
}

static void task_events(struct agent *a, struct task *t, const struct kernel_pollfd *set)
{
    if (set[0].revents)
        task_reports(a, t);
    if (set[1].revents & (POLLIN | POLLHUP) && t->terminal)
        stream_out(a, t, 0);
    if (set[1].revents & POLLERR && !t->terminal && !t->held)
        stream_gone(a, t);
    else if (set[1].revents & (POLLOUT | POLLERR | POLLHUP))
        stream_in(a, t);
    for (unsigned n = 0; n < 2; n++)
        if (set[2 + n].revents)
            stream_out(a, t, n);
}

static void signal_event(struct agent *a)
{
    char info[128];
    while (sys_read(a->signals, info, sizeof info) > 0)
        a->deaths = true;
}

static void turn(struct agent *a)
{
    struct kernel_pollfd set[POLLED];
    unsigned count = 0;
    take_frames(a);
    tasks_reap(a);
    for (unsigned i = 0; i < TASKS; i++)
        if (a->tasks[i].number)
            task_settle(a, &a->tasks[i]);
    if (frames_flush(a) < 0)
        power_off(a, "the channel is broken");
    bool tight = frames_room(a) < ROOM_ANSWER + ROOM_ANSWER / 2;
    short events = (tight ? 0 : POLLIN) | (a->out_first < a->out_end ? POLLOUT : 0);
    count = add(set, count, a->channel, events);
    count = add(set, count, tight ? -1 : a->signals, POLLIN);
    for (unsigned i = 0; !tight && i < TASKS; i++)
        if (a->tasks[i].number)
            count = watch_task(set, count, &a->tasks[i]);
    if (sc5(ppoll, P(set), count, 0, 0, 0) < 0)
        return;
    if (set[0].revents & ~POLLOUT)
        channel_event(a, set[0].revents);
    if (set[1].revents)
        signal_event(a);
    for (unsigned i = 0, at = 2; at < count && i < TASKS; i++)
        if (a->tasks[i].number) {
            task_events(a, &a->tasks[i], set + at);
            at += 4;
        }
}

_Noreturn void agent_run(struct agent *a)
{
    static struct {
        struct hello_head head;
        char release[65];
    } hello;
    struct {
        char names[6][65]; /* struct new_utsname; the third is the release */
    } uts = {{{0}}};
    uint64_t blocked = SIGNAL_SET | SIGPIPE_SET, seen = SIGNAL_SET;
    sc4(rt_sigprocmask, 0 /* SIG_BLOCK */, P(&blocked), 0, 8);
    a->signals = (int)sc4(signalfd4, -1, P(&seen), 8, O_CLOEXEC | O_NONBLOCK);
    sc1(uname, P(&uts));
    hello.head = (struct hello_head){.version = CHANNEL_VERSION,
                                     .begun = a->begun,
                                     .modules = a->modules,
                                     .share = a->share,
                                     .now = now_nanoseconds()};
    text_join(hello.release, sizeof hello.release, uts.names[2], "", "");
    frame_send(a, FRAME_HELLO, 0, &hello, (uint32_t)(sizeof hello.head + text_length(hello.release)));
    a->deaths = true;
    for (;;)
        turn(a);
}

/* For tests: an ordinary process, whose channel is a socket. */
int agent_main(int channel)
{
    struct agent *a = &the_agent;
    a->begun = now_nanoseconds();
    a->channel = channel;
    a->program = own_program("/proc/self/exe");
    if (a->program < 0 || sc3(fcntl, channel, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ||
        sc3(fcntl, channel, F_SETFD, 1 /* FD_CLOEXEC */) < 0)
        return 1;
    agent_run(a);
}
