/*
 * A program in the guest, from the first BYTES of its plan to EXITED.
 *
 * init's messages go to the host as they are, but for two: FORKED changes the process that we watch (engine/init.py
 * does so on the host), and TERMINAL leaves its descriptor here.  A task ends when its process is dead, its init silent and its output
 * sent.
 */
#include "agent.h"

#include <linux/wait.h>

#define NO_WAIT (1 | 4 | 0x01000000) /* WNOHANG | WEXITED | WNOWAIT */
#define SI_PID 4                     /* where siginfo_t has the process, in ints */

struct task *task_find(struct agent *a, unsigned number)
{
    for (unsigned i = 0; number && i < TASKS; i++)
        if (a->tasks[i].number == number)
            return &a->tasks[i];
    return NULL;
}

/* The task of that number, new if there is none; NULL if there are too many. */
struct task *task_make(struct agent *a, unsigned number)
{
    struct task *t = task_find(a, number);
    for (unsigned i = 0; number && !t && i < TASKS; i++)
        if (!a->tasks[i].number)
            t = &a->tasks[i];
    if (!t || t->number)
        return t;
    t->number = number;
    t->pid = 0;
    t->pidfd = t->sync = t->bytes = t->in = t->out[0] = t->out[1] = -1;
    t->terminal = t->alive = t->in_ended = t->dead = t->owned = t->drained[0] = t->drained[1] = false;
    t->owed = t->first = t->held = 0;
    t->cgroup[0] = '\0';
    return t;
}

static void task_free(struct task *t)
{
    streams_close(t);
    close_fd(&t->sync);
    close_fd(&t->bytes);
    close_fd(&t->pidfd);
    t->number = 0;
}

/* What comes before a SPAWN or an ORDER, in a memfd. */
void task_bytes(struct task *t, const char *data, uint32_t length)
{
    if (t->bytes < 0)
        t->bytes = (int)sc2(memfd_create, P("minirun-bytes"), 1 /* MFD_CLOEXEC */);
    while (length && t->bytes >= 0) {
        long n = sys_write(t->bytes, data, length);
        if (n <= 0)
            return; /* init says what is missing */
        data += n;
        length -= (uint32_t)n;
    }
}

/* GO or START, with the memfd if there is one. */
void task_order(struct task *t, uint32_t order)
{
    struct kernel_iovec vector = {&order, sizeof order};
    struct fd_control control = {sizeof control - sizeof control.padding, SOL_SOCKET_LEVEL, SCM_RIGHTS_TYPE,
                                 t->bytes, 0};
    struct kernel_msghdr h = {.vector = &vector, .count = 1};
    if (t->bytes >= 0) {
        h.control = &control;
        h.control_length = sizeof control;
    }
    if (t->sync >= 0)
        sc3(sendmsg, t->sync, P(&h), MSG_NOSIGNAL | MSG_DONTWAIT); /* its death is noticed elsewhere */
    close_fd(&t->bytes);
}

static bool is_child(int pid)
{
    int info[32];
    return pid > 0 && sc5(waitid, 1 /* P_PID */, pid, P(info), NO_WAIT, 0) >= 0;
}

/* init has left a child behind that goes on in its place.  A program that may trace it could say so, too: of a child
 * of ours only. */
static void task_forked(struct task *t, int pid)
{
    int status;
    if (!is_child(pid) || pid == t->pid)
        return;
    int pidfd = (int)sc2(pidfd_open, pid, 0);
    if (pidfd < 0)
        return;
    while (sc4(wait4, t->pid, P(&status), 0, 0) < 0 && last_failure.err == EINTR)
        ;
    close_fd(&t->pidfd);
    t->pid = pid;
    t->pidfd = pidfd;
    task_order(t, ORDER_GO);
}

/* Its init is silent from now on. */
void task_closed(struct agent *a, struct task *t)
{
    if (t->sync < 0)
        return;
    close_fd(&t->sync);
    frame_send(a, FRAME_CLOSED, stream_of(t, WHOLE), "", 0);
}

static void take_report(struct agent *a, struct task *t, const char *message, int passed)
{
    int head[4]; /* type, step, errno, value: native/init/sync.c */
    copy_bytes(head, message, sizeof head);
    if (head[0] == MSG_FORKED) {
        task_forked(t, head[3]);
    } else if (head[0] == MSG_TERMINAL && passed >= 0 && !t->terminal) {
        streams_terminal(t, passed);
        passed = -1;
    }
    if (head[0] != MSG_FORKED && head[0] != MSG_LISTENER)
        frame_send(a, FRAME_REPORT, stream_of(t, WHOLE), message, REPORT_SIZE);
    close_fd(&passed);
}

/* All that its init has said so far. */
void task_reports(struct agent *a, struct task *t)
{
    while (t->sync >= 0 && frames_room(a) >= 8 * ROOM_REPORT) {
        char message[REPORT_SIZE];
        struct kernel_iovec vector = {message, sizeof message};
        struct fd_control control = {0};
        struct kernel_msghdr h = {
            .vector = &vector, .count = 1, .control = &control, .control_length = sizeof control};
        long n = sc3(recvmsg, t->sync, P(&h), MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && (last_failure.err == EAGAIN || last_failure.err == EINTR))
            return;
        if (n <= 0) {
            task_closed(a, t);
            return;
        }
        bool with = h.control_length >= sizeof control - sizeof control.padding && control.type == SCM_RIGHTS_TYPE;
        int passed = with ? control.fd : -1;
        if (n == sizeof message)
            take_report(a, t, message, passed);
        else
            close_fd(&passed);
    }
}

/* In init's place, when it could not even be started: last_failure, in its own words. */
void task_failed(struct agent *a, struct task *t, uint32_t step, const char *detail)
{
    char message[REPORT_SIZE] = {0};
    uint32_t head[4] = {MSG_FAILED, step, (uint32_t)last_failure.err, 0};
    copy_bytes(message, head, sizeof head);
    text_join(message + 24, 24, last_failure.call, "", "");
    text_join(message + 48, REPORT_SIZE - 48, detail, "", "");
    frame_send(a, FRAME_REPORT, stream_of(t, WHOLE), message, sizeof message);
}

/* Everybody else in its cgroup: without a PID namespace of its own they would live on. */
static void kill_rest(const struct task *t)
{
    char file[CGROUP_NAME + 64];
    if (t->owned && text_join(file, sizeof file, "/sys/fs/cgroup/", t->cgroup, "/cgroup.kill") >= 0)
        write_whole(file, "1", 1);
}

/* A dead one's last words, as soon as the host takes them. */
void task_settle(struct agent *a, struct task *t)
{
    if (!t->dead)
        return;
    task_reports(a, t);
    for (unsigned n = 0; n < 2; n++)
        if (!t->drained[n])
            stream_out(a, t, n);
    if (t->sync >= 0 || !t->drained[0] || !t->drained[1] || frames_room(a) < ROOM_REPORT)
        return;
    const struct kernel_rusage *u = &t->usage;
    struct exited_body body = {
        .status = t->status,
        .user = (uint64_t)(u->user_seconds * 1000000 + u->user_microseconds),
        .system = (uint64_t)(u->system_seconds * 1000000 + u->system_microseconds),
        .memory = (uint64_t)u->maximum,
    };
    frame_send(a, FRAME_EXITED, stream_of(t, WHOLE), &body, sizeof body);
    task_free(t);
}

static struct task *task_of(struct agent *a, int pid)
{
    for (unsigned i = 0; i < TASKS; i++)
        if (a->tasks[i].number && a->tasks[i].alive && !a->tasks[i].dead && a->tasks[i].pid == pid)
            return &a->tasks[i];
    return NULL;
}

/*
 * The dead: programs, what forked on the way to one, orphans.  Before a process is reaped its init is listened to:
 * it may have said that it goes on as another one.
 */
void tasks_reap(struct agent *a)
{
    while (a->deaths && frames_room(a) >= ROOM_ANSWER) {
        int info[32] = {0}, status = 0;
        if (sc5(waitid, 0 /* P_ALL */, 0, P(info), NO_WAIT, 0) < 0 || !info[SI_PID]) {
            a->deaths = false;
            return;
        }
        int pid = info[SI_PID];
        struct task *t = task_of(a, pid);
        if (t)
            task_reports(a, t);
        if (t && t->pid != pid)
            continue; /* task_forked has reaped it */
        struct kernel_rusage usage = {0};
        sc4(wait4, pid, P(&status), 0, P(&usage));
        if (!t)
            continue;
        t->dead = true;
        t->left[0] = t->left[1] = 65536; /* as much as a pipe holds */
        t->status = status;
        t->usage = usage;
        kill_rest(t);
    }
}
